//! The lobby's loop: takes what happens, one thing after the other, and calls the hook for it.
//! How people come and go stands in `arrivals.rs`.

mod arrivals;

use std::{pin::Pin, time::Duration};

use futures_util::{
    StreamExt as _,
    stream::{FuturesUnordered, SelectAll},
};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use tokio::{sync::mpsc, time::Instant};
use tracing::{info, warn};

use crate::{
    auth::{logouts::Logouts, token::Login},
    lobby::{
        context::LobbyContext,
        event_loop::arrivals::form,
        hooks::{Identity, Lobby},
    },
    process::supervisor::FromProcess,
    rooms::{Happening, Rerouted, Waiter},
    runtime::{
        clock,
        scheduler::{Task, contained, contained_future, sleep_until},
    },
    socketio::{
        connection::{Answerer, FromClient, Message},
        events,
        packet::ConnId,
    },
    types::{Answer, Exit, Leave, Refusal, Reply, RoomId, ok},
};

/// Those who watch the rooms hear of changes at most this often.
const ROOMS_PERIOD: Duration = Duration::from_millis(100);
/// What was found out about a connection before it was answered.
pub(crate) type Auth = Result<Option<Login>, Refusal>;

/// Where what happens comes from.
pub(crate) struct Inboxes {
    pub clients: mpsc::UnboundedReceiver<FromClient<Auth>>,
    pub processes: mpsc::UnboundedReceiver<FromProcess>,
    /// Rooms that somebody wants killed, in development.
    pub kills: mpsc::UnboundedReceiver<RoomId>,
}

/// An answer that was not ready at once.
type Later = Pin<Box<dyn Future<Output = (Answerer, Result<Value, Refusal>)>>>;
/// Somebody who is being registered.
type Registering = Pin<Box<dyn Future<Output = (ConnId, Answerer, Result<Identity, Refusal>)>>>;

pub(crate) struct LobbyLoop<L: Lobby> {
    lobby: L,
    cluster: LobbyContext<L>,
    logouts: Logouts,
    answers: FuturesUnordered<Later>,
    registering: FuturesUnordered<Registering>,
    /// When to fill the pool.
    refill_at: Option<Instant>,
    /// When to show the rooms to those who watch; `None` while nothing has changed.
    show_rooms_at: Option<Instant>,
    shown_rooms: Value,
    /// Set while stopping: when to go, whatever rooms are left.
    stop_at: Option<Instant>,
}

impl<L: Lobby> LobbyLoop<L> {
    pub fn new(lobby: L, cluster: LobbyContext<L>) -> Self {
        LobbyLoop {
            lobby,
            cluster,
            logouts: Logouts::default(),
            answers: FuturesUnordered::new(),
            registering: FuturesUnordered::new(),
            refill_at: Some(clock::now()),
            show_rooms_at: None,
            shown_rooms: Value::Null,
            stop_at: None,
        }
    }

    /// What happens next, and the hook for it: again and again.
    pub async fn run(mut self, mut inboxes: Inboxes, shutdown: impl Future<Output = ()>) {
        let mut tasks: SelectAll<Task<L, LobbyContext<L>>> = SelectAll::new();
        let mut shutdown = std::pin::pin!(shutdown);
        while !self.is_over() {
            tasks.extend(self.cluster.agenda.take_tasks());
            let deadline = self.deadline();
            tokio::select! {
                Some(item) = inboxes.clients.recv() => match item {
                    FromClient::Come(conn, auth) => self.come(conn, auth),
                    FromClient::Says(conn, message) => self.says(conn, message),
                    FromClient::Gone { conn, .. } => self.gone(conn),
                },
                Some(news) = inboxes.processes.recv() => {
                    let happenings = self.cluster.rooms.borrow_mut().process(news);
                    happenings.into_iter().for_each(|happening| self.happened(happening));
                }
                Some(call) = tasks.next(), if !tasks.is_empty() => {
                    self.hook("spawn", |lobby, cluster| call(lobby, cluster));
                }
                Some((to, answer)) = self.answers.next(), if !self.answers.is_empty() => {
                    to.send(answer);
                }
                Some((conn, to, identity)) = self.registering.next(),
                    if !self.registering.is_empty() => self.registered(conn, to, identity),
                Some(room) = inboxes.kills.recv() => {
                    let verdict = Exit::Crashed("killed from the page".to_owned());
                    let _ = self.cluster.rooms.borrow_mut().kill(&room, verdict);
                }
                () = sleep_until(deadline) => {}
                () = &mut shutdown, if self.stop_at.is_none() => self.stop(),
            }
            self.advance(clock::now());
        }
    }

