//! A brute-force guard for the codes of private rooms. It limits wrong codes per player, and per
//! network, because anyone can register again. There is no limit per room or for all: whoever
//! tries codes would shut out players elsewhere who know theirs.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;

use tokio::time::Instant;

use crate::runtime::{KeyedRateLimiter, Quota};
use crate::types::{PlayerId, Refusal};

/// A network has a hundred times the attempts of a player: a school shares an address, and only a
/// flood of wrong codes may cost its players theirs.
const PLAYERS_PER_NETWORK: f64 = 100.0;

pub(crate) struct CodeAttempts {
    players: KeyedRateLimiter<PlayerId>,
    networks: KeyedRateLimiter<IpAddr>,
}

impl CodeAttempts {
    pub fn new(per_minute: NonZeroU32) -> Self {
        let burst = f64::from(per_minute.get());
        let rate = Quota { per_second: burst / 60.0, burst };
        CodeAttempts {
            players: KeyedRateLimiter::new(rate),
            networks: KeyedRateLimiter::new(rate.times(PLAYERS_PER_NETWORK)),
        }
    }

    /// Whether the player may try a code. Call this before the code is looked up: without attempts
    /// left, the right code is refused too.
    pub fn check(&self, player: &PlayerId, address: Option<IpAddr>) -> Result<(), Refusal> {
        let now = Instant::now();
        let allowed = self.players.would_allow(player, now)
            && address.is_none_or(|address| self.networks.would_allow(&network(address), now));
        if allowed { Ok(()) } else { Err(Refusal::TOO_MANY_GUESSES) }
    }

    pub fn count(&self, player: &PlayerId, address: Option<IpAddr>) {
        let now = Instant::now();
        self.players.allow(player, now);
        if let Some(address) = address {
            self.networks.allow(&network(address), now);
        }
    }
}

/// Of IPv6, the /48: one customer may get that, 65,536 of the networks that count as one address
/// elsewhere.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 80 << 80).into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tries wrong codes from each address in turn, always as a new player, until one is refused.
    fn attempts_from(addresses: impl Iterator<Item = IpAddr>) -> usize {
        let attempts = CodeAttempts::new(NonZeroU32::new(10).unwrap());
        let tries = addresses.enumerate().take_while(|(n, address)| {
            let player = PlayerId(n.to_string());
            let allowed = attempts.check(&player, Some(*address)).is_ok();
            attempts.count(&player, Some(*address));
            allowed
        });
        tries.count()
    }

    #[test]
    fn all_addresses_of_an_ipv6_customer_share_their_attempts() {
        let customer: Ipv6Addr = "2001:db8:1::".parse().unwrap();
        let network = |n: u128| IpAddr::from(Ipv6Addr::from_bits(customer.to_bits() | n << 64));
        let allowed = attempts_from((0..65_536).map(network));
        assert!((1_000..2_000).contains(&allowed), "{allowed}");
        let others = |n: u128| IpAddr::from(Ipv6Addr::from_bits(customer.to_bits() + (n << 80)));
        assert_eq!(attempts_from((0..5_000).map(others)), 5_000, "others have their own");
    }
}
