//! The room manager: creates, finds, messages and closes rooms, and counts their seats. The only
//! place that starts or ends processes, and the only one that gives seats away.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use tracing::{error, info, warn};

use crate::cluster::{
    Exit, Player, PlayerId, Refusal, Room, RoomId, Settings,
    channel::{FromRoom, ToRoom},
    front::Doors,
    pool::{Pool, Started, Warm, rebuilt},
    supervisor::{FromProcess, Verdict},
    token::random_ticket,
    words::{from_raw, to_raw},
};

/// What the lobby knows of a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RoomInfo<Options> {
    #[serde(rename = "room")]
    pub id: RoomId,
    pub options: Options,
    /// Seats taken: players in the room, away for a moment, or on their way.
    pub players: usize,
    pub capacity: usize,
    /// Takes no more players.
    pub locked: bool,
}

/// What the lobby's loop has to do, after a room said something or ended.
pub(crate) enum Happening<R: Room> {
    Ready(RoomInfo<R::Options>),
    /// The room waits for the player: tell him where it is.
    Reroute {
        player: Player,
        to: Route,
        waiter: Option<Waiter>,
    },
    /// A seat that was asked for is not to be had.
    Refused {
        player: Player,
        refusal: Refusal,
        waiter: Option<Waiter>,
    },
    Joined(PlayerId),
    /// A player is not in the room any more, or on his way back to it.
    Out {
        player: Player,
        room: RoomId,
        reason: String,
        sent: bool,
    },
    Message(RoomInfo<R::Options>, R::ToLobby),
    Exited(RoomInfo<R::Options>, Exit<R::Outcome>),
}

/// Where a player finds his room.
pub(crate) struct Route {
    pub room: RoomId,
    /// Its own one, if rooms have any.
    pub port: Option<u16>,
    pub ticket: String,
}

/// Who waits to hear whether a seat was given.
pub(crate) type Waiter = oneshot::Sender<Result<Value, Refusal>>;

pub struct RoomManager<R: Room> {
    settings: Settings,
    /// Open for the rooms that are ready.
    doors: Doors,
    rooms: HashMap<RoomId, Entry<R>>,
    pool: Pool,
    seated: HashMap<PlayerId, RoomId>,
    next_seat: u64,
    stopping: bool,
    /// Something that the list of rooms shows is different.
    changed: bool,
}

struct Entry<R: Room> {
    number: u64,
    started: Started,
    state: State,
    options: R::Options,
    capacity: usize,
    locked: bool,
    seats: HashMap<PlayerId, Seat>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Opening,
    Ready,
    /// Takes nobody any more.
    Ending,
    /// Killed: what it still says does not count.
    Doomed,
}

struct Seat {
    /// Rises with each hold, so that what a room says of an older one is not mistaken for news.
    number: u64,
    player: Player,
    ticket: String,
    waiter: Option<Waiter>,
    /// Its player was sent on his way, and may be in the room.
    sent: bool,
}

impl<R: Room> RoomManager<R> {
    pub(crate) fn new(
        settings: Settings,
        inbox: mpsc::UnboundedSender<FromProcess>,
        doors: Doors,
    ) -> anyhow::Result<Self> {
        Ok(RoomManager {
            pool: Pool::new(settings.clone(), inbox)?,
            settings,
            doors,
            rooms: HashMap::new(),
            seated: HashMap::new(),
            next_seat: 1,
            stopping: false,
            changed: false,
        })
    }

    /// Creates a room. It can be joined and told things at once; all that waits until it is ready.
    pub fn create(&mut self, capacity: usize, options: R::Options) -> Result<RoomId, Refusal> {
        if self.stopping {
            return Err(Refusal::Stopping);
        }
        if self.rooms.len() >= self.settings.max_rooms {
            return Err(Refusal::NoRoom(format!("all {} are in use", self.settings.max_rooms)));
        }
        let no_room = |error: anyhow::Error| {
            error!(error = format!("{error:#}"), "cannot create a room");
            Refusal::NoRoom("see the server's log".to_owned())
        };
        let raw = to_raw(&options).map_err(no_room)?;
        let (id, started) = self.pool.take().map_err(no_room)?;
        let open = ToRoom::Open { options: raw, capacity, seed: rand::random() };
        started.process.sender.send(&open).map_err(no_room)?;
        let number = id.0.parse().unwrap_or(u64::MAX);
        info!(room = %id, capacity, "room created");
        let (state, locked, seats) = (State::Opening, false, HashMap::new());
        let entry = Entry { number, started, state, options, capacity, locked, seats };
        self.rooms.insert(id.clone(), entry);
        self.changed = true;
        Ok(id)
    }

