//! What hooks of the lobby see of rooms and do with them: create, find, message and close them.
//! `joins.rs` sends players there.

use serde::Serialize;

use crate::lobby::{Lobby, LobbyContext, RoomOf};
use crate::process::{RoomSpec, Usage};
use crate::room::{MAX_LISTING, Room};
use crate::rooms::AnyRoom;
use crate::types::{Exit, MAX_RAW, Player, PlayerId, Refusal, RoomId, encode_data};

/// What the lobby knows about a room of the kind `R`, at the time of the call. The list of rooms
/// has the same fields, without the code and the usage.
#[derive(Serialize)]
#[serde(bound = "")]
pub struct RoomInfo<R: Room> {
    /// Its id.
    #[serde(rename = "room")]
    pub id: RoomId,
    /// Its kind: its name in [`kinds!`](crate::kinds).
    pub kind: &'static str,
    /// What it was created with.
    pub options: R::Options,
    /// What it shows of itself in the list, set with
    /// [`RoomContext::set_listing`](crate::RoomContext::set_listing); at first the default.
    pub listing: R::Listing,
    /// The player for whom it was created; `None` if the lobby created it by itself. They may have
    /// left.
    pub host: Option<PlayerId>,
    /// The code with which players join a private room, such as `BCDFG-HJKLM`; `None`: it is
    /// public.
    #[serde(skip)]
    pub code: Option<String>,
    /// Seats taken: by players in the room, disconnected within their grace period, or on the way.
    pub players: usize,
    /// All seats, taken or not.
    pub capacity: usize,
    /// Accepts no more players: the lobby or the room has locked it, or it is ending.
    pub locked: bool,
    /// Processor time and memory of its process. Pages do not get it.
    #[serde(skip)]
    pub usage: Usage,
}

impl AnyRoom {
    /// The same as a room of its kind, which has this name. A listing that does not parse counts as
    /// the default: it comes from the room.
    pub(crate) fn typed<R: Room>(self, kind: &'static str) -> RoomInfo<R> {
        let AnyRoom { id, options, listing, host, code, players, capacity, locked, usage, .. } =
            self;
        let options = serde_json::from_value(options).expect("checked at the creation");
        let listing = serde_json::from_value(listing).unwrap_or_default();
        RoomInfo { id, kind, options, listing, host, code, players, capacity, locked, usage }
    }
}

