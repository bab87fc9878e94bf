//! Rooms that die at their start, again and again: something is broken, and starting ever more processes makes
//! it worse. So many in a while, and no new ones are started for as long.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use crate::types::PlayerId;

pub(super) struct Breaker {
    limit: usize,
    pause: Duration,
    /// Those of the last while, oldest first: when, and whose rooms they were.
    deaths: VecDeque<(Instant, Option<PlayerId>)>,
    tripped_until: Option<Instant>,
}

impl Breaker {
    pub fn new(limit: usize, pause: Duration) -> Self {
        Breaker { limit, pause, deaths: VecDeque::new(), tripped_until: None }
    }

    /// A room has died at its start, or could not even be started. Whether that was one too many.
    pub fn died(&mut self, host: Option<PlayerId>, now: Instant) -> bool {
        self.forget(now);
        self.deaths.push_back((now, host));
        let trips = self.tripped_until.is_none() && self.deaths.len() >= self.limit;
        if trips {
            self.tripped_until = Some(now + self.pause);
        }
        trips
    }

    /// How long no room is to be started.
    pub fn left(&self, now: Instant) -> Option<Duration> {
        self.tripped_until?.checked_duration_since(now).filter(|left| !left.is_zero())
    }

    /// Whether the pause has ended since this was asked last.
    pub fn recovers(&mut self, now: Instant) -> bool {
        self.tripped_until.take_if(|until| *until <= now).is_some()
    }

    /// How many rooms of this player have died at their start in the last while.
    pub fn deaths_of(&self, host: &PlayerId, now: Instant) -> usize {
        let recent = self.deaths.iter().filter(|(at, _)| now < *at + self.pause);
        recent.filter(|(_, whose)| whose.as_ref() == Some(host)).count()
    }

    fn forget(&mut self, now: Instant) {
        while self.deaths.front().is_some_and(|(at, _)| *at + self.pause <= now) {
            self.deaths.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(10);

    #[test]
    fn so_many_deaths_in_a_while_trip_it_once_and_time_heals() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut breaker = Breaker::new(3, PAUSE);
        assert!(!breaker.died(None, after(0)) && !breaker.died(None, after(5)));
        assert!(!breaker.died(None, after(10)), "the first is forgotten");
        assert!(breaker.left(after(10)).is_none());
        assert!(breaker.died(None, after(11)), "one too many");
        assert!(!breaker.died(None, after(12)), "it says so once");
        assert_eq!(breaker.left(after(12)), Some(Duration::from_secs(9)));
        assert!(!breaker.recovers(after(20)) && breaker.left(after(20)).is_some());
        assert!(breaker.left(after(21)).is_none());
        assert!(breaker.recovers(after(21)) && !breaker.recovers(after(21)), "it says so once");
        assert!(!breaker.died(None, after(21)), "one that was on its way");
    }

    #[test]
    fn each_player_answers_for_his_own_rooms() {
        let start = Instant::now();
        let player = |name: &str| PlayerId(name.to_owned());
        let mut breaker = Breaker::new(10, PAUSE);
        breaker.died(Some(player("ann")), start);
        breaker.died(Some(player("ann")), start + PAUSE / 2);
        breaker.died(Some(player("bob")), start);
        breaker.died(None, start);
        let deaths_of = |name, now| breaker.deaths_of(&player(name), now);
        assert_eq!((deaths_of("ann", start), deaths_of("bob", start)), (2, 1));
        assert_eq!(deaths_of("ann", start + PAUSE), 1);
    }
}
