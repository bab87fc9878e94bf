//! What hooks of the lobby do with rooms: create, find, message and close them, and send players there.

use std::{any::TypeId, future::ready};

use tokio::sync::oneshot;
use tracing::error;

use crate::{
    lobby::{
        context::{LobbyContext, kinds::Kind},
        hooks::{Lobby, RoomManager},
    },
    room::hooks::Room,
    rooms::{AnyRoom, Host, RoomInfo},
    socketio::connection::refused,
    types::{Answer, Exit, Player, PlayerId, Refusal, Reply, RoomId, deferred},
};

impl<L: Lobby> LobbyContext<L> {
    /// Creates a room with so many seats, for the player who asked for it or for nobody (`None`). It can
    /// be joined at once, by anyone: `join` takes the number of any public room. To keep players out, use
    /// [`create_private`](Self::create_private), [`lock`](Self::lock), or the room's `on_admit`; a room that
    /// is to compute has 0 seats. Refuses with `no_room`, `too_many_rooms`, `stopping`.
    pub fn create<'a, R: Room>(
        &self,
        host: impl Into<Option<&'a Player>>,
        capacity: usize,
        options: R::Options,
    ) -> Result<RoomId, Refusal>
    where
        L: RoomManager<R>,
    {
        self.open::<R>(host.into(), false, capacity, options)
    }

    /// The same for a room that is in no list and has a code of six letters ([`RoomInfo::code`]), with
    /// which others join. Its host knows the code from the room's `joined`, and so does everyone in it.
    /// One that he has left counts as his until it closes: see [`RoomContext::empty_timeout`].
    ///
    /// [`RoomInfo::code`]: crate::rooms::RoomInfo
    /// [`RoomContext::empty_timeout`]: crate::room::context::RoomContext::empty_timeout
    pub fn create_private<'a, R: Room>(
        &self,
        host: impl Into<Option<&'a Player>>,
        capacity: usize,
        options: R::Options,
    ) -> Result<RoomId, Refusal>
    where
        L: RoomManager<R>,
    {
        self.open::<R>(host.into(), true, capacity, options)
    }

    fn open<R: Room>(
        &self,
        host: Option<&Player>,
        private: bool,
        capacity: usize,
        options: R::Options,
    ) -> Result<RoomId, Refusal>
    where
        L: RoomManager<R>,
    {
        let kind = self.kind_of::<R>()?.name;
        let host = host.map(|host| Host {
            player: host.id.clone(),
            address: self.sessions.borrow().address_of(&host.id),
        });
        let room = self.rooms.borrow_mut().create(kind, host, private, capacity, options)?;
        let deadline = room.clone();
        self.scheduler.after(self.settings.ready_timeout, move |_, lobby| {
            lobby.rooms.borrow_mut().give_up(&deadline);
        });
        Ok(room)
    }

    /// Gives the player a seat in this room and sends him there, from the lobby or from another room.
    /// The answer, `{ room }`, comes when he was sent on his way. Refuses with `no_such_room` (also for
    /// a private one that he has not opened), `room_full`, `room_locked`, `room_gone`, `no_room`,
    /// `party_too_large`, or what the room's `on_open` and `on_admit` say. One who has a seat there keeps
    /// it; a seat in another room is given back when he goes.
    ///
    /// Instead of a player, a party: a list of at most 32 players, the one who asks first, who get seats
    /// together or not at all. Who of them loses his connection meanwhile has his seat kept for a while
    /// (the setting `--ticket-ttl`), and is sent there when he is back.
    pub fn join(&self, who: impl AsRef<[Player]>, room: &RoomId) -> Answer {
        let who = who.as_ref();
        if let Some(private) = self.rooms.borrow().find(room).filter(|room| room.code.is_some()) {
            let knows = |player: &Player| {
                private.host.as_ref() == Some(&player.id)
                    || self.seat_of(player).as_ref() == Some(room)
            };
            if !who.iter().any(knows) {
                return Err(Refusal::NO_SUCH_ROOM);
            }
        }
        self.go(who, room)
    }

    /// Joins the private room with this code, in capitals or not. Who has tried too many wrong ones
    /// (`--max-code-attempts-per-minute`) is refused with `too_many_guesses`.
    pub fn join_by_code(&self, who: impl AsRef<[Player]>, code: &str) -> Answer {
        let who = who.as_ref();
        let asker = &who.first().ok_or(Refusal::NO_SUCH_ROOM)?.id;
        let address = self.sessions.borrow().address_of(asker);
        self.code_attempts.borrow().check(asker, address)?;
        let Some(room) = self.rooms.borrow().find_code(code) else {
            self.code_attempts.borrow_mut().count(asker, address);
            return Err(Refusal::NO_SUCH_ROOM);
        };
        self.go(who, &room)
    }

    /// The same as `join` where nobody asked: a refusal is told to the players. Private rooms are no
    /// secret here. Who is there already stays. Who is sent on more than ten times in ten seconds is
    /// stopped where he is, and refused with `reroute_loop`.
    pub fn reroute(&self, who: impl AsRef<[Player]>, room: &RoomId) {
        self.reroute_then(who, room, |_, _, _| {});
    }

    /// The same, and calls back: they were sent on their way, or none of them was.
    pub fn reroute_then(
        &self,
        who: impl AsRef<[Player]>,
        room: &RoomId,
        done: impl FnOnce(&mut L, &Self, Result<(), Refusal>) + 'static,
    ) {
        let who = self.to_send(who.as_ref(), room);
        // In a statement of its own: those who are told are looked up among the rooms.
        let joined = self.rooms.borrow_mut().join(&who, false, room);
        if let Err(refusal) = &joined {
            who.iter().for_each(|player| self.notify_refused(&player.id, refusal));
        }
        let sent = async { joined?.await.unwrap_or(Err(Refusal::ROOM_GONE)).map(drop) };
        self.scheduler.spawn(sent, done);
    }

    /// Sends a player to the room that the [`RoomManager`] of this kind picks, as if they had asked to
    /// `play`. It is asked after the current hook. Answers as [`join`](Self::join) does; where nobody waits
    /// for the answer, drop it: the player is told a refusal.
    pub fn play<R: Room>(&self, player: &Player) -> Answer
    where
        L: RoomManager<R>,
    {
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

    /// The request `play`. Players who ask again keep the seat that they have in a room of this kind.
    pub(crate) fn play_kind(&self, lobby: &mut L, kind: &str, player: &Player) -> Answer {
        let kind =
            self.kinds.iter().find(|known| known.name == kind).ok_or(Refusal::NO_SUCH_KIND)?;
        // They may have been banned, or have left, since a hook asked for them.
        self.sessions.borrow().admit(&player.id)?;
        let seat = self.seat_of(player);
        if seat.is_none() && !self.is_here(player) {
            return Err(Refusal::NOT_REGISTERED);
        }
        let has_seat = |room: &RoomId| self.rooms.borrow().lasts(room, kind.name);
        if let Some(room) = seat.filter(has_seat) {
            return self.go(player.as_ref(), &room);
        }
        let room = (kind.pick)(lobby, self, player)?;
        if self.rooms.borrow().find(&room).is_some_and(|found| found.kind != kind.name) {
            error!(%room, kind = kind.name, "pick: this room is of another kind");
            return Err(Refusal::INTERNAL);
        }
        self.go(player.as_ref(), &room)
    }

    fn go(&self, who: &[Player], room: &RoomId) -> Answer {
        let who = self.to_send(who, room);
        let answer = self.rooms.borrow_mut().join(&who, true, room)?;
        deferred(async { answer.await.unwrap_or(Err(Refusal::ROOM_GONE)) })
    }

    /// Without those who are in this room, or on their way, and not in the lobby again.
    fn to_send(&self, who: &[Player], room: &RoomId) -> Vec<Player> {
        let rooms = self.rooms.borrow();
        let goes = |player: &&Player| self.is_here(player) || !rooms.is_sent_to(&player.id, room);
        who.iter().filter(goes).cloned().collect()
    }

    /// All rooms of this kind, oldest first, the private ones as well.
    pub fn rooms<R: Room>(&self) -> Vec<RoomInfo<R::Options>>
    where
        L: RoomManager<R>,
    {
        self.of_kind::<R>(self.rooms.borrow().list())
    }

    /// The public rooms of this kind that would take so many more players.
    pub fn open_rooms<R: Room>(&self, players: usize) -> Vec<RoomInfo<R::Options>>
    where
        L: RoomManager<R>,
    {
        self.of_kind::<R>(self.rooms.borrow().joinable(players))
    }

    /// Of the public rooms of this kind with a free seat, the one with the most players.
    pub fn fullest<R: Room>(&self) -> Option<RoomInfo<R::Options>>
    where
        L: RoomManager<R>,
    {
        self.open_rooms::<R>(1).into_iter().max_by_key(|room| room.players)
    }

    /// What is known of a room; `None` also if it is of another kind.
    pub fn room<R: Room>(&self, room: &RoomId) -> Option<RoomInfo<R::Options>>
    where
        L: RoomManager<R>,
    {
        self.of_kind::<R>(self.rooms.borrow().find(room)).pop()
    }

    fn of_kind<R: Room>(
        &self,
        rooms: impl IntoIterator<Item = AnyRoom>,
    ) -> Vec<RoomInfo<R::Options>>
    where
        L: RoomManager<R>,
    {
        let Ok(kind) = self.kind_of::<R>() else { return Vec::new() };
        let rooms = rooms.into_iter().filter(|room| room.kind == kind.name);
        rooms.filter_map(AnyRoom::typed).collect()
    }

    fn kind_of<R: Room>(&self) -> Result<&Kind<L>, Refusal> {
        let kind = self.kinds.iter().find(|kind| kind.room == TypeId::of::<R>());
        kind.ok_or_else(|| {
            let room = std::any::type_name::<R>();
            error!(room, "not registered: add `.room::<…>(\"…\")` in main.rs");
            Refusal::INTERNAL
        })
    }

    /// Sends a player back into the room that keeps a seat for him; false: there is none.
    pub fn send_back(&self, player: &Player) -> bool {
        let lasts = |room: &RoomId| {
            let rooms = self.rooms.borrow();
            rooms.find(room).is_some_and(|found| rooms.lasts(room, found.kind))
        };
        let seat = self.seat_of(player).filter(lasts);
        seat.map(|room| self.reroute(player, &room)).is_some()
    }

    /// In which room a player has a seat: he is in it, on his way, or may return to it.
    pub fn seat_of(&self, player: impl AsRef<PlayerId>) -> Option<RoomId> {
        self.rooms.borrow().seat_of(player.as_ref())
    }

    /// A message for a room's `on_lobby_message`. A room that is not ready yet gets it when it is; one
    /// that is ending may not, and `on_room_exit` follows.
    pub fn tell<R: Room>(&self, room: &RoomId, message: R::FromLobby) -> Result<(), Refusal>
    where
        L: RoomManager<R>,
    {
        self.rooms.borrow().tell(self.kind_of::<R>()?.name, room, &message)
    }

    /// A message for the `on_lobby_message` of every room of this kind.
    pub fn tell_all<R: Room>(&self, message: R::FromLobby) -> Result<(), Refusal>
    where
        L: RoomManager<R>,
    {
        self.rooms.borrow().tell_all(self.kind_of::<R>()?.name, &message)
    }

    /// Takes no more players in this room, or takes them again. Those who have a seat keep it. What the
    /// room itself has locked stays locked.
    pub fn lock(&self, room: &RoomId, locked: bool) -> Result<(), Refusal> {
        self.rooms.borrow_mut().lock(room, locked)
    }

    /// Asks a room to end: its `on_drain` is called, and after the stop timeout it closes. Who is still
    /// in it then is back in the lobby with this reason. One that has not ended after twice the stop
    /// timeout is killed as hung.
    pub fn close(&self, room: &RoomId, reason: &str) -> Result<(), Refusal> {
        self.rooms.borrow_mut().close(room, reason)?;
        // Half of this is for the room's time, the other half for its goodbyes.
        let late = room.clone();
        self.scheduler.after(2 * self.settings.stop_timeout, move |_, lobby| {
            let _ = lobby.rooms.borrow_mut().kill(&late, Exit::Hung);
        });
        Ok(())
    }

    /// Tells a player, wherever he is, that he was not given a seat.
    pub(crate) fn notify_refused(&self, player: &PlayerId, refusal: &Refusal) {
        match self.sessions.borrow().newest_conn_of(player) {
            Some(conn) => drop(conn.tell("refused", &refused("reroute", refusal))),
            None => self.rooms.borrow().notify_refused(player, refusal),
        }
    }
}
