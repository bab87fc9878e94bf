//! The lobby's handle: all that a hook can do besides changing its own state.

use std::{cell::RefCell, time::Duration};

use super::{
    agenda::{Agenda, Panicked, Timer},
    connection::refused,
    events,
    lobby_hooks::{Info, Lobby},
    people::People,
    room_hooks::Room,
    token::Tokens,
    words::{Answer, Player, PlayerId, Refusal, RoomId, later},
};
use crate::{cluster::Settings, room_manager::RoomManager};

type Options<L> = <<L as Lobby>::Room as Room>::Options;

/// The handle that every hook of the lobby gets.
pub struct Cluster<L: Lobby> {
    pub(crate) settings: Settings,
    pub(crate) tokens: std::sync::Arc<Tokens>,
    pub(crate) rooms: RefCell<RoomManager<L::Room>>,
    pub(crate) people: RefCell<People>,
    pub(crate) agenda: Agenda<L, Cluster<L>>,
}

impl<L: Lobby> Cluster<L> {
    /// The settings that this lobby was started with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Creates a room with so many seats. It can be joined at once. Refuses with `no_room`.
    pub fn create(&self, capacity: usize, options: Options<L>) -> Result<RoomId, Refusal> {
        let room = self.rooms.borrow_mut().create(capacity, options)?;
        let deadline = room.clone();
        self.agenda.after(self.settings.ready_timeout, move |_, lobby| {
            lobby.rooms.borrow_mut().give_up(&deadline);
        });
        Ok(room)
    }

    /// Gives the player a seat in this room and sends him there. The answer, `{ room }`, comes when he
    /// was sent on his way. Refuses with `no_such_room`, `room_full`, `room_locked`, `room_gone`,
    /// `no_room`, or what the room's `on_open` and `on_admit` say. One who has a seat there keeps it; a seat in
    /// another room is given back.
    pub fn join(&self, player: &Player, room: &RoomId) -> Answer {
        let answer = self.rooms.borrow_mut().join(player, room)?;
        later(async { answer.await.unwrap_or(Err(Refusal::RoomGone)) })
    }

    /// The same where nobody waits for the answer: a refusal is told to the player.
    pub fn send_into(&self, player: &Player, room: &RoomId) {
        let joined = self.rooms.borrow_mut().join(player, room);
        if let Err(refusal) = joined {
            self.tell_refused(&player.id, "reroute", &refusal);
        }
    }

    /// Joins the room that `pick` likes best, or a new one. `pick` gets each room that would take one
    /// more player; it returns `None` for those that will not do, and the greatest value wins.
    pub fn join_or_create<Rank: Ord>(
        &self,
        player: &Player,
        pick: impl Fn(&Info<L>) -> Option<Rank>,
        capacity: usize,
        options: Options<L>,
    ) -> Answer {
        // Somebody who asks twice stays where he has his seat.
        if let Some(room) = self.seat_of(player) {
            return self.join(player, &room);
        }
        let best = {
            let rooms = self.rooms.borrow();
            let ranked = rooms.joinable().filter_map(|room| Some((pick(&room)?, room.id)));
            ranked.max_by(|a, b| a.0.cmp(&b.0)).map(|(_, room)| room)
        };
        let room = best.map_or_else(|| self.create(capacity, options), Ok)?;
        self.join(player, &room)
    }

    /// All rooms, oldest first.
    pub fn rooms(&self) -> Vec<Info<L>> {
        self.rooms.borrow().list()
    }

    /// What is known of a room.
    pub fn room(&self, room: &RoomId) -> Option<Info<L>> {
        self.rooms.borrow().find(room)
    }

    /// In which room a player has a seat: he is in it, on his way, or may return to it.
    pub fn seat_of(&self, player: impl AsRef<PlayerId>) -> Option<RoomId> {
        self.rooms.borrow().seat_of(player.as_ref())
    }

    /// A message for a room's `on_lobby_message`. A room that is not ready yet gets it when it is.
    pub fn tell(
        &self,
        room: &RoomId,
        message: <L::Room as Room>::FromLobby,
    ) -> Result<(), Refusal> {
        self.rooms.borrow().tell(room, &message)
    }

    /// Takes no more players in this room, or takes them again. Those who have a seat keep it.
    pub fn lock(&self, room: &RoomId, locked: bool) -> Result<(), Refusal> {
        self.rooms.borrow_mut().lock(room, locked)
    }

    /// Asks a room to end: its `on_drain` is called, and after the stop timeout it closes.
    pub fn close(&self, room: &RoomId) -> Result<(), Refusal> {
        self.rooms.borrow_mut().close(room)
    }

    /// Sends an event to a player, if he is in the lobby.
    pub fn send(&self, to: impl AsRef<PlayerId>, event: L::Event) {
        if let (Some(conn), Some(event)) =
            (self.people.borrow().conn_of(to.as_ref()), encode(&event))
        {
            // One who cannot be reached is gone, and the loop hears of it.
            let _ = conn.emit(&event);
        }
    }

    /// Sends an event to everyone who is in the lobby, registered or not.
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

    /// Calls back again and again, first after `period`.
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

    /// Does heavy work on another thread, and calls back with its result.
    pub fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
        done: impl FnOnce(&mut L, &Self, Result<T, Panicked>) + 'static,
    ) {
        self.agenda.compute(work, done);
    }

    pub(crate) fn tell_refused(&self, player: &PlayerId, event: &str, refusal: &Refusal) {
        if let Some(conn) = self.people.borrow().conn_of(player) {
            let _ = conn.tell("refused", &refused(event, refusal));
        }
    }
}

fn encode(event: &impl serde::Serialize) -> Option<events::Encoded> {
    let encoded = events::encode(event);
    encoded.inspect_err(|error| tracing::error!(%error, "an event was not sent")).ok()
}
