//! The hooks of the lobby: [`Lobby`] for players, implemented in `src/server.rs`, and
//! [`RoomManager`] for rooms, in `src/room_manager.rs`. `event_loop/` calls them, except for `on_start` (`process.rs`).

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tracing::error;

use crate::auth::random_id;
use crate::lobby::LobbyContext;
use crate::room::Room;
use crate::rooms::RoomInfo;
use crate::types::{Answer, Exit, LeaveReason, Message, Player, PlayerId, Refusal, RoomId};

/// What a browser sends to register.
#[derive(Debug, Clone, Deserialize)]
pub struct Registration {
    /// The name as typed, unchecked.
    #[serde(default)]
    pub name: String,
    /// All other fields, such as a password or another service's token.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// The player that a registration results in: a new one, or one that you know already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The player's id: a new one, or the same at each registration of this person. 1 to 256 bytes.
    pub id: PlayerId,
    /// The name that other players see. 1 to 256 bytes.
    pub name: String,
}

/// The longest id, and the longest name, in bytes: a party of 32 fits into one frame of 64 KiB.
const MAX_IDENTITY: usize = 256;

impl Identity {
    /// A new player with a random id. Refuses, with `bad_name`, a name that is empty, has control
    /// or invisible characters, or is longer than 24 characters.
    pub fn new(name: &str) -> Result<Self, Refusal> {
        let name = name.trim();
        let good = (1..=24).contains(&name.chars().count()) && !name.chars().any(is_invisible);
        let id = PlayerId(random_id());
        if good { Ok(Identity { id, name: name.to_owned() }) } else { Err(Refusal::BAD_NAME) }
    }

    /// Checks what the user's own `on_register` returned.
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        for text in [&self.id.0, &self.name] {
            if text.is_empty() || text.len() > MAX_IDENTITY || text.chars().any(char::is_control) {
                error!(
                    bytes = text.len(),
                    "on_register: an id or a name has 1 to {MAX_IDENTITY} bytes and no control characters"
                );
                return Err(Refusal::INTERNAL);
            }
        }
        Ok(())
    }
}

/// Characters that are not visible, or change the direction of others: with them, one player could
/// take the name of another.
fn is_invisible(c: char) -> bool {
    let formats =
        matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    let directions = matches!(c, '\u{2028}'..='\u{202e}');
    c.is_control() || formats || directions
}

/// How a player came to the lobby.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrival {
    /// They have just registered.
    New,
    /// They connected with a token.
    Resumed,
    /// They returned from a room. Their page is told the same.
    Returned {
        /// The room that they were in.
        room: RoomId,
        /// Why they left it.
        reason: LeaveReason,
    },
}

/// The hooks for players in the lobby: who may enter, and what they may ask.
///
/// Hooks are called one at a time, in the order of events, by the task that owns the state. A hook
/// must not block: run async work with [`spawn`](crate::Scheduler::spawn) and heavy work with
/// [`compute`](crate::Scheduler::compute); the result is delivered as a later call. If a hook
/// panics, the panic is logged and the lobby goes on.
#[allow(unused_variables, reason = "defaults name their arguments for those who copy them")]
pub trait Lobby: Default + 'static {
    /// Messages from browser to lobby: an enum. A variant's name in snake_case is the event's name.
    type Request: DeserializeOwned + Message;
    /// Messages from lobby to browser: an enum as above.
    type Event: Serialize + Message;

    /// Called once, before the lobby accepts connections. A refusal ends the program. Default:
    /// nothing.
    fn on_start(
        &mut self,
        lobby: &LobbyContext<Self>,
    ) -> impl Future<Output = Result<(), Refusal>> {
        async { Ok(()) }
    }

    /// Authenticates a registration, for example by a database or an identity provider. Several may
    /// run at the same time. Default: [`Identity::new`], a new player for each registration.
    fn on_register(form: Registration) -> impl Future<Output = Result<Identity, Refusal>> {
        async move { Identity::new(&form.name) }
    }

    /// A player sent a request. Requests of one player arrive in the order in which they were sent.
    /// Default: refused with `unknown_event`.
    fn on_request(
        &mut self,
        lobby: &LobbyContext<Self>,
        from: &Player,
        request: Self::Request,
    ) -> Answer {
        Err(Refusal::unknown_event(""))
    }

    /// A player has entered the lobby. Default: [`LobbyContext::send_back`], which reroutes them to
    /// the room that keeps a seat for them, if any.
    fn on_arrive(&mut self, lobby: &LobbyContext<Self>, player: &Player, how: Arrival) {
        lobby.send_back(player);
    }

    /// A player has left the lobby; called once for each `on_arrive`. If [`LobbyContext::seat_of`]
    /// finds a room, they are in it, on the way, or may return to it. Otherwise they have
    /// disconnected, are reloading the page, or have opened another window. Default: nothing.
    fn on_leave(&mut self, lobby: &LobbyContext<Self>, player: &Player) {}

    /// The lobby is about to stop. After this call its rooms are told to drain. Default: nothing.
    fn on_stop(&mut self, lobby: &LobbyContext<Self>) {}
}

/// The hooks for rooms of one kind: which one a player gets, and what the rooms report. Implemented
/// for the lobby's state, once for each kind of room that `main.rs` registers. Called like the
/// hooks of [`Lobby`].
#[allow(unused_variables, reason = "defaults name their arguments for those who copy them")]
pub trait RoomManager<R: Room>: Lobby {
    /// Picks the room for a player who asked to `play`: an open one, or one that this creates. Not
    /// called for a player who has a seat in a room of this kind: they are sent there. If the room
    /// refuses the player, in `on_admit` for example, they are told so; `pick` is not called again.
    /// Default: the fullest open room, so that players meet, or a new one with default options.
    fn pick(&mut self, lobby: &LobbyContext<Self>, player: &Player) -> Result<RoomId, Refusal> {
        match lobby.fullest::<R>() {
            Some(room) => Ok(room.id),
            None => lobby.create::<R>(player, lobby.settings().seats, R::Options::default()),
        }
    }

    /// A room is ready: its `on_open` has returned. Default: nothing.
    fn on_room_ready(&mut self, lobby: &LobbyContext<Self>, room: &RoomInfo<R::Options>) {}

    /// A room sent a message with `tell_lobby`. Default: nothing.
    fn on_room_message(
        &mut self,
        lobby: &LobbyContext<Self>,
        room: &RoomInfo<R::Options>,
        message: R::ToLobby,
    ) {
    }

    /// A room has ended and its process has exited. Called once for each room that was created,
    /// after all messages of the room; not called for rooms that outlive a stopping lobby's
    /// deadline, twice `--stop-timeout`. The room's players are in the lobby or on the way.
    /// Default: nothing; a room is not restarted.
    fn on_room_exit(
        &mut self,
        lobby: &LobbyContext<Self>,
        room: &RoomInfo<R::Options>,
        exit: Exit,
    ) {
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        assert_eq!(Identity::new("  Ann Ö. 🦀 ").unwrap().name, "Ann Ö. 🦀");
        for bad in ["", "   ", "a\nb", "a\u{202e}b", "\u{200b}", &"x".repeat(25)] {
            assert_eq!(Identity::new(bad), Err(Refusal::BAD_NAME), "{bad:?}");
        }
    }
}