    /// The rooms, oldest first.
    pub fn list(&self) -> Vec<RoomInfo<R::Options>> {
        let mut rooms: Vec<_> = self.rooms.iter().collect();
        rooms.sort_by_key(|(_, entry)| entry.number);
        rooms.into_iter().map(|(id, entry)| entry.info(id)).collect()
    }

    pub fn find(&self, room: &RoomId) -> Option<RoomInfo<R::Options>> {
        Some(self.rooms.get(room)?.info(room))
    }

    /// The rooms that would take one more player.
    pub fn joinable(&self) -> impl Iterator<Item = RoomInfo<R::Options>> {
        let open = self.rooms.iter().filter(|(_, entry)| entry.check().is_ok());
        open.map(|(id, entry)| entry.info(id))
    }

    /// In which room the player has a seat.
    pub fn seat_of(&self, player: &PlayerId) -> Option<RoomId> {
        self.seated.get(player).cloned()
    }

    /// Whether the player is in a room or on his way to one, as far as is known here.
    pub(crate) fn is_away(&self, player: &PlayerId) -> bool {
        let seat = self.seated.get(player).and_then(|room| self.rooms.get(room)?.seats.get(player));
        seat.is_some_and(|seat| seat.sent)
    }

    /// Gives a seat to a player, or lets him keep the one that he has. The receiver hears when the
    /// player was sent on his way, or why not. A seat in another room is given back.
    pub(crate) fn join(
        &mut self,
        player: &Player,
        room: &RoomId,
    ) -> Result<oneshot::Receiver<Result<Value, Refusal>>, Refusal> {
        if self.stopping {
            return Err(Refusal::Stopping);
        }
        let entry = self.rooms.get_mut(room).ok_or(Refusal::NoSuchRoom)?;
        let kept = entry.seats.get(&player.id);
        if kept.is_none() || entry.is_ending() {
            entry.check()?;
        }
        // Reserve before replying, so that two players cannot take the last seat.
        let (waiter, answer) = oneshot::channel();
        let (number, ticket) = (self.next_seat, random_ticket());
        self.next_seat += 1;
        let sent = kept.is_some_and(|seat| seat.sent);
        let hold = ToRoom::Hold { seat: number, ticket: ticket.clone(), player: player.clone() };
        let seat = Seat { number, player: player.clone(), ticket, waiter: Some(waiter), sent };
        entry.seats.insert(player.id.clone(), seat);
        entry.send(&hold);
        self.changed = true;
        let before = self.seated.insert(player.id.clone(), room.clone());
        if let Some(before) = before.filter(|before| before != room) {
            self.release(&before, &player.id, "moved");
        }
        Ok(answer)
    }

    /// Sends a message to a room; one that is not ready yet gets it when it is.
    pub fn tell(&self, room: &RoomId, message: &R::FromLobby) -> Result<(), Refusal> {
        let entry = self.rooms.get(room).ok_or(Refusal::NoSuchRoom)?;
        let raw = to_raw(message).map_err(|error| {
            error!(%error, "a message to a room was not sent");
            Refusal::Internal
        })?;
        entry.send(&ToRoom::Message(raw));
        Ok(())
    }

    /// Takes no more players in this room, or takes them again.
    pub fn lock(&mut self, room: &RoomId, locked: bool) -> Result<(), Refusal> {
        self.rooms.get_mut(room).ok_or(Refusal::NoSuchRoom)?.locked = locked;
        self.changed = true;
        Ok(())
    }

    /// Asks a room to end: it takes nobody any more, and closes after the stop timeout at the latest.
    pub fn close(&mut self, room: &RoomId) -> Result<(), Refusal> {
        let entry = self.rooms.get_mut(room).ok_or(Refusal::NoSuchRoom)?;
        if entry.state != State::Doomed {
            entry.state = State::Ending;
        }
        let left_ms = self.settings.stop_timeout.as_millis() as u64;
        entry.send(&ToRoom::Drain { left_ms });
        self.changed = true;
        Ok(())
    }

    /// Kills a room's process.
    pub fn kill(&mut self, room: &RoomId, why: &str) -> Result<(), Refusal> {
        let entry = self.rooms.get_mut(room).ok_or(Refusal::NoSuchRoom)?;
        entry.kill(Exit::Crashed(why.to_owned()));
        Ok(())
    }