    /// A browser asks something.
    fn says(&mut self, conn: ConnId, message: Message) {
        self.cluster.people.borrow_mut().is_here(conn);
        let message = self.cluster.people.borrow_mut().keep_waiting(conn, message);
        let Some(Message { event, answer: to, .. }) = message else {
            return;
        };
        let answer = match (event.name.as_str(), event.data) {
            (_, Err(refusal)) => Err(refusal),
            ("register", Ok(data)) => return self.register(conn, data.as_deref(), to),
            ("logout", Ok(data)) => return self.log_out(data.as_deref(), to),
            // Who watches already has the list, which is the work of a moment to make.
            ("watch_rooms", Ok(_)) if self.cluster.people.borrow().is_watching(conn) => ok(),
            ("watch_rooms", Ok(_)) => {
                let list = json!(self.cluster.rooms.borrow().public());
                self.cluster.people.borrow_mut().watch(conn, &list);
                ok()
            }
            ("unwatch_rooms", Ok(_)) => {
                self.cluster.people.borrow_mut().unwatch(conn);
                ok()
            }
            ("leave_room", Ok(_)) => self.leave_room(conn),
            ("play", Ok(data)) => self.play(conn, data.as_deref()),
            ("join", Ok(data)) => self.join(conn, data.as_deref()),
            (name, Ok(data)) => self.request(conn, name, data.as_deref()),
        };
        match answer {
            Ok(Reply::Now(value)) => to.send(Ok(value)),
            Ok(Reply::Later(value)) => self.answers.push(Box::pin(async {
                let answer = contained_future("later", value).await;
                (to, answer.unwrap_or(Err(Refusal::Internal)))
            })),
            Err(refusal) => to.send(Err(refusal)),
        }
    }

    fn request(&mut self, conn: ConnId, name: &str, data: Option<&RawValue>) -> Answer {
        let player = self.cluster.people.borrow().player(conn).ok_or(Refusal::NotRegistered)?;
        let request = events::decode(name, data)?;
        self.hook("on_request", |lobby, cluster| lobby.on_request(cluster, &player, request))
            .unwrap_or(Err(Refusal::Internal))
    }

    /// A player wants to be in a room of some kind.
    fn play(&mut self, conn: ConnId, data: Option<&RawValue>) -> Answer {
        let player = self.cluster.people.borrow().player(conn).ok_or(Refusal::NotRegistered)?;
        let Play { kind } = form(data)?;
        let kind = kind.unwrap_or_else(|| self.cluster.kinds[0].name.to_owned());
        self.hook("pick", |lobby, cluster| cluster.play_kind(lobby, &kind, &player))
            .unwrap_or(Err(Refusal::Internal))
    }

    /// A player wants to be in this room.
    fn join(&self, conn: ConnId, data: Option<&RawValue>) -> Answer {
        let player = self.cluster.people.borrow().player(conn).ok_or(Refusal::NotRegistered)?;
        match form(data)? {
            Join { room: Some(room), .. } => self.cluster.join(&player, &room),
            Join { code: Some(code), .. } => self.cluster.join_by_code(&player, &code),
            Join { .. } => Err(Refusal::BadMessage("a room or a code is missing".to_owned())),
        }
    }

    /// A player does not want the seat that waits for them.
    fn leave_room(&self, conn: ConnId) -> Answer {
        let player = self.cluster.people.borrow().player(conn).ok_or(Refusal::NotRegistered)?;
        self.cluster.rooms.borrow_mut().release(&player.id, None);
        ok()
    }

    /// A room said something, or ended.
    fn happened(&mut self, happening: Happening) {
        match happening {
            Happening::Ready(room) => {
                let on_room_ready = self.cluster.kind(room.kind).on_room_ready;
                self.hook("on_room_ready", |lobby, cluster| on_room_ready(lobby, cluster, room));
            }
            Happening::Reroute { players, room, gone, waiters } => {
                let answer = match gone {
                    true => Err(Refusal::RoomGone),
                    false => Ok(json!({ "room": room })),
                };
                let asked = answer_all(waiters, &answer);
                players.into_iter().for_each(|rerouted| self.reroute(rerouted, asked));
            }
            Happening::Refused { first, players, refusal, waiters } => {
                // The first of them may have asked, and waits for the answer; the others are told.
                let asked = answer_all(waiters, &Err(refusal.clone()));
                let asker = first.filter(|_| asked);
                for player in players.iter().filter(|player| Some(&player.id) != asker.as_ref()) {
                    self.cluster.tell_refused(&player.id, &refusal);
                }
            }
            Happening::SendOn(player, room) => self.cluster.reroute(&player, &room),
            Happening::Joined(player) => {
                let mut people = self.cluster.people.borrow_mut();
                people.recall(&player);
                people.leave_behind(&player);
            }
            Happening::Out { player, room, reason, sent } => {
                let mut people = self.cluster.people.borrow_mut();
                let conn = people.conn_of(&player.id).map(|conn| conn.id);
                // One who is on his way from there to another room is not back.
                let back = self.cluster.seat_of(&player).is_none_or(|seat| seat == room);
                // Where he was before is no news either, if the room that he moved to has died since.
                let moved = reason == Leave::Moved.to_string() && people.has_news(&player.id);
                if sent && back && !moved {
                    people.remember(player.id, room, reason);
                }
                drop(people);
                if let Some(conn) = conn {
                    self.stop_waiting(conn);
                }
            }
            Happening::Message(room, message) => {
                let on_room_message = self.cluster.kind(room.kind).on_room_message;
                let id = room.id.clone();
                let read = self.hook("on_room_message", |lobby, cluster| {
                    on_room_message(lobby, cluster, room, &message)
                });
                if let Some(Err(error)) = read {
                    let what = format!("said nonsense: {error}");
                    let _ = self.cluster.rooms.borrow_mut().kill(&id, Exit::Crashed(what));
                }
            }
            Happening::Exited(room, exit) => {
                let on_room_exit = self.cluster.kind(room.kind).on_room_exit;
                self.hook("on_room_exit", |lobby, cluster| {
                    on_room_exit(lobby, cluster, room, exit);
                });
            }
        }
    }

