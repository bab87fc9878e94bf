//! The lobby's context: what its hooks can do besides changing their own state. What they do with rooms
//! is in `rooms.rs`.

pub(crate) mod kinds;
mod rooms;

use std::{cell::RefCell, ops::Deref};

use crate::{
    auth::token::Tokens,
    config::settings::Settings,
    lobby::{context::kinds::Kind, hooks::Lobby, sessions::Sessions},
    rooms::{Rooms, code_attempts::CodeAttempts},
    runtime::scheduler::Scheduler,
    socketio::events,
    types::{LeaveReason, PlayerId, Refusal, short},
};

/// The handle that every hook of the lobby gets.
pub struct LobbyContext<L> {
    pub(crate) kinds: Vec<Kind<L>>,
    pub(crate) settings: Settings,
    pub(crate) tokens: std::sync::Arc<Tokens>,
    pub(crate) rooms: RefCell<Rooms>,
    pub(crate) sessions: RefCell<Sessions>,
    pub(crate) code_attempts: RefCell<CodeAttempts>,
    pub(crate) scheduler: Scheduler<L, LobbyContext<L>>,
}

impl<L: Lobby> LobbyContext<L> {
    /// The settings that this lobby was started with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// A kind that is registered: rooms are of no other.
    pub(crate) fn kind(&self, name: &str) -> &Kind<L> {
        let kind = self.kinds.iter().find(|kind| kind.name == name);
        kind.expect("rooms are of a registered kind")
    }

    /// Whether a player is in the lobby.
    pub fn is_here(&self, player: impl AsRef<PlayerId>) -> bool {
        self.sessions.borrow().is_present(player.as_ref())
    }

    /// Puts a player out of his room, or out of the lobby: his page shows the reason. From the lobby it
    /// does not come back by itself; he may reload it.
    pub fn kick(&self, player: impl AsRef<PlayerId>, reason: &str) {
        self.put_out(player.as_ref(), reason, Refusal::kicked(reason));
    }

    /// Puts a player out, and does not let him in again, until the lobby restarts. A person who
    /// registers anew is somebody else, unless your `on_register` knows better.
    pub fn ban(&self, player: impl AsRef<PlayerId>, reason: &str) {
        let player = player.as_ref();
        self.sessions.borrow_mut().ban(player.clone(), short(reason));
        self.put_out(player, reason, Refusal::banned(reason));
    }

    /// Lets a player in again.
    pub fn unban(&self, player: impl AsRef<PlayerId>) {
        self.sessions.borrow_mut().unban(player.as_ref());
    }

    fn put_out(&self, player: &PlayerId, reason: &str, refusal: Refusal) {
        self.rooms.borrow_mut().release(player, &LeaveReason::Kicked(short(reason)));
        if let Some(conn) = self.sessions.borrow().conn_of(player) {
            conn.dismiss(&refusal);
        }
    }

    /// Sends an event to a player, if he is in the lobby. A browser that does not read counts as gone
    /// (`--max-outbound-packets`).
    pub fn send(&self, to: impl AsRef<PlayerId>, event: L::Event) {
        if let (Some(conn), Some(event)) =
            (self.sessions.borrow().conn_of(to.as_ref()), encode(&event))
        {
            // One who cannot be reached is gone, and the loop hears of it.
            let _ = conn.emit(&event);
        }
    }

    /// Sends an event to everyone who is in the lobby, registered or not. Those who are in rooms, or on the
    /// way from there, do not hear it.
    pub fn broadcast(&self, event: L::Event) {
        if let Some(event) = encode(&event) {
            for conn in self.sessions.borrow().everyone() {
                let _ = conn.emit(&event);
            }
        }
    }
}

impl<L: Lobby> Deref for LobbyContext<L> {
    type Target = Scheduler<L, Self>;

    /// Timers, spawned futures and computations.
    fn deref(&self) -> &Self::Target {
        &self.scheduler
    }
}

fn encode(event: &impl serde::Serialize) -> Option<events::Encoded> {
    let encoded = events::encode(event);
    encoded.inspect_err(|error| tracing::error!(%error, "an event was not sent")).ok()
}
