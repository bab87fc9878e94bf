//! The room manager: creates, finds, messages and closes rooms, and counts their seats. The only
//! place that starts or ends processes, and the only one that gives seats away.

use std::collections::{HashMap, HashSet, hash_map::Entry::Occupied};

use serde::Serialize;
use serde_json::{Value, value::RawValue};
use tokio::sync::{mpsc, oneshot};
use tracing::{error, info, warn};

use crate::cluster::{
    Exit, Player, PlayerId, Refusal, Room, RoomId, Settings,
    channel::{FromRoom, HeldSeat, RoomAbout, Route, ToRoom},
    front::Doors,
    pool::{Pool, Started, Warm, rebuilt},
    supervisor::{FromProcess, Verdict},
    token::random_ticket,
    words::{from_raw, short, to_raw},
};

/// What the lobby knows of a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RoomInfo<Options> {
    #[serde(rename = "room")]
    pub id: RoomId,
    pub options: Options,
    /// For whom it was created; `None`: the lobby did so on its own.
    pub host: Option<PlayerId>,
    /// What lets players into a private room, which is in no list; `None`: the room is public.
    #[serde(skip)]
    pub code: Option<String>,
    /// Seats taken: players in the room, away for a moment, or on their way.
    pub players: usize,
    pub capacity: usize,
    /// Takes no more players.
    pub locked: bool,
}