impl<L: Lobby> LobbyContext<L> {
    /// Creates a public room with this many seats, by default those of its kind, for a player (its
    /// host) or for nobody (`None`). The host has no seat yet: answer with [`join`](Self::join).
    ///
    /// Players can join the room at once; they wait until it is ready. The room is in the list of
    /// rooms, and the page's `join` takes its id. To keep players out, use
    /// [`create_private`](Self::create_private), [`lock`](Self::lock), or the room's `on_admit`; a
    /// room that only computes has 0 seats.
    ///
    /// ```
    /// # use cluster::{Answer, Lobby, LobbyContext, Player, Room, RoomOf};
    /// # fn hook<L: Lobby<Profile = ()>, Chess>(lobby: &LobbyContext<L>, from: &Player) -> Answer
    /// # where Chess: RoomOf<L> + Room<Options = ()> {
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
    pub fn create<'a, R: RoomOf<L>>(
        &self,
        host: impl Into<Option<&'a Player<L::Profile>>>,
        seats: impl Into<Option<usize>>,
        options: R::Options,
    ) -> Result<RoomId, Refusal> {
        self.open::<R>(host.into(), false, seats.into(), options)
    }

    /// Creates a private room, which is in no list: players join with its code (`BCDFG-HJKLM`).
    ///
    /// Otherwise like [`create`](Self::create). [`RoomInfo::code`] is the code, and the room's
    /// `joined` tells it to everyone in it. The room counts towards its host's limit until it
    /// closes, even after the host has left: see [`RoomContext::set_empty_timeout`].
    ///
    /// [`RoomContext::set_empty_timeout`]: crate::RoomContext::set_empty_timeout
    pub fn create_private<'a, R: RoomOf<L>>(
        &self,
        host: impl Into<Option<&'a Player<L::Profile>>>,
        seats: impl Into<Option<usize>>,
        options: R::Options,
    ) -> Result<RoomId, Refusal> {
        self.open::<R>(host.into(), true, seats.into(), options)
    }

    fn open<R: RoomOf<L>>(
        &self,
        host: Option<&Player<L::Profile>>,
        private: bool,
        seats: Option<usize>,
        options: R::Options,
    ) -> Result<RoomId, Refusal> {
        let kind = self.kind(R::NAME).expect("`kinds!` lists each kind of room");
        let limits = (kind.limits)(&self.settings);
        let listing = encode_data("a listing", &R::Listing::default(), MAX_LISTING)?;
        let options = encode_data("options of a room", &options, MAX_RAW);
        let options = options.map_err(|_| Refusal::NO_ROOM)?;
        let spec = RoomSpec {
            kind: R::NAME.to_owned(),
            capacity: seats.unwrap_or(limits.seats),
            memory: limits.memory,
            seed: rand::random(),
            host: host.map(|host| host.id.clone()),
            code: private.then(|| self.rooms.borrow().new_code()),
        };
        let address = host.and_then(|host| self.sessions.borrow().conn_of(&host.id)?.address());
        let room = self.rooms.borrow_mut().create(spec, address, options, listing)?;
        self.limit_start(&room);
        Ok(room)
    }

    /// Gives a room up if it is not ready in time.
    pub(crate) fn limit_start(&self, room: &RoomId) {
        let room = room.clone();
        self.scheduler.after(self.settings.ready_timeout, move |_, lobby| {
            lobby.rooms.borrow_mut().give_up(&room);
        });
    }

    /// All rooms of this kind, oldest first, including private ones and those that are ending.
    pub fn rooms<R: RoomOf<L>>(&self) -> Vec<RoomInfo<R>> {
        let rooms = self.rooms.borrow();
        self.of_kind::<R>(rooms.ids().iter().filter_map(|id| rooms.find(id)))
    }

    /// The public rooms of this kind that this many more players can join, in no particular order.
    ///
    /// ```
    /// # cluster::messages! { #[derive(Default)] pub struct Options { level: u8 } }
    /// # use cluster::{Lobby, LobbyContext, Room, RoomOf};
    /// # fn hook<L: Lobby, Maze: RoomOf<L> + Room<Options = Options>>(lobby: &LobbyContext<L>) {
    /// let hard = lobby.open_rooms::<Maze>(1).into_iter().find(|room| room.options.level > 8);
    /// # }
    /// ```
    pub fn open_rooms<R: RoomOf<L>>(&self, players: usize) -> Vec<RoomInfo<R>> {
        self.of_kind::<R>(self.rooms.borrow().joinable(R::NAME, players))
    }

    /// Of the public rooms of this kind with a free seat, the one with the most players.
    pub fn fullest<R: RoomOf<L>>(&self) -> Option<RoomInfo<R>> {
        self.of_kind::<R>(self.rooms.borrow().fullest(R::NAME)).pop()
    }

    /// The room with this id; `None` if there is none of this kind.
    pub fn room<R: RoomOf<L>>(&self, room: &RoomId) -> Option<RoomInfo<R>> {
        self.of_kind::<R>(self.rooms.borrow().find(room)).pop()
    }

    fn of_kind<R: RoomOf<L>>(&self, rooms: impl IntoIterator<Item = AnyRoom>) -> Vec<RoomInfo<R>> {
        let rooms = rooms.into_iter().filter(|room| room.kind == R::NAME);
        rooms.map(|room| room.typed(R::NAME)).collect()
    }

    /// Sends a message to a room's `on_lobby_message`. A room that is not ready gets it when it is;
    /// a room that is ending may not get it.
    ///
    /// # Errors
    /// - `no_such_room`: there is no room of this kind with this id
    /// - `internal`: the message is larger than 60 KiB as JSON, or cannot be serialized; the log
    ///   says why
    pub fn tell<R: RoomOf<L>>(&self, room: &RoomId, message: R::FromLobby) -> Result<(), Refusal> {
        self.rooms.borrow().tell(R::NAME, room, &message)
    }

    /// Sends a message to `on_lobby_message` of every room of this kind. Refuses with `internal` as
    /// [`tell`](Self::tell).
    pub fn tell_all<R: RoomOf<L>>(&self, message: R::FromLobby) -> Result<(), Refusal> {
        self.rooms.borrow().tell_all(R::NAME, &message)
    }

    /// Locks a room, so that it takes no more players, or unlocks it. Refuses with `no_such_room`.
    ///
    /// Players with a seat keep it. A room that has locked itself stays locked.
    pub fn lock(&self, room: &RoomId, locked: bool) -> Result<(), Refusal> {
        self.rooms.borrow_mut().lock(room, locked)
    }

    /// Asks a room to end: calls its `on_drain`. Refuses with `no_such_room`.
    ///
    /// The room closes after `--stop-timeout` at the latest; until then, players who have a seat
    /// may return to it. Those who are still in it then return to the lobby with this reason, of at
    /// most 1 KiB. It is killed as hung after twice that time.
    pub fn close(&self, room: &RoomId, reason: &str) -> Result<(), Refusal> {
        let left = self.settings.stop_timeout;
        self.rooms.borrow_mut().close(room, left, reason)?;
        self.limit_drain(room);
        Ok(())
    }

    /// Kills a room that is to close if it does not in time.
    pub(crate) fn limit_drain(&self, room: &RoomId) {
        let room = room.clone();
        self.scheduler.after(2 * self.settings.stop_timeout, move |_, lobby| {
            let _ = lobby.rooms.borrow_mut().kill(&room, Exit::Hung);
        });
    }
}