    /// Kills a room that has not become ready by now.
    pub(crate) fn give_up(&mut self, room: &RoomId) {
        let opening = self.rooms.get_mut(room).filter(|entry| entry.state == State::Opening);
        if let Some(entry) = opening {
            let why = format!("not ready within {:?}", self.settings.ready_timeout);
            entry.kill(Exit::NeverReady(why));
        }
    }

    /// Asks all rooms to end, and starts none any more.
    pub(crate) fn stop(&mut self) {
        self.stopping = true;
        self.pool.close();
        for room in self.rooms.keys().cloned().collect::<Vec<_>>() {
            let _ = self.close(&room);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rooms.is_empty()
    }

    /// Whether the list of rooms may have changed since this was asked last.
    pub(crate) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// The warm rooms that wait to be opened.
    pub(crate) fn pool(&mut self) -> &mut Pool {
        &mut self.pool
    }

    /// Takes in what a room's process said, or that it ended.
    pub(crate) fn process(&mut self, news: FromProcess) -> Vec<Happening<R>> {
        self.changed = true;
        match news {
            FromProcess::Said(room, frame, _permit) => self.said(&room, frame),
            FromProcess::Ended(room, verdict) => self.ended(&room, verdict),
        }
    }

    fn said(&mut self, room: &RoomId, frame: FromRoom) -> Vec<Happening<R>> {
        if let FromRoom::Warm { version, build, port } = frame {
            self.is_warm(room, Warm { version, build, port });
            return vec![];
        }
        let alive = |entry: &&mut Entry<R>| entry.state != State::Doomed;
        let Some(entry) = self.rooms.get_mut(room).filter(alive) else {
            return vec![];
        };
        match frame {
            FromRoom::Ready if entry.state == State::Ready => vec![],
            FromRoom::Ready => {
                info!(%room, "room ready");
                if entry.state == State::Opening {
                    entry.state = State::Ready;
                }
                self.doors.open(room.clone(), entry.started.process.sender.clone());
                vec![Happening::Ready(entry.info(room))]
            }
            FromRoom::Failed(refusal) => {
                entry.state = State::Ending;
                let seats = std::mem::take(&mut entry.seats);
                let seats = seats.into_values().map(|seat| (seat, refusal.clone()));
                seats.map(|(seat, refusal)| self.refused(room, seat, refusal)).collect()
            }
            FromRoom::Held { seat } => {
                let port = entry.started.port();
                let Some(seat) = entry.seats.values_mut().find(|held| held.number == seat) else {
                    return vec![];
                };
                seat.sent = true;
                let (room, ticket) = (room.clone(), seat.ticket.clone());
                let (player, waiter) = (seat.player.clone(), seat.waiter.take());
                vec![Happening::Reroute { player, to: Route { room, port, ticket }, waiter }]
            }
            FromRoom::HoldRefused { seat, refusal } => {
                let seat = self.vacate(room, seat);
                seat.map(|seat| self.refused(room, seat, refusal)).into_iter().collect()
            }
            FromRoom::Joined { seat } => {
                let seat = entry.seats.values().find(|held| held.number == seat);
                seat.map(|seat| Happening::Joined(seat.player.id.clone())).into_iter().collect()
            }
            FromRoom::Dropped { seat } => {
                let seat = entry.seats.values().find(|held| held.number == seat);
                seat.map(|seat| out(seat, room, "dropped")).into_iter().collect()
            }
            FromRoom::Left { seat, why } => {
                let Some(seat) = self.vacate(room, seat) else {
                    return vec![];
                };
                let mut happenings = vec![out(&seat, room, &why.to_string())];
                if seat.waiter.is_some() {
                    happenings.push(self.refused(room, seat, Refusal::RoomGone));
                }
                happenings
            }
            FromRoom::Message(message) => match from_raw(&message) {
                Ok(message) => vec![Happening::Message(entry.info(room), message)],
                Err(error) => {
                    entry.kill(Exit::Crashed(format!("said nonsense: {error}")));
                    vec![]
                }
            },
            FromRoom::Locked(locked) => {
                entry.locked = locked;
                vec![]
            }
            FromRoom::Closed { .. } => {
                entry.state = State::Ending;
                self.doors.close(room);
                vec![]
            }
            FromRoom::Warm { .. } | FromRoom::Beat => vec![],
        }
    }

    fn is_warm(&mut self, room: &RoomId, warm: Warm) {
        let misfit = self.pool.is_misfit(&warm);
        if let Some(entry) = self.rooms.get_mut(room) {
            entry.started.warm = Some(warm);
            if misfit {
                entry.kill(rebuilt());
            }
        } else {
            self.pool.is_warm(room, warm);
        }
    }

    fn ended(&mut self, room: &RoomId, verdict: Verdict) -> Vec<Happening<R>> {
        if self.pool.ended(room) {
            warn!(%room, ?verdict, "a warm room ended");
            return vec![];
        }
        self.doors.close(room);
        let Some(mut entry) = self.rooms.remove(room) else {
            return vec![];
        };
        let exit = typed(verdict);
        let mut happenings = Vec::new();
        for (id, seat) in std::mem::take(&mut entry.seats) {
            self.unseat(&id, room);
            happenings.push(out(&seat, room, exit.reason()));
            if seat.waiter.is_some() {
                let why = match &exit {
                    Exit::NeverReady(why) => Refusal::NoRoom(why.clone()),
                    _ => Refusal::RoomGone,
                };
                happenings.push(self.refused(room, seat, why));
            }
        }
        match &exit {
            Exit::Finished(_) | Exit::Closed => info!(%room, how = exit.reason(), "room ended"),
            Exit::Crashed(what) => warn!(%room, what, "room crashed"),
            Exit::Hung => warn!(%room, "room hung and was killed"),
            Exit::NeverReady(why) => warn!(%room, why, "room never became ready"),
        }
        happenings.push(Happening::Exited(entry.info(room), exit));
        happenings
    }

    /// Asks a room to let a player go. His seat is free when the room says so.
    fn release(&self, room: &RoomId, player: &PlayerId, reason: &str) {
        let Some(entry) = self.rooms.get(room) else {
            return;
        };
        if let Some(seat) = entry.seats.get(player) {
            entry.send(&ToRoom::Release { seat: seat.number, reason: reason.to_owned() });
        }
    }

    /// Frees a seat, unless it has been given again since.
    fn vacate(&mut self, room: &RoomId, number: u64) -> Option<Seat> {
        let entry = self.rooms.get_mut(room)?;
        let seat = entry.seats.values().find(|seat| seat.number == number)?;
        let id = seat.player.id.clone();
        let seat = entry.seats.remove(&id);
        self.unseat(&id, room);
        seat
    }

    /// The player has no seat in this room any more; he may have one in another.
    fn unseat(&mut self, player: &PlayerId, room: &RoomId) {
        if self.seated.get(player) == Some(room) {
            self.seated.remove(player);
        }
    }

    fn refused(&mut self, room: &RoomId, seat: Seat, refusal: Refusal) -> Happening<R> {
        self.unseat(&seat.player.id, room);
        Happening::Refused { player: seat.player, refusal, waiter: seat.waiter }
    }
}

impl<R: Room> Entry<R> {
    fn info(&self, id: &RoomId) -> RoomInfo<R::Options> {
        RoomInfo {
            id: id.clone(),
            options: self.options.clone(),
            players: self.seats.len(),
            capacity: self.capacity,
            locked: self.locked || self.is_ending(),
        }
    }

