//! The hooks of the lobby: [`Lobby`] for players, implemented in `src/server.rs`, and
//! [`RoomManager`] for rooms, in `src/room_manager.rs`. `event_loop/` calls them, except for
//! `on_start` (`process.rs`).

use axum::Router;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::config::{Settings, Size};
use crate::lobby::{Arrival, Identity, LobbyContext, LobbyHandle, Registration, RoomInfo, RoomOf};
use crate::types::{Answer, Data, Exit, LeaveReason, Message, Player, Refusal, RoomId};

/// What the rooms of one kind get; [`RoomManager::limits`] returns it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoomLimits {
    /// Seats of a room, unless a hook creates it with another number.
    pub seats: usize,
    /// Memory of a room, and of each process that it starts, at least 16 MiB. A room that exceeds
    /// it dies. Linux only.
    pub memory: Size,
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
///     cluster::lobby_types! {
///         type Request = Ask;
///         type Event = News;
///     }
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
    /// What everyone is told about a player beside the name, such as a color or a language: signed
    /// into their token, and in [`Player`] in the lobby, in rooms and on pages. At most 512 bytes
    /// as JSON; the profile of a room's players is the same type.
    ///
    /// No money, rank or rights: once the lobby has forgotten a player, as after its restart, an
    /// old token brings an old profile back. One that does not parse as this type any more is
    /// replaced by the default.
    type Profile: Data;
    /// What `on_register` passes on to `on_arrive` alone, such as a row of a database.
    type Account: Default + 'static;
    /// What pages may ask of the lobby: an enum of [`messages!`](crate::messages). A variant's
    /// name, in snake_case, is the event's name.
    type Request: DeserializeOwned + Message;
    /// What the lobby sends to pages: an enum as above.
    type Event: Serialize + Message;

    /// The lobby starts: called before it accepts connections. A refusal ends the program with its
    /// message. Default: nothing.
    ///
    /// Called again after a reload, with a new state. [`LobbyContext::rooms`] has the rooms that
    /// play on then, so a room that always exists is created only if it is not there. A refusal is
    /// logged, and the call repeated every second: no game ends for it.
    fn on_start(
        &mut self,
        lobby: &LobbyContext<Self>,
    ) -> impl Future<Output = Result<(), Refusal>> {
        async { Ok(()) }
    }

    /// Authenticates a registration, for example by a database or an identity provider. Several may
    /// run at the same time, so it has no access to the state. A refusal is sent to the page.
    /// Default: [`Identity::new`], a new player for each registration.
    fn on_register(form: Registration) -> impl Future<Output = Result<Identity<Self>, Refusal>> {
        async move { Identity::new(&form.name) }
    }

    /// A player sent a request. Requests of one player arrive in the order in which they were sent.
    /// Requests of the cluster itself, such as `play`, do not come here. Only the form of a request
    /// has been checked: [`readable_line`](crate::readable_line) checks a text that others will
    /// see. Default: refused with `unknown_event`.
    fn on_request(
        &mut self,
        lobby: &LobbyContext<Self>,
        from: &Player<Self::Profile>,
        request: Self::Request,
    ) -> Answer {
        Err(Refusal::unknown_event(""))
    }

    /// A player has entered the lobby: new, with their token, or back from a room. Default:
    /// [`LobbyContext::send_back`], which reroutes them to the room that keeps a seat for them, if
    /// any.
    fn on_arrive(
        &mut self,
        lobby: &LobbyContext<Self>,
        player: &Player<Self::Profile>,
        how: Arrival<Self>,
    ) {
        lobby.send_back(player);
    }

    /// A player has left the lobby; called once for each `on_arrive`. If [`LobbyContext::seat_of`]
    /// finds a room, they are in it, on the way, or may return to it. Otherwise they have
    /// disconnected, are reloading the page, or have opened another window. Default: nothing.
    fn on_leave(&mut self, lobby: &LobbyContext<Self>, player: &Player<Self::Profile>) {}

    /// May this player watch where everyone is, with the request `watch_players` of their page?
    /// They see everyone's name, profile and place; the number of a room only if it is public.
    /// Default: refused with `not_allowed`.
    ///
    /// ```
    /// # use cluster::{Lobby, LobbyContext, Player, Refusal};
    /// # #[derive(Default)] struct Server;
    /// # impl Lobby for Server {
    /// #     cluster::lobby_types! {}
    /// fn on_watch_players(&mut self, _: &LobbyContext<Self>, _: &Player) -> Result<(), Refusal> {
    ///     Ok(())
    /// }
    /// # }
    /// ```
    fn on_watch_players(
        &mut self,
        lobby: &LobbyContext<Self>,
        from: &Player<Self::Profile>,
    ) -> Result<(), Refusal> {
        Err(Refusal::NOT_ALLOWED)
    }

    /// Routes of your own, beside the page: webhooks, leaderboards, a login at another service.
    /// Called once, at the start. A request is answered beside the event loop; `lobby` asks the
    /// loop. Default: none.
    ///
    /// Requests for another host are refused, as for the page, and those from pages of other
    /// origins. `/healthz`, `/readyz` and paths below `/cluster/`, `/dev`, `/rooms/` and
    /// `/socket.io/` belong to the cluster: a route that it has itself ends the program at its
    /// start. If `--public-url` has a path, the routes are below it, and do not see it: redirects
    /// that are relative, such as `../`, lead to the right place all the same.
    ///
    /// ```
    /// # use cluster::{Lobby, LobbyHandle, Refusal};
    /// use cluster::axum::Router;
    /// use cluster::axum::routing::get;
    ///
    /// # #[derive(Default)] struct Server { games: u32 }
    /// # impl Lobby for Server {
    /// #     cluster::lobby_types! {}
    /// fn routes(lobby: LobbyHandle<Self>) -> Router {
    ///     let games = async move || -> Result<String, Refusal> {
    ///         let games = lobby.call(|server, _lobby| server.games).await?;
    ///         Ok(format!("{games} games were played.\n"))
    ///     };
    ///     Router::new().route("/games", get(games))
    /// }
    /// # }
    /// ```
    fn routes(lobby: LobbyHandle<Self>) -> Router {
        Router::new()
    }

    /// Like [`routes`](Self::routes), for requests that pages of any origin may make, such as the
    /// `form_post` of an identity provider. Only the host is checked: check what they bring.
    /// Default: none.
    ///
    /// ```
    /// # use cluster::{Lobby, LobbyHandle};
    /// use cluster::axum::{Form, Router, routing::post};
    ///
    /// # #[derive(Default)] struct Server;
    /// # impl Lobby for Server {
    /// #     cluster::lobby_types! {}
    /// fn cross_origin_routes(_: LobbyHandle<Self>) -> Router {
    ///     let callback = async |Form(fields): Form<Vec<(String, String)>>| {
    ///         // Check `state` and the code that the provider sent.
    ///         format!("{} fields", fields.len())
    ///     };
    ///     Router::new().route("/login/callback", post(callback))
    /// }
    /// # }
    /// ```
    fn cross_origin_routes(lobby: LobbyHandle<Self>) -> Router {
        Router::new()
    }

    /// The lobby was asked to stop, by Ctrl-C, SIGTERM or SIGQUIT. Called once. When this
    /// returns, its rooms are told to drain, and have `--drain-timeout`; rooms on hosts go on, for
    /// the next lobby. Default: nothing.
    fn on_stop(&mut self, lobby: &LobbyContext<Self>) {}
}

