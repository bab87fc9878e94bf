//! The hooks of the lobby: [`Lobby`] for sessions, implemented in `src/server.rs`, and [`RoomManager`] for
//! rooms, in `src/room_manager.rs`. `event_loop/` calls them.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::{
    auth::token::random_id,
    lobby::context::LobbyContext,
    room::hooks::Room,
    rooms::RoomInfo,
    types::{Answer, Exit, LeaveReason, Message, Player, PlayerId, Refusal, RoomId},
};

/// What a browser sends to register.
#[derive(Debug, Clone, Deserialize)]
pub struct Registration {
    /// As typed; not checked yet.
    #[serde(default)]
    pub name: String,
    /// Whatever else was sent, such as a password or another service's token.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// Who a person is from now on: a new player, or one that you know already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The same at each registration of this person, or a new one.
    pub id: PlayerId,
    /// Shown to other players.
    pub name: String,
}

/// Bytes of an id, and of a name: a party of 32 fits into one frame of 64 KiB.
const MAX_IDENTITY: usize = 256;

impl Identity {
    /// A new player. Refuses a name without visible characters, with control characters, or longer than
    /// 24 characters.
    pub fn new(name: &str) -> Result<Self, Refusal> {
        let name = name.trim();
        let good = (1..=24).contains(&name.chars().count()) && !name.chars().any(is_invisible);
        let id = PlayerId(random_id());
        if good { Ok(Identity { id, name: name.to_owned() }) } else { Err(Refusal::BAD_NAME) }
    }
}

impl Identity {
    /// What your own `on_register` says must fit into a frame between lobby and room, beside others.
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        for (what, text) in [("id", &self.id.0), ("name", &self.name)] {
            if text.is_empty() || text.len() > MAX_IDENTITY || text.chars().any(char::is_control) {
                let bytes = text.len();
                tracing::error!(
                    what,
                    bytes,
                    "on_register: an id or a name has 1 to {MAX_IDENTITY} bytes and no control characters"
                );
                return Err(Refusal::INTERNAL);
            }
        }
        Ok(())
    }
}

/// Characters that show nothing or change how others are shown: one could pass for somebody else.
fn is_invisible(c: char) -> bool {
    let formats = '\u{200b}'..='\u{200f}';
    let directions = '\u{2028}'..='\u{202e}';
    let joiners = '\u{2060}'..='\u{206f}';
    c.is_control()
        || formats.contains(&c)
        || directions.contains(&c)
        || joiners.contains(&c)
        || matches!(c, '\u{ad}' | '\u{feff}')
}

/// How a player came to be in the lobby.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrival {
    /// Registered just now.
    New,
    /// Known by their token.
    Resumed,
    /// From a room, and why; their page has been told the same.
    Returned {
        /// The room that they were in.
        room: RoomId,
        /// Why they left it.
        reason: LeaveReason,
    },
}

/// The sessions in the lobby: who may enter, and what they ask.
///
/// Hooks are called one at a time, in the order in which things on_notice, by the task that owns the
/// state. A hook must not wait: spawn async work with [`LobbyContext::spawn`], heavy work with
/// [`LobbyContext::compute`]; the result comes as a later call. A hook that panics is logged, and the
/// lobby goes on.
#[allow(unused_variables, reason = "defaults name their arguments for those who copy them")]
pub trait Lobby: Default + 'static {
    /// Browser to lobby: an enum; a variant's name in snake_case is the event's name.
    type Request: DeserializeOwned + Message;
    /// Lobby to browser: an enum as above.
    type Event: Serialize + Message;

    /// Called once, before anybody can connect. A refusal ends the program. Default: nothing.
    fn on_start(
        &mut self,
        lobby: &LobbyContext<Self>,
    ) -> impl Future<Output = Result<(), Refusal>> {
        async { Ok(()) }
    }

    /// Authenticates a registration: the place for a database or an identity provider. Several of these
    /// may run at the same time. Default: anyone with a proper name is a new player.
    fn on_register(form: Registration) -> impl Future<Output = Result<Identity, Refusal>> {
        async move { Identity::new(&form.name) }
    }

    /// A request of a player. Those of one player come in the order in which they were sent. Default:
    /// refused as unknown.
    fn on_request(
        &mut self,
        lobby: &LobbyContext<Self>,
        from: &Player,
        request: Self::Request,
    ) -> Answer {
        Err(Refusal::unknown_event(""))
    }

    /// A player is in the lobby now. Default: back into the room that keeps a seat for them, if any.
    fn on_arrive(&mut self, lobby: &LobbyContext<Self>, player: &Player, how: Arrival) {
        lobby.send_back(player);
    }

    /// A player is not in the lobby any more: once for each `on_arrive`. They are in a room, or on the
    /// way to one, if `seat_of` finds it; otherwise they are gone, or are reloading the page. Default:
    /// nothing.
    fn on_leave(&mut self, lobby: &LobbyContext<Self>, player: &Player) {}

    /// The lobby is about to stop; its rooms are asked to finish after this. Default: nothing.
    fn on_stop(&mut self, lobby: &LobbyContext<Self>) {}
}

/// The rooms of one kind: which one a player gets, and what rooms say. Implemented for the lobby's
/// state, once for each kind of room that `main.rs` registers; called as the hooks of [`Lobby`].
#[allow(unused_variables, reason = "defaults name their arguments for those who copy them")]
pub trait RoomManager<R: Room>: Lobby {
    /// Which room a player gets who asked to `play`: an open one, or one that this creates. A player
    /// who has a seat already goes there, and this is not called. Default: the fullest open room, so
    /// that players meet; a new one with default options if there is none. What is picked is tried, and not
    /// picked again: a player whom that room refuses, by `on_admit` or a ban, is told so.
    fn pick(&mut self, lobby: &LobbyContext<Self>, player: &Player) -> Result<RoomId, Refusal> {
        match lobby.fullest::<R>() {
            Some(room) => Ok(room.id),
            None => lobby.create::<R>(player, lobby.settings().seats, R::Options::default()),
        }
    }

    /// A room is open. Default: nothing.
    fn on_room_ready(&mut self, lobby: &LobbyContext<Self>, room: &RoomInfo<R::Options>) {}

    /// A message of a room's `tell_lobby`. Default: nothing.
    fn on_room_message(
        &mut self,
        lobby: &LobbyContext<Self>,
        room: &RoomInfo<R::Options>,
        message: R::ToLobby,
    ) {
    }

    /// A room has ended, and its process is gone: exactly once for each room that was created, after all
    /// that it told the lobby; not for those that are still there when a stopping lobby gives up on them, after
    /// twice `--stop-timeout`. Its players are back, or on the way. Default: nothing; a room is not started
    /// again.
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
