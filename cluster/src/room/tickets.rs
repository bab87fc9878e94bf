//! Who may come into a room: those who show a ticket that the lobby has told it of.

use std::{collections::HashMap, sync::Mutex};

use tokio::time::Instant;

use crate::{
    runtime::failures::Wrong,
    types::{PlayerId, Refusal},
};

/// Who may come: a ticket is taken out by the first connection that shows it, before that connection
/// is answered. Shared with the connections' side; nothing else is.
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

    /// Until when a ticket of this player waits for him.
    pub fn until(&self, player: &PlayerId) -> Option<Instant> {
        let tickets = self.good.lock().expect("nobody panics while holding this");
        tickets.values().find(|(other, _)| other == player).map(|(_, until)| *until)
    }

    /// The player has no seat any more.
    pub fn forget(&self, player: &PlayerId) {
        let mut tickets = self.good.lock().expect("nobody panics while holding this");
        tickets.retain(|_, (other, _)| other != player);
    }

    /// The ticket's player, once and in time.
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
