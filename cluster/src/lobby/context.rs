//! The lobby's handle: all that a hook can do besides changing its own state.

use std::{cell::RefCell, time::Duration};

use crate::{
    auth::token::Tokens,
    config::settings::Settings,
    lobby::{
        hooks::{Info, Lobby},
        sessions::People,
    },
    room::hooks::Room,
    rooms::{AnyRoom, Host, RoomManager, code_attempts::Guesses},
    runtime::{
        compute::{ComputeError, Job, Work},
        scheduler::{Agenda, Timer},
    },
    socketio::{connection::refused, events},
    types::words::{Answer, Exit, Player, PlayerId, Refusal, RoomId, later, short},
};

type Options<L> = <<L as Lobby>::Room as Room>::Options;

/// The handle that every hook of the lobby gets.
pub struct Cluster<L: Lobby> {
    pub(crate) settings: Settings,
    pub(crate) tokens: std::sync::Arc<Tokens>,
    pub(crate) rooms: RefCell<RoomManager>,
    pub(crate) people: RefCell<People>,
    pub(crate) guesses: RefCell<Guesses>,
    pub(crate) agenda: Agenda<L, Cluster<L>>,
}

impl<L: Lobby> Cluster<L> {
    /// The settings that this lobby was started with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Creates a room with so many seats, for the player who asked for it or for nobody (`None`). It can
    /// be joined at once. Refuses with `no_room`, `too_many_rooms`. A room that is to compute and not to
    /// be joined has 0 seats.
    pub fn create<'a>(
        &self,
        host: impl Into<Option<&'a Player>>,
        capacity: usize,
        options: Options<L>,
    ) -> Result<RoomId, Refusal> {
        self.open(host.into(), false, capacity, options)
    }

    /// The same for a room that is in no list and has a code of six letters ([`RoomInfo::code`]), with
    /// which others join. Its host knows the code from the room's `joined`, and so does everyone in it.
    /// One that he has left counts as his until it closes: see [`Ctx::empty_timeout`].
    ///
    /// [`RoomInfo::code`]: crate::rooms::RoomInfo
    /// [`Ctx::empty_timeout`]: crate::room::context::Ctx::empty_timeout
    pub fn create_private<'a>(
        &self,
        host: impl Into<Option<&'a Player>>,
        capacity: usize,
        options: Options<L>,
    ) -> Result<RoomId, Refusal> {
        self.open(host.into(), true, capacity, options)
    }

    fn open(
        &self,
        host: Option<&Player>,
        private: bool,
        capacity: usize,
        options: Options<L>,
    ) -> Result<RoomId, Refusal> {
        let host = host.map(|host| Host {
            player: host.id.clone(),
            address: self.people.borrow().address_of(&host.id),
        });
        let room = self.rooms.borrow_mut().create(host, private, capacity, options)?;
        let deadline = room.clone();
        self.agenda.after(self.settings.ready_timeout, move |_, lobby| {
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
        if let Some(private) = self.room(room).filter(|room| room.code.is_some()) {
            let knows = |player: &Player| {
                private.host.as_ref() == Some(&player.id)
                    || self.seat_of(player).as_ref() == Some(room)
            };
            if !who.iter().any(knows) {
                return Err(Refusal::NoSuchRoom);
            }
        }
        self.go(who, room)
    }

    /// Joins the private room with this code, in capitals or not. Who has tried too many wrong ones
    /// (`--wrong-codes-per-minute`) is refused with `too_many_guesses`.
    pub fn join_by_code(&self, who: impl AsRef<[Player]>, code: &str) -> Answer {
        let who = who.as_ref();
        let asker = &who.first().ok_or(Refusal::NoSuchRoom)?.id;
        let address = self.people.borrow().address_of(asker);
        self.guesses.borrow().check(asker, address)?;
        let Some(room) = self.rooms.borrow().find_code(code) else {
            self.guesses.borrow_mut().count(asker, address);
            return Err(Refusal::NoSuchRoom);
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
            who.iter().for_each(|player| self.tell_refused(&player.id, refusal));
        }
        let sent = async { joined?.await.unwrap_or(Err(Refusal::RoomGone)).map(drop) };
        self.agenda.spawn(sent, done);
    }

    /// Joins the room that `pick` likes best, or a new one. `pick` gets each public room that would take
    /// so many more players; it returns `None` for those that will not do, and the greatest value wins.
    pub fn join_or_create<Rank: Ord>(
        &self,
        who: impl AsRef<[Player]>,
        pick: impl Fn(&Info<L>) -> Option<Rank>,
        capacity: usize,
        options: Options<L>,
    ) -> Answer {
        let who = who.as_ref();
        // Somebody who asks twice stays where he has his seat.
        if let [player] = who
            && let Some(room) = self.seat_of(player)
        {
            return self.go(who, &room);
        }
        let best = {
            let rooms = self.rooms.borrow();
            let ranked = rooms
                .joinable(who.len())
                .map(AnyRoom::typed)
                .filter_map(|room| Some((pick(&room)?, room.id)));
            ranked.max_by(|a, b| a.0.cmp(&b.0)).map(|(_, room)| room)
        };
        let room = best.map_or_else(|| self.create(who.first(), capacity, options), Ok)?;
        self.go(who, &room)
    }

    fn go(&self, who: &[Player], room: &RoomId) -> Answer {
        let who = self.to_send(who, room);
        let answer = self.rooms.borrow_mut().join(&who, true, room)?;
        later(async { answer.await.unwrap_or(Err(Refusal::RoomGone)) })
    }

    /// Without those who are in this room, or on their way, and not in the lobby again.
    fn to_send(&self, who: &[Player], room: &RoomId) -> Vec<Player> {
        let rooms = self.rooms.borrow();
        let goes = |player: &&Player| self.is_here(player) || !rooms.is_sent_to(&player.id, room);
        who.iter().filter(goes).cloned().collect()
    }

    /// All rooms, oldest first, the private ones as well.
    pub fn rooms(&self) -> Vec<Info<L>> {
        self.rooms.borrow().list().into_iter().map(AnyRoom::typed).collect()
    }

    /// What is known of a room.
    pub fn room(&self, room: &RoomId) -> Option<Info<L>> {
        self.rooms.borrow().find(room).map(AnyRoom::typed)
    }

    /// Sends a player back into the room that keeps a seat for him; false: there is none.
    pub fn send_back(&self, player: &Player) -> bool {
        let seat = self.seat_of(player);
        seat.map(|room| self.reroute(player, &room)).is_some()
    }

    /// Whether a player is in the lobby.
    pub fn is_here(&self, player: impl AsRef<PlayerId>) -> bool {
        self.people.borrow().is_present(player.as_ref())
    }

    /// In which room a player has a seat: he is in it, on his way, or may return to it.
    pub fn seat_of(&self, player: impl AsRef<PlayerId>) -> Option<RoomId> {
        self.rooms.borrow().seat_of(player.as_ref())
    }

    /// A message for a room's `on_lobby_message`. A room that is not ready yet gets it when it is; one
    /// that is ending may not, and `on_room_exit` follows.
    pub fn tell(
        &self,
        room: &RoomId,
        message: <L::Room as Room>::FromLobby,
    ) -> Result<(), Refusal> {
        self.rooms.borrow().tell(room, &message)
    }

    /// A message for every room's `on_lobby_message`.
    pub fn tell_all(&self, message: <L::Room as Room>::FromLobby) -> Result<(), Refusal> {
        self.rooms.borrow().tell_all(&message)
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
        self.agenda.after(2 * self.settings.stop_timeout, move |_, lobby| {
            let _ = lobby.rooms.borrow_mut().kill(&late, Exit::Hung);
        });
        Ok(())
    }

    /// Puts a player out of his room, or out of the lobby: his page shows the reason. From the lobby it
    /// does not come back by itself; he may reload it.
    pub fn kick(&self, player: impl AsRef<PlayerId>, reason: &str) {
        self.put_out(player.as_ref(), reason, Refusal::Kicked(short(reason)));
    }

    /// Puts a player out, and does not let him in again, until the lobby restarts. A person who
    /// registers anew is somebody else, unless your `on_register` knows better.
    pub fn ban(&self, player: impl AsRef<PlayerId>, reason: &str) {
        let player = player.as_ref();
        self.people.borrow_mut().ban(player.clone(), short(reason));
        self.put_out(player, reason, Refusal::Banned(short(reason)));
    }

    /// Lets a player in again.
    pub fn unban(&self, player: impl AsRef<PlayerId>) {
        self.people.borrow_mut().unban(player.as_ref());
    }

    fn put_out(&self, player: &PlayerId, reason: &str, refusal: Refusal) {
        self.rooms.borrow_mut().release(player, Some(reason));
        if let Some(conn) = self.people.borrow().conn_of(player) {
            conn.dismiss(&refusal);
        }
    }

    /// Sends an event to a player, if he is in the lobby. A browser that does not read counts as gone
    /// (`--max-unsent`).
    pub fn send(&self, to: impl AsRef<PlayerId>, event: L::Event) {
        if let (Some(conn), Some(event)) =
            (self.people.borrow().conn_of(to.as_ref()), encode(&event))
        {
            // One who cannot be reached is gone, and the loop hears of it.
            let _ = conn.emit(&event);
        }
    }

    /// Sends an event to everyone who is in the lobby, registered or not. Those who are in rooms, or on the
    /// way from there, do not hear it.
    pub fn broadcast(&self, event: L::Event) {
        if let Some(event) = encode(&event) {
            for conn in self.people.borrow().everyone() {
                let _ = conn.emit(&event);
            }
        }
    }

    /// Calls back once, after `delay`.
    pub fn after(&self, delay: Duration, call: impl FnOnce(&mut L, &Self) + 'static) -> Timer {
        self.agenda.after(delay, call)
    }

    /// Calls back again and again, first after `period`; less than a millisecond counts as one. Late calls do not change
    /// the rate. Of those that were missed in a stall one is made up for, and the others are skipped.
    pub fn every(&self, period: Duration, call: impl FnMut(&mut L, &Self) + 'static) -> Timer {
        self.agenda.every(period, call)
    }

    /// Cancels a timer; one that has run already is no error.
    pub fn cancel(&self, timer: Timer) {
        self.agenda.cancel(timer);
    }

    /// Waits for a future, and calls back with its result. Other hooks run meanwhile.
    pub fn spawn<T: 'static>(
        &self,
        future: impl Future<Output = T> + 'static,
        done: impl FnOnce(&mut L, &Self, T) + 'static,
    ) {
        self.agenda.spawn(future, done);
    }

    /// Does heavy work on another thread, and calls back with its result. Better: give it to a room.
    pub fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Work) -> T + Send + 'static,
        done: impl FnOnce(&mut L, &Self, Result<T, ComputeError>) + 'static,
    ) -> Job {
        self.agenda.compute(work, |_, _, ()| {}, done)
    }

    /// Tells a player, wherever he is, that he was not given a seat.
    pub(crate) fn tell_refused(&self, player: &PlayerId, refusal: &Refusal) {
        match self.people.borrow().newest_conn_of(player) {
            Some(conn) => drop(conn.tell("refused", &refused("reroute", refusal))),
            None => self.rooms.borrow().tell_refused(player, refusal),
        }
    }
}

fn encode(event: &impl serde::Serialize) -> Option<events::Encoded> {
    let encoded = events::encode(event);
    encoded.inspect_err(|error| tracing::error!(%error, "an event was not sent")).ok()
}
