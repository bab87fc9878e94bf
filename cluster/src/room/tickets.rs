//! The tickets that a room accepts.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

use tokio::time::Instant;

use crate::runtime::FailureCounter;
use crate::types::{PlayerId, Refusal};

static INVALID: FailureCounter = FailureCounter::new("invalid tickets");

/// The tickets that the lobby announced and nobody has used: at most one for each player, who has a
/// seat. Shared with the tasks that accept connections, which redeem a ticket before they answer.
#[derive(Default)]
pub(crate) struct Tickets(Mutex<Unused>);

#[derive(Default)]
struct Unused {
    tickets: HashMap<String, PlayerId>,
    by_player: HashMap<PlayerId, (String, Instant)>,
}

impl Tickets {
    fn lock(&self) -> MutexGuard<'_, Unused> {
        self.0.lock().expect("nobody panics while holding this")
    }

    /// Adds a ticket, which replaces an older one of the same player.
    pub fn add(&self, ticket: String, player: PlayerId, until: Instant) {
        let mut unused = self.lock();
        let old = unused.by_player.insert(player.clone(), (ticket.clone(), until));
        old.map(|(old, _)| unused.tickets.remove(&old));
        unused.tickets.insert(ticket, player);
    }

    /// When the player's unused ticket expires, if they have one.
    pub fn until(&self, player: &PlayerId) -> Option<Instant> {
        self.lock().by_player.get(player).map(|(_, until)| *until)
    }

    /// Removes the player's ticket.
    pub fn revoke(&self, player: &PlayerId) {
        let mut unused = self.lock();
        if let Some((ticket, _)) = unused.by_player.remove(player) {
            unused.tickets.remove(&ticket);
        }
    }

    /// Uses up a ticket; returns its player.
    pub fn redeem(&self, ticket: &str, now: Instant) -> Result<PlayerId, Refusal> {
        let mut unused = self.lock();
        let player = unused.tickets.remove(ticket);
        let used = player.and_then(|player| unused.by_player.remove_entry(&player));
        let player = used.and_then(|(player, (_, until))| (now < until).then_some(player));
        player.ok_or(Refusal::BAD_TICKET).inspect_err(|_| INVALID.add())
    }
}
