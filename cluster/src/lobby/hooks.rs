//! The hooks of the lobby: [`Lobby`] for players, implemented in `src/server.rs`, and
//! [`RoomManager`] for rooms, in `src/room_manager.rs`. `event_loop/` calls them, except for
//! `on_start` (`process.rs`).

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tracing::error;

use crate::auth::random_id;
use crate::lobby::LobbyContext;
use crate::room::Room;
use crate::rooms::RoomInfo;
use crate::types::{
    Answer, Exit, LeaveReason, Message, Player, PlayerId, Refusal, RoomId, readable_line,
};

/// What a page sent to register; [`Lobby::on_register`] gets it. Nothing in it has been checked.
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
///
/// An account gives the same id at each registration, and is the same player everywhere:
///
/// ```
/// # use cluster::{Identity, PlayerId, Refusal, Registration, refuse};
/// # async fn log_in(name: &str, password: &str) -> Option<u64> { Some(7) }
/// async fn on_register(form: Registration) -> Result<Identity, Refusal> {
///     let password = form.more.get("password").and_then(|password| password.as_str());
///     let account = log_in(&form.name, password.unwrap_or_default()).await;
///     let number = account.ok_or(refuse("wrong_password", "Wrong name or password."))?;
///     Ok(Identity { id: PlayerId(format!("account-{number}")), name: form.name })
/// }
/// ```
///
/// An id or a name that is longer than 256 bytes or is no [`readable_line`] is refused with
/// `internal`; the log says why.
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
    /// A new player with a random id and this name, without spaces around it.
    ///
    /// Refuses, with `bad_name`, a name that is no [`readable_line`] of 1 to 24 characters: with
    /// invisible characters, one player could take the name of another.
    pub fn new(name: &str) -> Result<Self, Refusal> {
        let name = readable_line(name, 24).ok_or(Refusal::BAD_NAME)?.to_owned();
        Ok(Identity { id: PlayerId(random_id()), name })
    }

    /// Checks what the user's own `on_register` returned.
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        for text in [&self.id.0, &self.name] {
            if text.len() > MAX_IDENTITY || readable_line(text, MAX_IDENTITY).is_none() {
                error!(
                    bytes = text.len(),
                    "on_register: an id or a name is a readable line of 1 to {MAX_IDENTITY} bytes"
                );
                return Err(Refusal::INTERNAL);
            }
        }
        Ok(())
    }
}

/// How a player came to the lobby; [`Lobby::on_arrive`] gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrival {
    /// They have just registered.
    New,
    /// They connected with their token: after a reload or a lost connection, even a month later.
    Resumed,
    /// They returned from a room. Their page is told the same. A player who returns more than ten
    /// minutes after leaving the room counts as [`Resumed`](Arrival::Resumed).
    Returned {
        /// The room that they were in.
        room: RoomId,
        /// Why they left it.
        reason: LeaveReason,
    },
}

/// The hooks for players in the lobby: who may enter, and what they may ask.
///
/// They are methods on your state, which the program makes with `Default`. Hooks are called one at
/// a time, in the order of events, by the task that owns the state. A hook must not block, or
/// everyone in the lobby waits: run async work with [`spawn`](crate::Scheduler::spawn) and heavy
/// work with [`compute`](crate::Scheduler::compute). Their results are delivered as later calls. If
/// a hook panics, the panic is logged and the lobby goes on. A request that it was called for is
/// refused with `internal`.
///
/// ```
/// use cluster::{Answer, Lobby, LobbyContext, Player, ok};
///
/// cluster::messages! {
///     pub enum Ask { Wave }
///     pub enum News { Line(String) }
/// }
///
/// #[derive(Default)]
/// struct Server {
///     waves: u32,
/// }
///
/// impl Lobby for Server {
///     type Request = Ask;
///     type Event = News;
///
///     fn on_request(&mut self, lobby: &LobbyContext<Self>, from: &Player, _: Ask) -> Answer {
///         self.waves += 1;
///         lobby.broadcast(News::Line(format!("{}: wave {}", from.name, self.waves)));
///         ok()
///     }
/// }
/// ```
#[allow(unused_variables, reason = "defaults name their arguments for those who copy them")]
pub trait Lobby: Default + 'static {
    /// What pages may ask of the lobby: an enum of [`messages!`](crate::messages). A variant's
    /// name, in snake_case, is the event's name.
    type Request: DeserializeOwned + Message;
    /// What the lobby sends to pages: an enum as above.
    type Event: Serialize + Message;

    /// The lobby starts: called once, before it accepts connections. A refusal ends the program
    /// with its message. Default: nothing.
    fn on_start(
        &mut self,
        lobby: &LobbyContext<Self>,
    ) -> impl Future<Output = Result<(), Refusal>> {
        async { Ok(()) }
    }

    /// Authenticates a registration, for example by a database or an identity provider. Several may
    /// run at the same time, so it has no access to the state. A refusal is sent to the page.
    /// Default: [`Identity::new`], a new player for each registration.
    fn on_register(form: Registration) -> impl Future<Output = Result<Identity, Refusal>> {
        async move { Identity::new(&form.name) }
    }

    /// A player sent a request. Requests of one player arrive in the order in which they were sent.
    /// Requests of the cluster itself, such as `play`, do not come here. Only the form of a request
    /// has been checked: [`readable_line`] checks a text that others will see. Default: refused
    /// with `unknown_event`.
    fn on_request(
        &mut self,
        lobby: &LobbyContext<Self>,
        from: &Player,
        request: Self::Request,
    ) -> Answer {
        Err(Refusal::unknown_event(""))
    }

    /// A player has entered the lobby: new, with their token, or back from a room. Default:
    /// [`LobbyContext::send_back`], which reroutes them to the room that keeps a seat for them, if
    /// any.
    fn on_arrive(&mut self, lobby: &LobbyContext<Self>, player: &Player, how: Arrival) {
        lobby.send_back(player);
    }

    /// A player has left the lobby; called once for each `on_arrive`. If [`LobbyContext::seat_of`]
    /// finds a room, they are in it, on the way, or may return to it. Otherwise they have
    /// disconnected, are reloading the page, or have opened another window. Default: nothing.
    fn on_leave(&mut self, lobby: &LobbyContext<Self>, player: &Player) {}

    /// The lobby was asked to stop, by Ctrl-C or SIGTERM, SIGQUIT or SIGHUP. When this returns, its
    /// rooms are told to drain. Default: nothing.
    fn on_stop(&mut self, lobby: &LobbyContext<Self>) {}
}

