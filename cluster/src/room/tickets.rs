//! The tickets that a room accepts.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

use tokio::time::Instant;

use crate::runtime::FailureCounter;
use crate::types::{PlayerId, Refusal};

static INVALID: FailureCounter = FailureCounter::new("invalid tickets");

/// The tickets that the lobby announced and nobody has used: at most one for each player, who has a
/// seat, with the time at which it expires. Shared with the tasks that accept connections, which
/// redeem a ticket before they answer.
#[derive(Default)]
pub(crate) struct Tickets(Mutex<HashMap<PlayerId, (String, Instant)>>);

impl Tickets {
    fn lock(&self) -> MutexGuard<'_, HashMap<PlayerId, (String, Instant)>> {
        self.0.lock().expect("nobody panics while holding this")
    }

    /// Adds a ticket, which replaces an older one of the same player.
    pub fn add(&self, ticket: String, player: PlayerId, until: Instant) {
        self.lock().insert(player, (ticket, until));
    }

    /// When the player's unused ticket expires, if they have one.
    pub fn until(&self, player: &PlayerId) -> Option<Instant> {
        self.lock().get(player).map(|(_, until)| *until)
    }

    /// Removes the player's ticket.
    pub fn revoke(&self, player: &PlayerId) {
        self.lock().remove(player);
    }

    /// Uses up a ticket; returns its player. To search through all of them takes little of the time
    /// that a connection takes.
    pub fn redeem(&self, ticket: &str, now: Instant) -> Result<PlayerId, Refusal> {
        let used = self.lock().extract_if(|_, (other, _)| other == ticket).next();
        let player = used.and_then(|(player, (_, until))| (now < until).then_some(player));
        player.ok_or(Refusal::BAD_TICKET).inspect_err(|_| INVALID.add())
    }
}