    /// Whether one more player may come.
    fn check(&self) -> Result<(), Refusal> {
        if self.locked || self.is_ending() {
            Err(Refusal::RoomLocked)
        } else if self.seats.len() >= self.capacity {
            Err(Refusal::RoomFull)
        } else {
            Ok(())
        }
    }

    fn is_ending(&self) -> bool {
        matches!(self.state, State::Ending | State::Doomed)
    }

    fn kill(&mut self, verdict: Verdict) {
        self.state = State::Doomed;
        self.started.process.kill(verdict);
    }

    /// A room that does not read what it is told counts as hung.
    fn send(&self, frame: &ToRoom) {
        if let Err(error) = self.started.process.sender.send(frame) {
            warn!(error = format!("{error:#}"), "a room does not take a message");
            self.started.process.kill(Exit::Hung);
        }
    }
}

fn out<R: Room>(seat: &Seat, room: &RoomId, reason: &str) -> Happening<R> {
    let (player, room) = (seat.player.clone(), room.clone());
    Happening::Out { player, room, reason: reason.to_owned(), sent: seat.sent }
}

fn typed<Outcome: serde::de::DeserializeOwned>(verdict: Verdict) -> Exit<Outcome> {
    match verdict {
        Exit::Finished(outcome) => match from_raw(&outcome) {
            Ok(outcome) => Exit::Finished(outcome),
            Err(error) => Exit::Crashed(format!("an outcome that does not parse: {error}")),
        },
        Exit::Closed => Exit::Closed,
        Exit::Crashed(what) => Exit::Crashed(what),
        Exit::Hung => Exit::Hung,
        Exit::NeverReady(why) => Exit::NeverReady(why),
    }
}