/// The hooks for rooms of one kind: which one a player gets, and what the rooms report.
///
/// Implemented for the lobby's state, once for each kind of room that `main.rs` registers. Called
/// like the hooks of [`Lobby`], one at a time with those. An empty `impl` is enough:
///
/// ```
/// # use cluster::{Exit, Lobby, LobbyContext, Player, Refusal, Room, RoomContext, RoomId};
/// # use cluster::{RoomInfo, RoomManager};
/// # struct Quiz;
/// # impl Room for Quiz {
/// #     cluster::unused!(Options, Request, Event, FromLobby, ToLobby);
/// #     async fn on_open(_: (), _: &RoomContext<Self>) -> Result<Self, Refusal> { Ok(Quiz) }
/// # }
/// # struct Chess;
/// # impl Room for Chess {
/// #     cluster::unused!(Options, Request, Event, FromLobby, ToLobby);
/// #     async fn on_open(_: (), _: &RoomContext<Self>) -> Result<Self, Refusal> { Ok(Chess) }
/// # }
/// # #[derive(Default)] struct Server { crashes: u32 }
/// # impl Lobby for Server { cluster::unused!(Request, Event); }
/// impl RoomManager<Quiz> for Server {}
///
/// impl RoomManager<Chess> for Server {
///     fn pick(&mut self, lobby: &LobbyContext<Self>, player: &Player) -> Result<RoomId, Refusal> {
///         match lobby.fullest::<Chess>() {
///             Some(room) => Ok(room.id), // somebody waits there for an opponent
///             None => lobby.create::<Chess>(player, 2, ()),
///         }
///     }
///
///     fn on_room_exit(&mut self, _: &LobbyContext<Self>, _: &RoomInfo<()>, exit: Exit) {
///         if let Exit::Crashed(_) = exit {
///             self.crashes += 1;
///         }
///     }
/// }
/// ```
#[allow(unused_variables, reason = "defaults name their arguments for those who copy them")]
pub trait RoomManager<R: Room>: Lobby {
    /// Picks the room for a player who asked to `play`: an open one, or one that this creates. A
    /// refusal is the answer to the page. Not called for a player who has a seat in a room of this
    /// kind: they are sent there. If the room refuses the player, in `on_admit` for example, they
    /// are told so; `pick` is not called again. Default: the fullest open room, so that players
    /// meet, or a new one with default options.
    fn pick(&mut self, lobby: &LobbyContext<Self>, player: &Player) -> Result<RoomId, Refusal> {
        match lobby.fullest::<R>() {
            Some(room) => Ok(room.id),
            None => lobby.create::<R>(player, lobby.settings().seats, R::Options::default()),
        }
    }

    /// A room is ready: its `on_open` has returned. Default: nothing.
    fn on_room_ready(&mut self, lobby: &LobbyContext<Self>, room: &RoomInfo<R::Options>) {}

    /// A room sent a message with [`RoomContext::tell_lobby`]. Messages of one room arrive in
    /// order. Default: nothing.
    ///
    /// [`RoomContext::tell_lobby`]: crate::RoomContext::tell_lobby
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
