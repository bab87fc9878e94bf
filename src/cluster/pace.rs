//! How many events may come from one player: so many are good, as many again are refused, and then he is cut
//! off. The count is his, and goes on when he connects again.

use std::sync::{Arc, Mutex};

use tokio::time::Instant;

use super::{budget::Rate, connection::ConnId, limits::Limits, rates::Rates, words::PlayerId};

/// So many seconds' worth of events may come at once: what a phone has to say after a moment without network.
const SECONDS_AT_ONCE: u32 = 3;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Who {
    Player(PlayerId),
    /// Somebody who did not say who he is when he connected; what he says counts for this connection, also
    /// when he has registered.
    Visitor(ConnId),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    Good,
    /// Refused, and counted as well.
    TooFast,
    /// He does not listen.
    Flood,
}

/// Everyone's pace.
#[derive(Clone)]
pub(crate) struct Paces {
    rate: Rate,
    events: Arc<Mutex<Rates<Who>>>,
}

impl Paces {
    pub fn new(limits: &Limits) -> Self {
        let rate = Rate::new(limits.events_per_second.get(), SECONDS_AT_ONCE);
        Paces { rate, events: Arc::new(Mutex::new(Rates::new(rate))) }
    }

    /// Counts one more event.
    pub fn count(&self, who: &Who, now: Instant) -> Pace {
        let mut events = self.events.lock().expect("nobody panics while holding this");
        match events.spend(who, now) {
            0.0.. => Pace::Good,
            left if left + self.rate.at_once >= 0.0 => Pace::TooFast,
            _ => Pace::Flood,
        }
    }
}
