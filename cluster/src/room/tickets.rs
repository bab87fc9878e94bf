//! The tickets that a room accepts.

use std::{collections::HashMap, sync::Mutex};

use tokio::time::Instant;

use crate::{
    runtime::failures::Wrong,
    types::{PlayerId, Refusal},
};

/// Each ticket is redeemed by the first connection that shows it, before that connection is
/// answered. Shared between the event loop and the connections; nothing else is.
pub(crate) struct Tickets {
    good: Mutex<HashMap<String, (PlayerId, Instant)>>,
    wrong: Wrong,
}

impl Default for Tickets {
    fn default() -> Self {
        Tickets { good: Mutex::default(), wrong: Wrong::new("wrong tickets") }
    }
}

impl Tickets {
    pub fn add(&self, ticket: String, player: PlayerId, now: Instant, until: Instant) {
        let mut tickets = self.good.lock().expect("nobody panics while holding this");
        tickets.retain(|_, (other, until)| *other != player && now < *until);
        tickets.insert(ticket, (player, until));
    }

    /// Until when a ticket of this player is valid.
    pub fn until(&self, player: &PlayerId) -> Option<Instant> {
        let tickets = self.good.lock().expect("nobody panics while holding this");
        tickets.values().find(|(other, _)| other == player).map(|(_, until)| *until)
    }

    /// Revokes the player's ticket.
    pub fn forget(&self, player: &PlayerId) {
        let mut tickets = self.good.lock().expect("nobody panics while holding this");
        tickets.retain(|_, (other, _)| other != player);
    }

    /// The ticket's player; once, and only while it is valid.
    pub fn redeem(&self, ticket: &str, now: Instant) -> Result<PlayerId, Refusal> {
        let mut tickets = self.good.lock().expect("nobody panics while holding this");
        match tickets.remove(ticket) {
            Some((player, until)) if now < until => Ok(player),
            _ => {
                self.wrong.add();
                Err(Refusal::BAD_TICKET)
            }
        }
    }
}
