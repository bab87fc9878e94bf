//! Wrong codes of private rooms: a person mistypes one now and then, a program tries them all. AddressPermit for
//! each player, and for each address, because anyone can register again.

use std::{net::IpAddr, num::NonZeroU32};

use tokio::time::Instant;

use crate::{
    runtime::{rate_limiter::KeyedRateLimiter, token_bucket::Quota},
    types::{PlayerId, Refusal},
};

/// So many more from one address than from one player: a class that plays.
const CLASS: f64 = 10.0;

pub(crate) struct CodeAttempts {
    players: KeyedRateLimiter<PlayerId>,
    addresses: KeyedRateLimiter<IpAddr>,
}

impl CodeAttempts {
    pub fn new(per_minute: NonZeroU32) -> Self {
        let rate = Quota::per_minute(per_minute.get());
        CodeAttempts {
            players: KeyedRateLimiter::new(rate),
            addresses: KeyedRateLimiter::new(rate.times(CLASS)),
        }
    }

    /// Whether he may try once more. Asked before the code is looked at: a right one does not count then
    /// either.
    pub fn check(&self, player: &PlayerId, address: Option<IpAddr>) -> Result<(), Refusal> {
        let now = Instant::now();
        let address_may = address.is_none_or(|address| self.addresses.would_allow(&address, now));
        match address_may && self.players.would_allow(player, now) {
            true => Ok(()),
            false => Err(Refusal::TOO_MANY_GUESSES),
        }
    }

    /// It was wrong.
    pub fn count(&mut self, player: &PlayerId, address: Option<IpAddr>) {
        let now = Instant::now();
        self.players.allow(player, now);
        if let Some(address) = address {
            self.addresses.allow(&address, now);
        }
    }
}
