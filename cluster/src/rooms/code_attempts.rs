//! A brute-force guard for the codes of private rooms. It limits wrong codes per player, and per
//! address, because anyone can register again.

use std::net::IpAddr;
use std::num::NonZeroU32;

use tokio::time::Instant;

use crate::runtime::{KeyedRateLimiter, Quota};
use crate::types::{PlayerId, Refusal};

/// An address has ten times the attempts of a player: a school class shares one.
const PLAYERS_PER_ADDRESS: f64 = 10.0;

pub(crate) struct CodeAttempts {
    players: KeyedRateLimiter<PlayerId>,
    addresses: KeyedRateLimiter<IpAddr>,
}

impl CodeAttempts {
    pub fn new(per_minute: NonZeroU32) -> Self {
        let burst = f64::from(per_minute.get());
        let rate = Quota { per_second: burst / 60.0, burst };
        CodeAttempts {
            players: KeyedRateLimiter::new(rate),
            addresses: KeyedRateLimiter::new(rate.times(PLAYERS_PER_ADDRESS)),
        }
    }

    /// Whether the player may try a code. Call this before the code is looked up: without attempts
    /// left, the right code is refused too.
    pub fn check(&self, player: &PlayerId, address: Option<IpAddr>) -> Result<(), Refusal> {
        let now = Instant::now();
        let allowed = self.players.would_allow(player, now)
            && address.is_none_or(|address| self.addresses.would_allow(&address, now));
        if allowed { Ok(()) } else { Err(Refusal::TOO_MANY_GUESSES) }
    }

    pub fn count(&self, player: &PlayerId, address: Option<IpAddr>) {
        let now = Instant::now();
        self.players.allow(player, now);
        if let Some(address) = address {
            self.addresses.allow(&address, now);
        }
    }
}
