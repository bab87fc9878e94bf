//! How many events may come from one player: so many are good, as many again are refused, and then he is cut
//! off. The count is his, and goes on when he connects again.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex},
};

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
    counts: Arc<Mutex<Counts>>,
}

struct Counts {
    each: Rates<Who>,
    /// In the lobby, where anybody may connect. A room knows its players, and may be full of some who share one.
    addresses: Option<Rates<IpAddr>>,
}

impl Paces {
    pub fn of_lobby(limits: &Limits) -> Self {
        let rate = Rate::new(limits.events_per_second_per_address.get(), SECONDS_AT_ONCE);
        Self::new(limits, Some(Rates::new(rate)))
    }

    pub fn of_room(limits: &Limits) -> Self {
        Self::new(limits, None)
    }

    fn new(limits: &Limits, addresses: Option<Rates<IpAddr>>) -> Self {
        let rate = Rate::new(limits.events_per_second.get(), SECONDS_AT_ONCE);
        let counts = Counts { each: Rates::new(rate), addresses };
        Paces { rate, counts: Arc::new(Mutex::new(counts)) }
    }

    /// Counts one more event.
    pub fn count(&self, who: &Who, address: Option<IpAddr>, now: Instant) -> Pace {
        let mut counts = self.counts.lock().expect("nobody panics while holding this");
        let left = counts.each.spend(who, now);
        let mut by_address = || match (&mut counts.addresses, address) {
            (Some(addresses), Some(address)) => addresses.allow(&address, now),
            _ => true,
        };
        if left >= 0.0 && by_address() {
            Pace::Good
        } else if left + self.rate.at_once >= 0.0 {
            Pace::TooFast
        } else {
            Pace::Flood
        }
    }
}
