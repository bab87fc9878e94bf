//! How many events may come from one player; more are refused. The count is his, and goes on when he connects again.
//! Who goes on all the same is read no faster than [`frames`] says.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex},
};

use tokio::time::Instant;

use super::{budget::Rate, connection::ConnId, limits::Limits, rates::Rates, words::PlayerId};

/// So many seconds' worth of events may come at once: what a phone has to say after a moment without network.
const SECONDS_AT_ONCE: u32 = 3;

/// Frames of a websocket for each event that may come: as many again for what is refused, so that it is told at once, and
/// for pings and the like.
const FRAMES_PER_EVENT: f64 = 2.0;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Who {
    Player(PlayerId),
    /// Somebody who did not say who he is when he connected; what he says counts for this connection, also
    /// when he has registered.
    Visitor(ConnId),
}

/// Everyone's pace.
#[derive(Clone)]
pub(crate) struct Paces(Arc<Mutex<Counts>>);

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
        Paces(Arc::new(Mutex::new(counts)))
    }

    /// Counts one more event; whether it is not one too many.
    pub fn allow(&self, who: &Who, address: Option<IpAddr>, now: Instant) -> bool {
        let mut counts = self.0.lock().expect("nobody panics while holding this");
        counts.each.allow(who, now)
            && match (&mut counts.addresses, address) {
                (Some(addresses), Some(address)) => addresses.allow(&address, now),
                _ => true,
            }
    }
}

/// How many frames a connection may send before it is read more slowly.
pub(crate) fn frames(limits: &Limits) -> Rate {
    Rate::new(limits.events_per_second.get(), SECONDS_AT_ONCE).times(FRAMES_PER_EVENT)
}
