//! The lobby's context: what its hooks can do besides changing their own state. `players.rs` has
//! where players are, `rooms.rs` what hooks do with rooms, `joins.rs` how players
//! get there.

mod joins;
mod kinds;
mod lists;
mod players;
mod rooms;

pub use self::kinds::{Kind, Kinds, RoomOf};
pub(crate) use self::lists::{LISTS_PERIOD, List, Lists};
pub use self::players::Place;
pub use self::rooms::RoomInfo;

use std::cell::RefCell;
use std::ops::Deref;
use std::sync::Arc;

use crate::auth::Tokens;
use crate::config::Settings;
use crate::hosts::Hosts;
use crate::lobby::Lobby;
use crate::lobby::sessions::Sessions;
use crate::process::Starter;
use crate::rooms::{CodeAttempts, Rooms};
use crate::routing::GatewayRoutes;
use crate::runtime::Scheduler;
use crate::socketio::encode;
use crate::types::{LeaveReason, PlayerId, Refusal, refuse, truncate};

/// What hooks of the lobby can do besides changing their own state. Every hook gets it.
///
/// - Players in the lobby: [`send`](Self::send), [`send_to`](Self::send_to),
///   [`broadcast`](Self::broadcast), [`is_here`](Self::is_here), [`kick`](Self::kick),
///   [`ban`](Self::ban), [`unban`](Self::unban)
/// - Where players are: [`find`](Self::find), [`player`](Self::player),
///   [`players`](Self::players),
///   [`seat_of`](Self::seat_of); [`set_profile`](Self::set_profile)
/// - Rooms: [`create`](Self::create), [`create_private`](Self::create_private),
///   [`lock`](Self::lock), [`close`](Self::close); [`tell`](Self::tell) and
///   [`tell_all`](Self::tell_all) send messages to them
/// - Finding rooms: [`rooms`](Self::rooms), [`open_rooms`](Self::open_rooms),
///   [`fullest`](Self::fullest), [`room`](Self::room)
/// - Sending players who asked to a room: [`join`](Self::join),
///   [`join_with`](Self::join_with), [`join_by_code`](Self::join_by_code), [`play`](Self::play),
///   whose result is the answer
/// - Sending players who did not ask: [`reroute`](Self::reroute),
///   [`reroute_then`](Self::reroute_then), [`reroute_with`](Self::reroute_with),
///   [`send_back`](Self::send_back); [`notify_refused`](Self::notify_refused)
/// - Later: timers, futures and computations of the [`Scheduler`]
///
/// No method waits. A type parameter `R` is a kind of room, which [`kinds!`](crate::kinds) lists.
pub struct LobbyContext<L> {
    pub(crate) kinds: Vec<Kind<L>>,
    pub(crate) settings: Settings,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) rooms: RefCell<Rooms>,
    pub(crate) sessions: RefCell<Sessions>,
    pub(crate) lists: Lists,
    pub(crate) code_attempts: CodeAttempts,
    pub(crate) scheduler: Scheduler<L, LobbyContext<L>>,
    pub(crate) hosts: Option<Arc<Hosts>>,
}

impl<L: Lobby> LobbyContext<L> {
    pub(crate) fn new(
        settings: Settings,
        kinds: Vec<Kind<L>>,
        tokens: Tokens,
        routes: Arc<GatewayRoutes>,
        starter: Starter,
        hosts: Option<Arc<Hosts>>,
    ) -> Self {
        LobbyContext {
            kinds,
            rooms: RefCell::new(Rooms::new(settings.clone(), starter, routes)),
            sessions: RefCell::default(),
            lists: Default::default(),
            code_attempts: CodeAttempts::new(settings.max_code_attempts_per_minute),
            scheduler: Scheduler::new(),
            tokens: Arc::new(tokens),
            hosts,
            settings,
        }
    }

    /// The settings that this lobby was started with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn kind(&self, name: &str) -> Option<&Kind<L>> {
        self.kinds.iter().find(|kind| kind.name == name)
    }

    /// Whether a player is connected to the lobby. [`seat_of`](Self::seat_of) finds those in rooms.
    pub fn is_here(&self, player: impl AsRef<PlayerId>) -> bool {
        self.sessions.borrow().arrived(player.as_ref()).is_some()
    }

    /// Removes a player from their room, and disconnects them from the lobby if they are in it.
    /// Their page shows the reason, of at most 1 KiB.
    ///
    /// A player in a room returns to the lobby. A page that is disconnected from the lobby does not
    /// reconnect by itself, only by `start()` or a reload.
    pub fn kick(&self, player: impl AsRef<PlayerId>, reason: &str) {
        self.expel(player.as_ref(), reason, &refuse("kicked", reason));
    }

    /// Kicks a player and refuses them with `banned` until the lobby restarts or they are
    /// [unbanned](Self::unban).
    ///
    /// The ban holds for their id: a person who registers again has another id, unless your
    /// `on_register` returns the same one.
    pub fn ban(&self, player: impl AsRef<PlayerId>, reason: &str) {
        let player = player.as_ref();
        self.sessions.borrow_mut().ban(player, Some(truncate(reason)));
        self.expel(player, reason, &Refusal::banned(reason));
    }

    /// Lifts a ban. Does nothing for a player who is not banned.
    pub fn unban(&self, player: impl AsRef<PlayerId>) {
        self.sessions.borrow_mut().ban(player.as_ref(), None);
    }

    fn expel(&self, player: &PlayerId, reason: &str, refusal: &Refusal) {
        self.rooms.borrow_mut().release(player, &LeaveReason::Kicked(truncate(reason)));
        if let Some(conn) = self.sessions.borrow().conn_of(player) {
            conn.dismiss(refusal);
        }
    }

    /// Sends an event to a player who is in the lobby; does nothing for one who is not.
    ///
    /// No event is skipped: a client that does not read is disconnected when its queue is full
    /// (`--max-outbound-packets`).
    ///
    /// ```
    /// # cluster::messages! { pub enum News { Line(String), Online(u32) } }
    /// # use cluster::{Lobby, LobbyContext, Player};
    /// # fn hook<L: Lobby<Event = News>>(lobby: &LobbyContext<L>, ann: &Player) {
    /// lobby.send(ann, News::Line("Welcome.".to_owned()));
    /// lobby.broadcast(News::Online(7));
    /// # }
    /// ```
    pub fn send(&self, to: impl AsRef<PlayerId>, event: L::Event) {
        self.send_to([to], event);
    }

    /// Sends an event to those of these players who are in the lobby. It is encoded once.
    ///
    /// ```
    /// # cluster::messages! { pub enum News { Line(String) } }
    /// # use cluster::{Lobby, LobbyContext, Player};
    /// # fn hook<L: Lobby<Event = News>>(lobby: &LobbyContext<L>, friends: &[Player]) {
    /// lobby.send_to(friends, News::Line("Ann is online.".to_owned()));
    /// # }
    /// ```
    pub fn send_to<P: AsRef<PlayerId>>(
        &self,
        players: impl IntoIterator<Item = P>,
        event: L::Event,
    ) {
        let Some(event) = encode(&event) else { return };
        let sessions = self.sessions.borrow();
        for player in players {
            if let Some(conn) = sessions.arrived(player.as_ref()) {
                conn.emit(&event);
            }
        }
    }

    /// Sends an event to every connection to the lobby, registered or not. Players in rooms do not
    /// get it. For those who come later, keep it in your state and `send` it in `on_arrive`.
    pub fn broadcast(&self, event: L::Event) {
        if let Some(event) = encode(&event) {
            for conn in self.sessions.borrow().welcomed() {
                conn.emit(&event);
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
