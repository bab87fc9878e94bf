//! What hooks of the lobby do with rooms: create, find, message and close them, and send players
//! there.

use std::any::TypeId;
use std::future::ready;

use serde_json::json;
use tokio::sync::oneshot;
use tracing::error;

use crate::lobby::{Kind, Lobby, LobbyContext};
use crate::process::RoomSpec;
use crate::room::Room;
use crate::rooms::{AnyRoom, RoomInfo};
use crate::socketio::refused;
use crate::types::{Answer, Exit, Player, PlayerId, Refusal, Reply, RoomId, deferred, reply};

impl<L: Lobby> LobbyContext<L> {
    /// Creates a public room with this many seats, for a player (its host) or for nobody (`None`).
    /// The host has no seat yet: answer with [`join`](Self::join).
    ///
    /// Players can join the room at once; they wait until it is ready. The room is in the list of
    /// rooms, and the page's `join` takes its number. To keep players out, use
    /// [`create_private`](Self::create_private), [`lock`](Self::lock), or the room's `on_admit`; a
    /// room that only computes has 0 seats.
    ///
    /// ```
    /// # use cluster::{Answer, Lobby, LobbyContext, Player, Room};
    /// # fn hook<L: Lobby, Chess>(lobby: &LobbyContext<L>, from: &Player) -> Answer
    /// # where Chess: Room<Options = ()> {
    /// let room = lobby.create::<Chess>(from, 2, ())?;
    /// lobby.join(from, &room)
    /// # }
    /// ```
    ///
    /// # Errors
    /// - `no_room`: all `--max-rooms` are in use, or the circuit breaker is open
    /// - `no_room`, and the log says why: no process can be started, or the options are larger than
    ///   60 KiB as JSON
    /// - `too_many_rooms`: the host, or their address, has reached their limit of rooms
    /// - `stopping`: the lobby is stopping
    pub fn create<'a, R: Room>(
        &self,
        host: impl Into<Option<&'a Player>>,
        capacity: usize,
        options: R::Options,
    ) -> Result<RoomId, Refusal> {
        self.open::<R>(host.into(), false, capacity, options)
    }

    /// Creates a private room, which is in no list: players join with its code (`BCDFG-HJKLM`).
    ///
    /// Otherwise like [`create`](Self::create). [`RoomInfo::code`] is the code, and the room's
    /// `joined` tells it to everyone in it. The room counts towards its host's limit until it
    /// closes, even after the host has left: see [`RoomContext::set_empty_timeout`].
    ///
    /// [`RoomContext::set_empty_timeout`]: crate::RoomContext::set_empty_timeout
    pub fn create_private<'a, R: Room>(
        &self,
        host: impl Into<Option<&'a Player>>,
        capacity: usize,
        options: R::Options,
    ) -> Result<RoomId, Refusal> {
        self.open::<R>(host.into(), true, capacity, options)
    }

    fn open<R: Room>(
        &self,
        host: Option<&Player>,
        private: bool,
        capacity: usize,
        options: R::Options,
    ) -> Result<RoomId, Refusal> {
        let kind = self.kind_of::<R>()?.name;
        let spec = RoomSpec {
            kind: kind.to_owned(),
            capacity,
            seed: rand::random(),
            host: host.map(|host| host.id.clone()),
            code: private.then(|| self.rooms.borrow().new_code()),
        };
        let address = host.and_then(|host| self.sessions.borrow().address_of(&host.id));
        let room = self.rooms.borrow_mut().create(kind, spec, address, options)?;
        let created = room.clone();
        self.scheduler.after(self.settings.ready_timeout, move |_, lobby| {
            lobby.rooms.borrow_mut().give_up(&created);
        });
        Ok(room)
    }

    /// Reserves a seat for a player, or one for each of a party, and reroutes them to the room.
    /// They may be in the lobby or in another room. Answers `{ room }` when they are on the way.
    ///
    /// A player who has a seat in the room keeps it. A seat in another room is released when they
    /// go.
    ///
    /// A party is a slice of at most 32 players, of whom the first is the one who asks. All of them
    /// get seats, or none. If one of them loses their connection meanwhile, their seat is kept for
    /// `--ticket-ttl`. They are sent there when they return.
    ///
    /// ```
    /// # use cluster::{Answer, Lobby, LobbyContext, Player, RoomId};
    /// # fn hook<L: Lobby>(lobby: &LobbyContext<L>, pair: [Player; 2], room: &RoomId) -> Answer {
    /// lobby.join(&pair, room)
    /// # }
    /// ```
    ///
    /// # Errors
    /// - `no_such_room`: also for a private room, unless one of the players is its host or has a
    ///   seat there
    /// - `room_full`, `room_locked`, `party_too_large`
    /// - `room_gone`: the room ended before the players were on the way
    /// - `no_room`: the room did not become ready
    /// - `too_fast`: the room does not keep up with its messages
    /// - `stopping`: the lobby is stopping
    /// - a refusal of the room's `on_open` or `on_admit`
    pub fn join(&self, players: impl AsRef<[Player]>, room: &RoomId) -> Answer {
        let players = players.as_ref();
        let found = self.rooms.borrow().find(room);
        if let Some(private) = found.filter(|found| found.code.is_some()) {
            let may_join = |player: &Player| {
                private.host.as_ref() == Some(&player.id)
                    || self.seat_of(player).as_ref() == Some(room)
            };
            if !players.iter().any(may_join) {
                return Err(Refusal::NO_SUCH_ROOM);
            }
        }
        self.request_join(players, room)
    }

    /// Joins the private room with this code, also in lower case or without its hyphen. Refuses as
    /// [`join`](Self::join).
    ///
    /// After too many wrong codes (`--max-code-attempts-per-minute`), even the right one is refused
    /// with `too_many_guesses`.
    pub fn join_by_code(&self, players: impl AsRef<[Player]>, code: &str) -> Answer {
        let players = players.as_ref();
        let asker = &players.first().ok_or(Refusal::NO_SUCH_ROOM)?.id;
        let address = self.sessions.borrow().address_of(asker);
        self.code_attempts.check(asker, address)?;
        let Some(room) = self.rooms.borrow().find_code(code) else {
            self.code_attempts.count(asker, address);
            return Err(Refusal::NO_SUCH_ROOM);
        };
        self.request_join(players, &room)
    }

    /// Reserves seats for players who asked.
    fn request_join(&self, party: &[Player], room: &RoomId) -> Answer {
        let asker = party.first().map(|player| player.id.clone());
        let players = self.not_yet_rerouted(party, room);
        if players.is_empty() && !party.is_empty() {
            return reply(json!({ "room": room }));
        }
        let placed = self.rooms.borrow_mut().join(&players, asker, room)?;
        deferred(async { placed.await.unwrap_or(Err(Refusal::ROOM_GONE)) })
    }

    /// Joins players to a room without their request, a private one as well. Players who are in the
    /// room stay there.
    ///
    /// A refusal is sent to the players as `refused`. Each player can be rerouted ten times at once
    /// and once a second; above that limit they stay where they are and are refused with
    /// `reroute_loop`.
    pub fn reroute(&self, players: impl AsRef<[Player]>, room: &RoomId) {
        self.reroute_then(players, room, |_, _, _| {});
    }

    /// Like [`reroute`](Self::reroute), and calls `done` when the players are on the way. It gets a
    /// refusal if one holds for all of them.
    ///
    /// ```
    /// # use cluster::{Lobby, LobbyContext, Player, RoomId};
    /// # fn hook<L: Lobby>(lobby: &LobbyContext<L>, pair: [Player; 2], room: RoomId) {
    /// lobby.reroute_then(&pair, &room.clone(), move |_state, lobby, sent| {
    ///     if sent.is_err() {
    ///         let _ = lobby.close(&room, "Your opponent has left.");
    ///     }
    /// });
    /// # }
    /// ```
    pub fn reroute_then(
        &self,
        players: impl AsRef<[Player]>,
        room: &RoomId,
        done: impl FnOnce(&mut L, &Self, Result<(), Refusal>) + 'static,
    ) {
        let players = self.not_yet_rerouted(players.as_ref(), room);
        // A statement of its own: `notify_refused` borrows the rooms.
        let joined = self.rooms.borrow_mut().join(&players, None, room);
        if let Err(refusal) = &joined {
            players.iter().for_each(|player| self.notify_refused(&player.id, refusal));
        }
        let placed = async { joined?.await.unwrap_or(Err(Refusal::ROOM_GONE)).map(drop) };
        self.scheduler.spawn(placed, done);
    }

    /// Leaves out players who are in the room or on the way there, unless they are back in the
    /// lobby.
    fn not_yet_rerouted(&self, players: &[Player], room: &RoomId) -> Vec<Player> {
        let (rooms, sessions) = (self.rooms.borrow(), self.sessions.borrow());
        let is_there = |id| rooms.was_rerouted_to(id, room) && sessions.conn_of(id).is_none();
        players.iter().filter(|player| !is_there(&player.id)).cloned().collect()
    }

    /// Sends a player to the room that [`pick`](crate::RoomManager::pick) picks, as the page's
    /// `play` does. `pick` is called after the current hook.
    ///
    /// Answers and refuses as [`join`](Self::join). If you drop the answer, a refusal is sent to
    /// the player as `refused`.
    pub fn play<R: Room>(&self, player: &Player) -> Answer {
        let (kind, player) = (self.kind_of::<R>()?.name, player.clone());
        let (tell, answer) = oneshot::channel();
        self.scheduler.spawn(ready(()), move |lobby, context, ()| {
            if let Err(Err(refusal)) = tell.send(context.play_kind(lobby, kind, &player)) {
                context.notify_refused(&player.id, &refusal);
            }
        });
        deferred(async {
            match answer.await.unwrap_or(Err(Refusal::INTERNAL))? {
                Reply::Now(value) => Ok(value),
                Reply::Later(value) => value.await,
            }
        })
    }

    /// The request `play`. A player who has a seat in a room of this kind keeps it.
    pub(crate) fn play_kind(&self, lobby: &mut L, kind: &str, player: &Player) -> Answer {
        let kind = self.kinds.iter().find(|known| known.name == kind);
        let kind = kind.ok_or(Refusal::NO_SUCH_KIND)?;
        // A hook may have asked for a player who has left, or was banned, since.
        self.sessions.borrow().check_ban(&player.id)?;
        if self.seat_of(player).is_none() && !self.is_here(player) {
            return Err(Refusal::NOT_REGISTERED);
        }
        let active = self.rooms.borrow().active_room_of(&player.id);
        if let Some(room) = active.filter(|room| room.kind == kind.name) {
            return self.request_join(player.as_ref(), &room.id);
        }
        let room = (kind.pick)(lobby, self, player)?;
        if self.rooms.borrow().find(&room).is_some_and(|found| found.kind != kind.name) {
            error!(%room, kind = kind.name, "pick: this room is of another kind");
            return Err(Refusal::INTERNAL);
        }
        self.request_join(player.as_ref(), &room)
    }

    /// All rooms of this kind, oldest first, including private ones and those that are ending.
    pub fn rooms<R: Room>(&self) -> Vec<RoomInfo<R::Options>> {
        self.of_kind::<R>(self.rooms.borrow().list())
    }

    /// The public rooms of this kind that this many more players can join, in no particular order.
    ///
    /// ```
    /// # cluster::messages! { #[derive(Default)] pub struct Options { level: u8 } }
    /// # use cluster::{Lobby, LobbyContext, Room};
    /// # fn hook<L: Lobby, Maze: Room<Options = Options>>(lobby: &LobbyContext<L>) {
    /// let hard = lobby.open_rooms::<Maze>(1).into_iter().find(|room| room.options.level > 8);
    /// # }
    /// ```
    pub fn open_rooms<R: Room>(&self, players: usize) -> Vec<RoomInfo<R::Options>> {
        self.of_kind::<R>(self.rooms.borrow().joinable(players))
    }

    /// Of the public rooms of this kind with a free seat, the one with the most players.
    pub fn fullest<R: Room>(&self) -> Option<RoomInfo<R::Options>> {
        self.open_rooms::<R>(1).into_iter().max_by_key(|room| room.players)
    }

    /// The room with this number; `None` if there is none of this kind.
    pub fn room<R: Room>(&self, room: &RoomId) -> Option<RoomInfo<R::Options>> {
        self.of_kind::<R>(self.rooms.borrow().find(room)).pop()
    }

    fn of_kind<R: Room>(
        &self,
        rooms: impl IntoIterator<Item = AnyRoom>,
    ) -> Vec<RoomInfo<R::Options>> {
        let Ok(kind) = self.kind_of::<R>() else { return Vec::new() };
        let rooms = rooms.into_iter().filter(|room| room.kind == kind.name);
        rooms.map(AnyRoom::typed).collect()
    }

    fn kind_of<R: Room>(&self) -> Result<&Kind<L>, Refusal> {
        let kind = self.kinds.iter().find(|kind| kind.room == TypeId::of::<R>());
        kind.ok_or_else(|| {
            let room = std::any::type_name::<R>();
            error!(room, "not registered: add `.room::<…>(\"…\")` in main.rs");
            Refusal::INTERNAL
        })
    }

    /// Reroutes a player to the room that keeps a seat for them. Returns `false` if there is none.
    pub fn send_back(&self, player: &Player) -> bool {
        let active = self.rooms.borrow().active_room_of(&player.id);
        active.map(|room| self.reroute(player, &room.id)).is_some()
    }

    /// The room in which a player has a seat: they are in it, on the way, or may return to it.
    pub fn seat_of(&self, player: impl AsRef<PlayerId>) -> Option<RoomId> {
        self.rooms.borrow().seat_of(player.as_ref())
    }

    /// Sends a message to a room's `on_lobby_message`. A room that is not ready gets it when it is;
    /// a room that is ending may not get it.
    ///
    /// # Errors
    /// - `no_such_room`: there is no room of this kind with this number
    /// - `internal`: the message is larger than 60 KiB as JSON, or cannot be serialized; the log
    ///   says why
    pub fn tell<R: Room>(&self, room: &RoomId, message: R::FromLobby) -> Result<(), Refusal> {
        self.rooms.borrow().tell(self.kind_of::<R>()?.name, room, &message)
    }

    /// Sends a message to `on_lobby_message` of every room of this kind. Refuses with `internal` as
    /// [`tell`](Self::tell).
    pub fn tell_all<R: Room>(&self, message: R::FromLobby) -> Result<(), Refusal> {
        self.rooms.borrow().tell_all(self.kind_of::<R>()?.name, &message)
    }

    /// Locks a room, so that it takes no more players, or unlocks it. Refuses with `no_such_room`.
    ///
    /// Players with a seat keep it. A room that has locked itself stays locked.
    pub fn lock(&self, room: &RoomId, locked: bool) -> Result<(), Refusal> {
        self.rooms.borrow_mut().lock(room, locked)
    }

    /// Asks a room to end: calls its `on_drain`. Refuses with `no_such_room`.
    ///
    /// The room closes after `--stop-timeout` at the latest; players still in it return to the
    /// lobby with this reason, of at most 1 KiB. It is killed as hung after twice that time.
    pub fn close(&self, room: &RoomId, reason: &str) -> Result<(), Refusal> {
        self.rooms.borrow_mut().close(room, reason)?;
        let closing = room.clone();
        self.scheduler.after(2 * self.settings.stop_timeout, move |_, lobby| {
            let _ = lobby.rooms.borrow_mut().kill(&closing, Exit::Hung);
        });
        Ok(())
    }

    /// Tells a player, in the lobby or in a room, that they were not given a seat.
    pub(crate) fn notify_refused(&self, player: &PlayerId, refusal: &Refusal) {
        match self.sessions.borrow().newest_conn_of(player) {
            Some(conn) => conn.tell("refused", &refused("reroute", refusal)),
            None => self.rooms.borrow().notify_refused(player, refusal),
        }
    }
}