/// What the lobby's loop has to do, after a room said something or ended.
pub(crate) enum Happening<R: Room> {
    Ready(RoomInfo<R::Options>),
    /// The room waits for these players: tell them where it is.
    Reroute {
        players: Vec<Rerouted>,
        room: RoomId,
        /// Nobody waits for this room any more: they have been sent elsewhere since.
        gone: bool,
        waiters: Vec<Waiter>,
    },
    /// The seats that these players, or one of them, asked for are not to be had.
    Refused {
        players: Vec<Player>,
        refusal: Refusal,
        waiters: Vec<Waiter>,
    },
    Joined(PlayerId),
    /// A room sends a player on to another one.
    SendOn(Player, RoomId),
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

/// A player who has a seat now.
pub(crate) struct Rerouted {
    pub player: Player,
    /// Of those who go together: the one who may have asked.
    pub first: bool,
    pub to: Route,
    /// The room in which he has a seat as well, until he is on his way.
    pub from: Option<RoomId>,
}

/// Who may wait to hear whether a seat was given, and whether it is the first of the players, who has
/// asked for it.
pub(crate) struct Waiter {
    pub tell: oneshot::Sender<Result<Value, Refusal>>,
    pub asked: bool,
}

/// Those who may go to a room together: as many fit into one frame.
const MAX_PARTY: usize = 32;
/// Letters of codes: none that looks or sounds like another, and no vowels, so that they spell nothing.
const LETTERS: &[u8] = b"BCDFGHJKLMPQRSTVWXZ";
/// Letters in a code: 47 million codes, so that guessing finds no room.
const CODE_LENGTH: usize = 6;

pub struct RoomManager<R: Room> {
    settings: Settings,
    /// Open for the rooms that are ready.
    doors: Doors,
    rooms: HashMap<RoomId, Entry<R>>,
    pool: Pool,
    /// Where each player was given a seat last.
    seated: HashMap<PlayerId, RoomId>,
    /// Seats that the rooms have not confirmed yet.
    joins: HashMap<u64, Join>,
    next_seat: u64,
    next_join: u64,
    stopping: bool,
    /// Something that the list of rooms shows is different.
    changed: bool,
}

struct Entry<R: Room> {
    number: u64,
    started: Started,
    state: State,
    /// It has said that it is ready, or why it cannot be.
    opened: bool,
    options: R::Options,
    about: RoomAbout,
    /// By the lobby.
    locked: bool,
    /// By itself.
    locked_itself: bool,
    seats: HashMap<PlayerId, Seat>,
}

/// Players who go to a room together.
struct Join {
    room: RoomId,
    players: Vec<Player>,
    waiters: Vec<Waiter>,
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
    /// With which it was given, or given again.
    join: u64,
    /// The room in which its player has had a seat until now.
    from: Option<RoomId>,
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
            joins: HashMap::new(),
            next_seat: 1,
            next_join: 1,
            stopping: false,
            changed: false,
        })
    }

    /// Creates a room. It can be joined and told things at once; all that waits until it is ready.
    pub fn create(
        &mut self,
        host: Option<&Player>,
        private: bool,
        capacity: usize,
        options: R::Options,
    ) -> Result<RoomId, Refusal> {
        if self.stopping {
            return Err(Refusal::Stopping);
        }
        let host = host.map(|player| player.id.clone());
        let hosted = self.rooms.values().filter(|entry| entry.about.host == host).count();
        if host.is_some() && hosted >= self.settings.max_rooms_per_player {
            return Err(Refusal::TooManyRooms);
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
        let code = private.then(|| self.new_code());
        let about = RoomAbout { capacity, seed: rand::random(), host, code };
        let open = ToRoom::Open { options: raw, about: about.clone() };
        started.process.sender.send(&open).map_err(no_room)?;
        let number = id.0.parse().unwrap_or(u64::MAX);
        info!(room = %id, capacity, private, "room created");
        let entry = Entry {
            number,
            started,
            state: State::Opening,
            opened: false,
            options,
            about,
            locked: false,
            locked_itself: false,
            seats: HashMap::new(),
        };
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

    /// Those that everybody may know of.
    pub(crate) fn public(&self) -> Vec<RoomInfo<R::Options>> {
        self.list().into_iter().filter(|room| room.code.is_none()).collect()
    }

    pub fn find(&self, room: &RoomId) -> Option<RoomInfo<R::Options>> {
        Some(self.rooms.get(room)?.info(room))
    }

    /// The room with this code, in capitals or not.
    pub fn find_code(&self, code: &str) -> Option<RoomId> {
        let code = code.trim().to_ascii_uppercase();
        let mut rooms = self.rooms.iter();
        let found = rooms.find(|(_, entry)| entry.about.code.as_deref() == Some(&code));
        found.map(|(id, _)| id.clone())
    }

    /// The public rooms that would take so many more players.
    pub fn joinable(&self, players: usize) -> impl Iterator<Item = RoomInfo<R::Options>> {
        let open = self
            .rooms
            .iter()
            .filter(move |(_, entry)| entry.about.code.is_none() && entry.check(players).is_ok());
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

    /// Gives seats to players who go together, or lets them keep those that they have: all of them, or
    /// none. The receiver hears when they were sent on their way, or why not. A seat in another room is
    /// given back when they are.
    pub(crate) fn join(
        &mut self,
        party: &[Player],
        asked: bool,
        room: &RoomId,
    ) -> Result<oneshot::Receiver<Result<Value, Refusal>>, Refusal> {
        if self.stopping {
            return Err(Refusal::Stopping);
        }
        let mut once = HashSet::new();
        let players = party.iter().filter(|player| once.insert(&player.id));
        let players: Vec<Player> = players.cloned().collect();
        if players.len() > MAX_PARTY {
            return Err(Refusal::PartyTooLarge);
        }
        // Who is about to go elsewhere does not any more. Who is elsewhere stays until he can go.
        let origins: Vec<_> = players.iter().map(|player| self.origin(&player.id, room)).collect();
        let entry = self.rooms.get_mut(room).ok_or(Refusal::NoSuchRoom)?;
        let is_new = |player: &&Player| !entry.seats.contains_key(&player.id);
        entry.check(players.iter().filter(is_new).count())?;
        // Reserve before replying, so that two players cannot take the last seat.
        let join = self.next_join;
        self.next_join += 1;
        let (tell, answer) = oneshot::channel();
        let mut waiters = vec![Waiter { tell, asked }];
        let mut seats = Vec::new();
        for (player, origin) in players.iter().zip(&origins) {
            let (number, ticket) = (self.next_seat, random_ticket());
            self.next_seat += 1;
            seats.push(HeldSeat { seat: number, ticket: ticket.clone(), player: player.clone() });
            let kept = entry.seats.remove(&player.id);
            let sent = kept.as_ref().is_some_and(|kept| kept.sent);
            let (player, from) = (player.clone(), origin.from.clone());
            self.seated.insert(player.id.clone(), room.clone());
            let seat = Seat { number, player, ticket, join, from, sent };
            entry.seats.insert(seat.player.id.clone(), seat);
            // Who asks again while he waits hears the same twice.
            if let Some(kept) = kept
                && let Occupied(mut before) = self.joins.entry(kept.join)
            {
                before.get_mut().players.retain(|other| other.id != kept.player.id);
                if before.get().players.is_empty() {
                    waiters.extend(before.remove().waiters);
                }
            }
        }
        entry.send(&ToRoom::Hold { join, seats });
        self.joins.insert(join, Join { room: room.clone(), players: players.clone(), waiters });
        self.changed = true;
        for (player, origin) in players.iter().zip(origins) {
            if let Some(given_up) = origin.given_up {
                self.move_on(&given_up, &player.id, None);
            }
        }
        Ok(answer)
    }

    /// Where a player is who is given a seat in this room.
    fn origin(&self, player: &PlayerId, room: &RoomId) -> Origin {
        let seat = |room: &RoomId| self.rooms.get(room)?.seats.get(player);
        match self.seated.get(player).and_then(|before| Some((before, seat(before)?))) {
            // In there, or on the way.
            Some((before, seat)) if before != room && seat.sent => {
                Origin { from: Some(before.clone()), given_up: None }
            }
            Some((before, seat)) => {
                let given_up = (before != room).then(|| before.clone());
                Origin { from: seat.from.clone().filter(|from| from != room), given_up }
            }
            None => Origin::default(),
        }
    }

    /// The player's seat in this room is not needed any more: he has another, and goes there from the
    /// lobby, or from here by this route.
    pub(crate) fn move_on(&self, room: &RoomId, player: &PlayerId, to: Option<Route>) {
        self.send_about(room, player, |seat| ToRoom::Move { seat, to });
    }

    /// Puts a player out of his room; without a reason because he wants to.
    pub fn release(&self, player: &PlayerId, reason: Option<&str>) {
        for room in self.rooms_of(player) {
            let reason = reason.map(short);
            self.send_about(room, player, |seat| ToRoom::Release { seat, reason });
        }
    }

    /// Takes back the seat that was just given to a player: he stays where he has one until now.
    pub(crate) fn take_back(&mut self, player: &PlayerId, from: Option<RoomId>) {
        let Some(room) = self.seated.get(player).cloned() else {
            return;
        };
        let reason = Some(Refusal::RerouteLoop.code().to_owned());
        self.send_about(&room, player, |seat| ToRoom::Release { seat, reason });
        let seat = self.rooms.get_mut(&room).and_then(|entry| entry.seats.get_mut(player));
        if let (Some(seat), Some(from)) = (seat, from) {
            (seat.sent, seat.from) = (false, None);
            self.seated.insert(player.clone(), from);
        }
    }

    /// Tells a player who is in a room that he was not given a seat in another.
    pub(crate) fn tell_refused(&self, player: &PlayerId, refusal: &Refusal) {
        for room in self.rooms_of(player) {
            let refused = |seat| ToRoom::Refused { seat, refusal: refusal.clone() };
            self.send_about(room, player, refused);
        }
    }

    /// Where the player has a seat, and the room in which he still is until he can go there.
    fn rooms_of(&self, player: &PlayerId) -> impl Iterator<Item = &RoomId> {
        let room = self.seated.get(player);
        let seat = room.and_then(|room| self.rooms.get(room)?.seats.get(player));
        room.into_iter().chain(seat.and_then(|seat| seat.from.as_ref()))
    }

    /// Sends a frame about a player's seat in this room, if he has one there.
    fn send_about(&self, room: &RoomId, player: &PlayerId, frame: impl FnOnce(u64) -> ToRoom) {
        if let Some(entry) = self.rooms.get(room)
            && let Some(seat) = entry.seats.get(player)
        {
            entry.send(&frame(seat.number));
        }
    }

    /// Sends a message to a room; one that is not ready yet gets it when it is.
    pub fn tell(&self, room: &RoomId, message: &R::FromLobby) -> Result<(), Refusal> {
        let entry = self.rooms.get(room).ok_or(Refusal::NoSuchRoom)?;
        entry.send(&ToRoom::Message(encode(message)?));
        Ok(())
    }

    /// Sends a message to all rooms.
    pub fn tell_all(&self, message: &R::FromLobby) -> Result<(), Refusal> {
        let raw = encode(message)?;
        self.rooms.values().for_each(|entry| entry.send(&ToRoom::Message(raw.clone())));
        Ok(())
    }

    /// Takes no more players in this room, or takes them again.
    pub fn lock(&mut self, room: &RoomId, locked: bool) -> Result<(), Refusal> {
        self.rooms.get_mut(room).ok_or(Refusal::NoSuchRoom)?.locked = locked;
        self.changed = true;
        Ok(())
    }

    /// Asks a room to end: it takes nobody any more, and closes after the stop timeout at the latest.
    /// Who is still in it then is told the reason.
    pub fn close(&mut self, room: &RoomId, reason: &str) -> Result<(), Refusal> {
        let entry = self.rooms.get_mut(room).ok_or(Refusal::NoSuchRoom)?;
        if entry.state != State::Doomed {
            entry.state = State::Ending;
        }
        let left_ms = self.settings.stop_timeout.as_millis() as u64;
        entry.send(&ToRoom::Drain { left_ms, reason: short(reason) });
        self.changed = true;
        Ok(())
    }

    /// Kills a room's process.
    pub(crate) fn kill(&mut self, room: &RoomId, verdict: Verdict) -> Result<(), Refusal> {
        self.rooms.get_mut(room).ok_or(Refusal::NoSuchRoom)?.kill(verdict);
        Ok(())
    }

    /// Kills a room that has not become ready by now.
    pub(crate) fn give_up(&mut self, room: &RoomId) {
        // Also one that was asked to end meanwhile: it has not heard of it.
        let opening = self.rooms.get_mut(room).filter(|entry| !entry.opened);
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
            let _ = self.close(&room, "closed");
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
                entry.opened = true;
                if entry.state == State::Opening {
                    entry.state = State::Ready;
                }
                self.doors.open(room.clone(), entry.started.process.sender.clone());
                vec![Happening::Ready(entry.info(room))]
            }
            FromRoom::Failed(refusal) => {
                entry.state = State::Ending;
                let seats: Vec<u64> = entry.seats.values().map(|seat| seat.number).collect();
                seats.into_iter().for_each(|seat| drop(self.vacate(room, seat)));
                self.fail_joins(room, &refusal)
            }
            FromRoom::Held { join } => self.held(room, join).into_iter().collect(),
            FromRoom::HoldRefused { join, refusal } => {
                let join = self.take_join(room, join);
                join.map(|join| refused(join, refusal)).into_iter().collect()
            }
            FromRoom::Joined { seat } => {
                let seat = entry.seats.values().find(|held| held.number == seat);
                seat.map(|seat| Happening::Joined(seat.player.id.clone())).into_iter().collect()
            }
            FromRoom::Dropped { seat } => {
                let seat = entry.seats.values().find(|held| held.number == seat);
                seat.map(|seat| out(seat, room, "dropped")).into_iter().collect()
            }
            FromRoom::Left { seat, reason } => {
                let seat = self.vacate(room, seat);
                seat.map(|seat| out(&seat, room, &reason)).into_iter().collect()
            }
            FromRoom::SendOn { seat, room: to } => {
                let seat = entry.seats.values().find(|held| held.number == seat);
                let player = seat.map(|seat| seat.player.clone());
                // Who has gone on meanwhile is not this room's to send any more.
                let still_in = |player: &Player| {
                    let is_here = |seated: &RoomId| {
                        let waits = || self.rooms.get(seated)?.seats.get(&player.id)?.from.as_ref();
                        seated == room || waits() == Some(room)
                    };
                    self.seated.get(&player.id).is_some_and(is_here)
                };
                let player = player.filter(still_in);
                player.map(|player| Happening::SendOn(player, to)).into_iter().collect()
            }
            FromRoom::Message(message) => match from_raw(&message) {
                Ok(message) => vec![Happening::Message(entry.info(room), message)],
                Err(error) => {
                    entry.kill(Exit::Crashed(format!("said nonsense: {error}")));
                    vec![]
                }
            },
            FromRoom::Locked(locked) => {
                entry.locked_itself = locked;
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
        for seat in std::mem::take(&mut entry.seats).into_values() {
            self.unseat(&seat, room);
            happenings.push(out(&seat, room, exit.reason()));
        }
        happenings.extend(match &exit {
            Exit::NeverReady(why) => self.fail_joins(room, &Refusal::NoRoom(why.clone())),
            _ => self.fail_joins(room, &Refusal::RoomGone),
        });
        match &exit {
            Exit::Finished(_) | Exit::Closed => info!(%room, how = exit.reason(), "room ended"),
            Exit::Crashed(what) => warn!(%room, what, "room crashed"),
            Exit::Hung => warn!(%room, "room hung and was killed"),
            Exit::NeverReady(why) => warn!(%room, why, "room never became ready"),
        }
        happenings.push(Happening::Exited(entry.info(room), exit));
        happenings
    }

    /// A room waits for players: those who have not been sent elsewhere since.
    fn held(&mut self, room: &RoomId, join: u64) -> Option<Happening<R>> {
        let Join { players, waiters, .. } = self.take_join(room, join)?;
        let entry = self.rooms.get_mut(room)?;
        let port = entry.started.port();
        let seated = &self.seated;
        let go = |(n, player): (usize, Player)| {
            // A seat that was given up stands here until the room has heard of it.
            seated.get(&player.id).filter(|seated| *seated == room)?;
            let seat = entry.seats.get_mut(&player.id).filter(|seat| seat.join == join)?;
            seat.sent = true;
            let to = Route { room: room.clone(), port, ticket: seat.ticket.clone() };
            Some(Rerouted { player, first: n == 0, to, from: seat.from.take() })
        };
        // Who has asked twice is sent once, and refused nothing.
        let gone = !players.iter().any(|player| seated.get(&player.id) == Some(room));
        let players = players.into_iter().enumerate().filter_map(go).collect();
        Some(Happening::Reroute { players, room: room.clone(), gone, waiters })
    }

    fn take_join(&mut self, room: &RoomId, join: u64) -> Option<Join> {
        // A room has no say about another's.
        self.joins.get(&join).filter(|join| join.room == *room)?;
        self.joins.remove(&join)
    }

    fn fail_joins(&mut self, room: &RoomId, refusal: &Refusal) -> Vec<Happening<R>> {
        let joins = self.joins.extract_if(|_, join| join.room == *room);
        joins.map(|(_, join)| refused(join, refusal.clone())).collect()
    }

    /// Frees a seat, unless it has been given again since.
    fn vacate(&mut self, room: &RoomId, number: u64) -> Option<Seat> {
        let entry = self.rooms.get_mut(room)?;
        let seat = entry.seats.values().find(|seat| seat.number == number)?;
        let id = seat.player.id.clone();
        let seat = entry.seats.remove(&id)?;
        self.unseat(&seat, room);
        Some(seat)
    }

    /// The player has no seat in this room any more; he may have one in another.
    fn unseat(&mut self, seat: &Seat, room: &RoomId) {
        let id = &seat.player.id;
        if self.seated.get(id) != Some(room) {
            return;
        }
        let still_in =
            |from: &&RoomId| self.rooms.get(from).is_some_and(|entry| entry.seats.contains_key(id));
        match seat.from.as_ref().filter(still_in) {
            Some(from) => self.seated.insert(id.clone(), from.clone()),
            None => self.seated.remove(id),
        };
    }

    fn new_code(&self) -> String {
        loop {
            let letter = |_| char::from(LETTERS[rand::random_range(0..LETTERS.len())]);
            let code: String = (0..CODE_LENGTH).map(letter).collect();
            if self.find_code(&code).is_none() {
                return code;
            }
        }
    }
}

/// Where a player is who is given a seat.
#[derive(Default)]
struct Origin {
    /// The room in which he has a seat until he can go.
    from: Option<RoomId>,
    /// The room to which he was about to go.
    given_up: Option<RoomId>,
}

impl<R: Room> Entry<R> {
    fn info(&self, id: &RoomId) -> RoomInfo<R::Options> {
        RoomInfo {
            id: id.clone(),
            options: self.options.clone(),
            host: self.about.host.clone(),
            code: self.about.code.clone(),
            players: self.seats.len(),
            capacity: self.about.capacity,
            locked: self.is_locked() || self.is_ending(),
        }
    }

    /// Whether so many more players may come.
    fn check(&self, players: usize) -> Result<(), Refusal> {
        if self.is_ending() || (self.is_locked() && players > 0) {
            Err(Refusal::RoomLocked)
        } else if self.seats.len() + players > self.about.capacity {
            Err(Refusal::RoomFull)
        } else {
            Ok(())
        }
    }

    fn is_locked(&self) -> bool {
        self.locked || self.locked_itself
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

fn refused<R: Room>(join: Join, refusal: Refusal) -> Happening<R> {
    let Join { players, waiters, .. } = join;
    Happening::Refused { players, refusal, waiters }
}

fn encode(message: &impl Serialize) -> Result<Box<RawValue>, Refusal> {
    to_raw(message).map_err(|error| {
        error!(%error, "a message to a room was not sent");
        Refusal::Internal
    })
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