/// The hooks for rooms of one kind: which one a player gets, and what the rooms report.
///
/// Implemented for the lobby's state, once for each kind of room that [`kinds!`](crate::kinds)
/// lists. Called like the hooks of [`Lobby`], one at a time with those. An empty `impl` is enough:
///
/// ```
/// # use cluster::{Exit, Lobby, LobbyContext, Player, Refusal, Room, RoomContext, RoomId};
/// # use cluster::{RoomInfo, RoomLimits, RoomManager, Settings, Size};
/// # struct Quiz;
/// # impl Room for Quiz {
/// #     cluster::room_types! {}
/// #     async fn on_open(_: (), _: &RoomContext<Self>) -> Result<Self, Refusal> { Ok(Quiz) }
/// # }
/// # struct Chess;
/// # impl Room for Chess {
/// #     cluster::room_types! {}
/// #     async fn on_open(_: (), _: &RoomContext<Self>) -> Result<Self, Refusal> { Ok(Chess) }
/// # }
/// # #[derive(Default)] struct Server { crashes: u32, playing: u32 }
/// # impl Lobby for Server { cluster::lobby_types! {} }
/// cluster::kinds!(Server: Quiz = "quiz", Chess = "chess");
///
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
///     fn limits(_: &Settings) -> RoomLimits {
///         RoomLimits { seats: 2, memory: Size(64 << 20) }
///     }
///
///     fn on_player_joined(&mut self, _: &LobbyContext<Self>, _: &RoomInfo<Chess>, _: &Player) {
///         self.playing += 1; // `on_player_left` takes it back
///     }
///
///     fn on_room_exit(&mut self, _: &LobbyContext<Self>, _: &RoomInfo<Chess>, exit: Exit) {
///         if let Exit::Crashed(_) = exit {
///             self.crashes += 1;
///         }
///     }
/// }
/// ```
#[allow(unused_variables, reason = "defaults name their arguments for those who copy them")]
pub trait RoomManager<R: RoomOf<Self>>: Lobby {
    /// What rooms of this kind get. Default: what the flags `--seats` and `--room-memory` say,
    /// which have no effect on this kind otherwise.
    fn limits(settings: &Settings) -> RoomLimits {
        RoomLimits { seats: settings.seats, memory: settings.room_memory }
    }

