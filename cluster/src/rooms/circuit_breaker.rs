//! A circuit breaker for starting rooms. If many rooms fail at their start, something is broken,
//! and starting more processes makes it worse: after `limit` failures within one cooldown, no room
//! is started for another cooldown.

use std::time::Duration;

use tokio::time::Instant;

use crate::types::PlayerId;

pub(crate) struct Breaker {
    limit: usize,
    cooldown: Duration,
    /// The failures within the cooldown, oldest first, and the hosts of these rooms.
    failures: Vec<(Instant, Option<PlayerId>)>,
    open_until: Option<Instant>,
}

impl Breaker {
    pub fn new(limit: usize, cooldown: Duration) -> Self {
        Breaker { limit, cooldown, failures: Vec::new(), open_until: None }
    }

    /// Records a room that failed at its start. Returns whether this opens the breaker.
    pub fn record_failure(&mut self, host: Option<PlayerId>, now: Instant) -> bool {
        self.failures.retain(|(at, _)| now < *at + self.cooldown);
        self.failures.push((now, host));
        let opens = self.open_until.is_none() && self.failures.len() >= self.limit;
        if opens {
            self.open_until = Some(now + self.cooldown);
        }
        opens
    }

    /// How long it stays open; `None` if it is closed.
    pub fn left(&self, now: Instant) -> Option<Duration> {
        self.open_until?.checked_duration_since(now).filter(|left| !left.is_zero())
    }

    /// Closes it if its cooldown is over. Returns whether this closed it.
    pub fn closes(&mut self, now: Instant) -> bool {
        self.open_until.take_if(|until| *until <= now).is_some()
    }

    /// Failures of this player's rooms within the cooldown.
    pub fn failures_of(&self, host: &PlayerId, now: Instant) -> usize {
        let recent = self.failures.iter().filter(|(at, _)| now < *at + self.cooldown);
        recent.filter(|(_, whose)| whose.as_ref() == Some(host)).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COOLDOWN: Duration = Duration::from_secs(10);

    #[test]
    fn it_opens_once_at_the_limit_and_closes_after_the_cooldown() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut breaker = Breaker::new(3, COOLDOWN);
        assert!(!breaker.record_failure(None, after(0)) && !breaker.record_failure(None, after(5)));
        assert!(!breaker.record_failure(None, after(10)), "the first is forgotten");
        assert!(breaker.left(after(10)).is_none());
        assert!(breaker.record_failure(None, after(11)), "one too many");
        assert!(!breaker.record_failure(None, after(12)), "it says so once");
        assert_eq!(breaker.left(after(12)), Some(Duration::from_secs(9)));
        assert!(!breaker.closes(after(20)) && breaker.left(after(20)).is_some());
        assert!(breaker.left(after(21)).is_none());
        assert!(breaker.closes(after(21)) && !breaker.closes(after(21)), "it says so once");
        assert!(!breaker.record_failure(None, after(21)), "one that was on its way");
    }

    #[test]
    fn failures_are_counted_per_player() {
        let start = Instant::now();
        let player = |name: &str| PlayerId(name.to_owned());
        let mut breaker = Breaker::new(10, COOLDOWN);
        breaker.record_failure(Some(player("ann")), start);
        breaker.record_failure(Some(player("ann")), start + COOLDOWN / 2);
        breaker.record_failure(Some(player("bob")), start);
        breaker.record_failure(None, start);
        let failures_of = |name, now| breaker.failures_of(&player(name), now);
        assert_eq!((failures_of("ann", start), failures_of("bob", start)), (2, 1));
        assert_eq!(failures_of("ann", start + COOLDOWN), 1);
    }
}
