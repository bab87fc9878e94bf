//! The rate limits for events. A player's limit holds across reconnects. A client that goes on
//! beyond it is throttled to [`Limits::frames`].

use std::net::IpAddr;

use tokio::time::Instant;

use crate::config::limits::Limits;
use crate::runtime::rate_limiter::KeyedRateLimiter;
use crate::socketio::packet::ConnId;
use crate::types::PlayerId;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum LimitKey {
    Player(PlayerId),
    /// A connection without a token, also after it has registered.
    Visitor(ConnId),
}

/// The rate limiter for the events of all connections.
pub(crate) struct EventLimiter {
    clients: KeyedRateLimiter<LimitKey>,
    /// In the lobby only, where anybody may connect: the players of a room may share an address.
    addresses: Option<KeyedRateLimiter<IpAddr>>,
}

impl EventLimiter {
    pub fn of_lobby(limits: &Limits) -> Self {
        let addresses = Some(KeyedRateLimiter::new(limits.events_per_address()));
        EventLimiter { addresses, ..Self::of_room(limits) }
    }

    pub fn of_room(limits: &Limits) -> Self {
        EventLimiter { clients: KeyedRateLimiter::new(limits.events()), addresses: None }
    }

    /// Counts one event; `false` if it exceeds a limit.
    pub fn allow(&self, key: &LimitKey, address: Option<IpAddr>, now: Instant) -> bool {
        let by_address = self.addresses.as_ref().zip(address);
        self.clients.allow(key, now)
            && by_address.is_none_or(|(limiter, address)| limiter.allow(&address, now))
    }
}
