//! The tickets that a room accepts.

use std::collections::HashMap;
use std::sync::Mutex;

use tokio::time::Instant;

use crate::runtime::FailureCounter;
use crate::types::{PlayerId, Refusal};

static INVALID: FailureCounter = FailureCounter::new("invalid tickets");

/// The tickets that the lobby announced and nobody has used: at most one for each player. Shared
/// with the tasks that accept connections, which redeem a ticket before they answer.
#[derive(Default)]
pub(crate) struct Tickets(Mutex<HashMap<String, (PlayerId, Instant)>>);

impl Tickets {
    /// Adds a ticket, which replaces an older one of the same player.
    pub fn add(&self, ticket: String, player: PlayerId, now: Instant, until: Instant) {
        let mut tickets = self.0.lock().expect("nobody panics while holding this");
        tickets.retain(|_, (other, until)| *other != player && now < *until);
        tickets.insert(ticket, (player, until));
    }

    /// When the player's unused ticket expires, if they have one.
    pub fn until(&self, player: &PlayerId) -> Option<Instant> {
        let tickets = self.0.lock().expect("nobody panics while holding this");
        tickets.values().find(|(other, _)| other == player).map(|(_, until)| *until)
    }

    /// Removes the player's ticket.
    pub fn revoke(&self, player: &PlayerId) {
        let mut tickets = self.0.lock().expect("nobody panics while holding this");
        tickets.retain(|_, (other, _)| other != player);
    }

    /// Uses up a ticket; returns its player.
    pub fn redeem(&self, ticket: &str, now: Instant) -> Result<PlayerId, Refusal> {
        let mut tickets = self.0.lock().expect("nobody panics while holding this");
        match tickets.remove(ticket) {
            Some((player, until)) if now < until => Ok(player),
            _ => {
                INVALID.add();
                Err(Refusal::BAD_TICKET)
            }
        }
    }
}