    /// Sends a player on his way, from here or from the room in which he is.
    fn reroute(&mut self, Rerouted { player, first, to, from }: Rerouted, asked: bool) {
        if !asked && !self.cluster.people.borrow_mut().may_hop(&player.id, clock::now()) {
            warn!(player = %player.name, id = %player.id, "goes round in circles; stopped");
            self.cluster.rooms.borrow_mut().take_back(&player.id, from);
            return self.cluster.tell_refused(&player.id, &Refusal::RerouteLoop);
        }
        let rooms = self.cluster.rooms.borrow();
        let people = self.cluster.people.borrow();
        // Who has asked did so here.
        let conn = match &from {
            Some(_) if !(asked && first) => people.newest_conn_of(&player.id),
            _ => people.conn_of(&player.id),
        };
        info!(player = %player.name, id = %player.id, room = %to.room, "rerouted");
        match (conn, from) {
            (Some(conn), from) => {
                conn.reroute(&to, self.cluster.settings.public_url.as_ref());
                if let Some(from) = from {
                    rooms.move_on(&from, &player.id, None);
                }
            }
            (None, Some(from)) => rooms.move_on(&from, &player.id, Some(to)),
            (None, None) => {}
        }
    }

    fn stop(&mut self) {
        self.hook("on_stop", |lobby, cluster| lobby.on_stop(cluster));
        self.cluster.rooms.borrow_mut().stop();
        // Twice the time that rooms are given: the second half is for their goodbyes.
        self.stop_at = Some(clock::now() + 2 * self.cluster.settings.stop_timeout);
    }

    fn is_over(&self) -> bool {
        let over = |at| at <= clock::now() || self.cluster.rooms.borrow().is_empty();
        self.stop_at.is_some_and(over)
    }

    /// When [`LobbyLoop::advance`] has something to do next.
    fn deadline(&self) -> Option<Instant> {
        let waiting = self.cluster.people.borrow().waiting().map(|(_, until)| until).min();
        let timer = self.cluster.agenda.deadline();
        let all = [timer, waiting, self.refill_at, self.show_rooms_at, self.stop_at];
        all.into_iter().flatten().min()
    }

    /// Does what is due: timers, arrivals that have waited long enough, the pool, the list of rooms.
    fn advance(&mut self, now: Instant) {
        while let Some(call) = self.cluster.agenda.pop_due(now) {
            self.hook("timer", |lobby, cluster| call(lobby, cluster));
        }
        let people = self.cluster.people.borrow();
        let due: Vec<_> = people.waiting().filter(|(_, until)| *until <= now).collect();
        drop(people);
        due.into_iter().for_each(|(conn, _)| self.stop_waiting(conn));

        let mut rooms = self.cluster.rooms.borrow_mut();
        if self.refill_at.is_some_and(|at| at <= now) {
            self.refill_at = None;
            rooms.refill();
        }
        if let Some(delay) = rooms.refill_delay() {
            self.refill_at.get_or_insert(now + delay);
        }
        if self.show_rooms_at.is_some_and(|at| at <= now) {
            self.show_rooms_at = None;
            let list = json!(rooms.public());
            if list != self.shown_rooms {
                for conn in self.cluster.people.borrow().watchers() {
                    let _ = conn.tell("rooms", &list);
                }
                self.shown_rooms = list;
            }
        }
        if rooms.take_changed() {
            self.show_rooms_at.get_or_insert(now + ROOMS_PERIOD);
        }
    }

    /// Calls a hook; `None` if it panicked.
    fn hook<T>(
        &mut self,
        name: &'static str,
        call: impl FnOnce(&mut L, &LobbyContext<L>) -> T,
    ) -> Option<T> {
        self.cluster.agenda.set_now(clock::now());
        contained(name, || call(&mut self.lobby, &self.cluster))
    }
}

/// The request `play`: of which kind the room is to be; without one, of the first that is registered.
#[derive(Deserialize)]
struct Play {
    kind: Option<String>,
}

/// The request `join`: a room of the list, or the code of a private one.
#[derive(Deserialize)]
struct Join {
    room: Option<RoomId>,
    code: Option<String>,
}

/// Tells those who wait; whether one of them has asked.
fn answer_all(waiters: Vec<Waiter>, answer: &Result<Value, Refusal>) -> bool {
    let told = waiters.into_iter().map(|Waiter { tell, asked }| {
        let heard = tell.send(answer.clone()).is_ok();
        asked && heard
    });
    told.fold(false, |any, asked| any | asked)
}