    /// Picks the room for a player who asked to `play`: an open one, or one that this creates. A
    /// refusal is the answer to the page. Not called for a player who has a seat in a room of this
    /// kind: they are sent there. If the room refuses the player, in `on_admit` for example, they
    /// are told so; `pick` is not called again. Default: the fullest open room, so that players
    /// meet, or a new one with default options.
    fn pick(
        &mut self,
        lobby: &LobbyContext<Self>,
        player: &Player<Self::Profile>,
    ) -> Result<RoomId, Refusal> {
        match lobby.fullest::<R>() {
            Some(room) => Ok(room.id),
            None => lobby.create::<R>(player, None, R::Options::default()),
        }
    }

    /// A room is ready: its `on_open` has returned. Default: nothing.
    fn on_room_ready(&mut self, lobby: &LobbyContext<Self>, room: &RoomInfo<R>) {}

    /// After a reload, or if rooms run on hosts: the lobby before this one started this room, and
    /// it is still running. Called once for each such room, after `on_start`: the state begins
    /// anew, so take from the room what it needs. Default: nothing.
    fn on_room_adopted(&mut self, lobby: &LobbyContext<Self>, room: &RoomInfo<R>) {}

    /// A room sent a message with [`RoomContext::tell_lobby`]. Messages of one room arrive in
    /// order. Default: nothing.
    ///
    /// [`RoomContext::tell_lobby`]: crate::RoomContext::tell_lobby
    fn on_room_message(
        &mut self,
        lobby: &LobbyContext<Self>,
        room: &RoomInfo<R>,
        message: R::ToLobby,
    ) {
    }

    /// A player has connected to a room for the first time since they got a seat there. Default:
    /// nothing.
    fn on_player_joined(
        &mut self,
        lobby: &LobbyContext<Self>,
        room: &RoomInfo<R>,
        player: &Player<Self::Profile>,
    ) {
    }

    /// A player has left a room for good; called once for each `on_player_joined`, also if the room
    /// has crashed. Default: nothing.
    fn on_player_left(
        &mut self,
        lobby: &LobbyContext<Self>,
        room: &RoomInfo<R>,
        player: &Player<Self::Profile>,
        reason: LeaveReason,
    ) {
    }

    /// A room has ended and its process has exited. Called once for each room that was created,
    /// after all messages of the room; not called for rooms that a stopping lobby has to kill. The
    /// room's players are in the lobby or on the way. Default: nothing; a room is not restarted.
    fn on_room_exit(&mut self, lobby: &LobbyContext<Self>, room: &RoomInfo<R>, exit: Exit) {}
}
