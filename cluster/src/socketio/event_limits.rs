//! How many events may come from one player; more are refused. The count is his, and goes on when he connects again.
//! A client that goes on all the same is read no faster than [`Limits::frames`] says.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex},
};

use tokio::time::Instant;

use crate::{
    config::limits::Limits, runtime::rate_limiter::KeyedRateLimiter, socketio::packet::ConnId,
    types::PlayerId,
};

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum LimitKey {
    Player(PlayerId),
    /// Somebody who did not say who he is when he connected; what he says counts for this connection, also
    /// when he has registered.
    Visitor(ConnId),
}

/// Everyone's pace.
#[derive(Clone)]
pub(crate) struct EventLimiter(Arc<Mutex<Counts>>);

struct Counts {
    each: KeyedRateLimiter<LimitKey>,
    /// In the lobby, where anybody may connect. A room knows its players, and may be full of some who share one.
    addresses: Option<KeyedRateLimiter<IpAddr>>,
}

impl EventLimiter {
    pub fn of_lobby(limits: &Limits) -> Self {
        let rate = limits.events_per_address();
        Self::new(limits, Some(KeyedRateLimiter::new(rate)))
    }

    pub fn of_room(limits: &Limits) -> Self {
        Self::new(limits, None)
    }

    fn new(limits: &Limits, addresses: Option<KeyedRateLimiter<IpAddr>>) -> Self {
        let rate = limits.events();
        let counts = Counts { each: KeyedRateLimiter::new(rate), addresses };
        EventLimiter(Arc::new(Mutex::new(counts)))
    }

    /// Counts one more event; whether it is not one too many.
    pub fn allow(&self, who: &LimitKey, address: Option<IpAddr>, now: Instant) -> bool {
        let mut counts = self.0.lock().expect("nobody panics while holding this");
        counts.each.allow(who, now)
            && match (&mut counts.addresses, address) {
                (Some(addresses), Some(address)) => addresses.allow(&address, now),
                _ => true,
            }
    }
}
