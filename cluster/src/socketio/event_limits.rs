//! The rate limits for events. A player's limit holds across reconnects. A client that goes on
//! beyond it is throttled to [`Limits::frames`].

use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use tokio::time::Instant;

use crate::config::limits::Limits;
use crate::runtime::rate_limiter::KeyedRateLimiter;
use crate::runtime::token_bucket::Quota;
use crate::socketio::packet::ConnId;
use crate::types::PlayerId;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum LimitKey {
    Player(PlayerId),
    /// A connection without a token, also after it has registered.
    Visitor(ConnId),
}

/// The rate limiter for the events of all connections.
#[derive(Clone)]
pub(crate) struct EventLimiter {
    clients: SharedLimiter<LimitKey>,
    /// In the lobby only, where anybody may connect: the players of a room may share an address.
    addresses: Option<SharedLimiter<IpAddr>>,
}

type SharedLimiter<K> = Arc<Mutex<KeyedRateLimiter<K>>>;

impl EventLimiter {
    pub fn of_lobby(limits: &Limits) -> Self {
        let addresses = Some(limiter(limits.events_per_address()));
        EventLimiter { addresses, ..Self::of_room(limits) }
    }

    pub fn of_room(limits: &Limits) -> Self {
        EventLimiter { clients: limiter(limits.events()), addresses: None }
    }

    /// Counts one event; `false` if it exceeds a limit.
    pub fn allow(&self, key: &LimitKey, address: Option<IpAddr>, now: Instant) -> bool {
        let by_address = self.addresses.as_ref().zip(address);
        allow(&self.clients, key, now)
            && by_address.is_none_or(|(limiter, address)| allow(limiter, &address, now))
    }
}

fn limiter<K: Eq + Hash + Clone>(quota: Quota) -> SharedLimiter<K> {
    Arc::new(Mutex::new(KeyedRateLimiter::new(quota)))
}

fn allow<K: Eq + Hash + Clone>(limiter: &SharedLimiter<K>, key: &K, now: Instant) -> bool {
    limiter.lock().expect("nobody panics while holding this").allow(key, now)
}
