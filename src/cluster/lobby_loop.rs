//! The lobby's loop: takes what happens, one thing after the other, and calls the hook for it.

use std::{pin::Pin, time::Duration};

use futures_util::{
    StreamExt as _,
    stream::{FuturesUnordered, SelectAll},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json, value::RawValue};
use tokio::{sync::mpsc, time::Instant};
use tracing::{error, info, warn};

use super::{
    agenda::{Task, contained, contained_future, sleep_until},
    connection::{Answerer, Conn, ConnId, FromClient, Message},
    events,
    handle::Cluster,
    lobby_hooks::{Arrival, Identity, Lobby, Registration},
    logouts::Logouts,
    supervisor::FromProcess,
    token::Login,
    words::{Answer, Exit, Leave, Player, Refusal, Reply, RoomId, done},
};
use crate::room_manager::{Happening, Rerouted, Waiter};

/// Of the wire contract, told in `welcome`.
const WIRE_VERSION: u32 = 1;
/// How long a player who is back waits to hear why: a dying room's verdict is on its way.
const VERDICT: Duration = Duration::from_millis(250);
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
    cluster: Cluster<L>,
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
    pub fn new(lobby: L, cluster: Cluster<L>) -> Self {
        LobbyLoop {
            lobby,
            cluster,
            logouts: Logouts::default(),
            answers: FuturesUnordered::new(),
            registering: FuturesUnordered::new(),
            refill_at: Some(Instant::now()),
            show_rooms_at: None,
            shown_rooms: Value::Null,
            stop_at: None,
        }
    }

    /// What happens next, and the hook for it: again and again.
    pub async fn run(mut self, mut inboxes: Inboxes, shutdown: impl Future<Output = ()>) {
        let mut tasks: SelectAll<Task<L, Cluster<L>>> = SelectAll::new();
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
            self.advance(Instant::now());
        }
    }

    /// A browser has connected.
    fn come(&mut self, conn: Conn, auth: Auth) {
        self.cluster.people.borrow_mut().add(conn.clone());
        match auth {
            Ok(None) => welcome(&conn, None, None, Ok(None)),
            Err(refusal) => welcome(&conn, None, None, Err(&refusal)),
            // Looked up here, where logouts are one after the other with all else.
            Ok(Some(login)) if self.logouts.contains(&login.sid) => {
                self.cluster.tokens.wrong.add();
                welcome(&conn, None, None, Err(&Refusal::BadToken));
            }
            Ok(Some(login)) => {
                let player = login.player.clone();
                if let Err(refusal) = self.cluster.people.borrow().admit(&player.id) {
                    return conn.dismiss(&refusal);
                }
                self.enter(conn.id, login);
                // His room may have died a moment ago: its verdict is the true reason for his return.
                let mut people = self.cluster.people.borrow_mut();
                let away = self.cluster.rooms.borrow().is_away(&player.id);
                if away && !people.has_news(&player.id) {
                    people.wait(conn.id, Instant::now() + VERDICT);
                } else {
                    drop(people);
                    self.arrive(conn.id, &player);
                }
            }
        }
    }

    /// The connection is this player's from now on. His newest one wins.
    fn enter(&mut self, conn: ConnId, login: Login) {
        let player = login.player.clone();
        let replaced = self.cluster.people.borrow_mut().enter(conn, login);
        if let Some((old, had_arrived)) = replaced {
            old.dismiss(&Refusal::Replaced);
            if had_arrived {
                self.hook("on_leave", |lobby, cluster| lobby.on_leave(cluster, &player));
            }
        }
    }

    /// A player who was known already is in the lobby.
    fn arrive(&mut self, conn: ConnId, player: &Player) {
        let mut people = self.cluster.people.borrow_mut();
        let returned = people.recall(&player.id);
        let token = people.take_token(conn);
        if let Some(conn) = people.conn(conn) {
            welcome(&conn, Some(player), returned.as_ref(), Ok(token));
        }
        drop(people);
        let how = match returned {
            Some((room, reason)) => {
                info!(player = %player.name, id = %player.id, %room, reason, "back in the lobby");
                Arrival::Returned { room, reason }
            }
            None => {
                info!(player = %player.name, id = %player.id, "in the lobby");
                Arrival::Resumed
            }
        };
        self.hook("on_arrive", |lobby, cluster| lobby.on_arrive(cluster, player, how));
    }

    /// The verdict is here, or does not come in time.
    fn stop_waiting(&mut self, conn: ConnId) {
        let waited = self.cluster.people.borrow_mut().stop_waiting(conn);
        if let Some((player, messages)) = waited {
            self.arrive(conn, &player);
            messages.into_iter().for_each(|message| self.says(conn, message));
        }
    }

    /// A browser has disconnected.
    fn gone(&mut self, conn: ConnId) {
        let player = self.cluster.people.borrow_mut().remove(conn);
        if let Some(player) = player {
            info!(player = %player.name, id = %player.id, "left the lobby");
            self.hook("on_leave", |lobby, cluster| lobby.on_leave(cluster, &player));
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
            ("watch_rooms", Ok(_)) => {
                let list = json!(self.cluster.rooms.borrow().public());
                self.cluster.people.borrow_mut().watch(conn, &list);
                done()
            }
            ("unwatch_rooms", Ok(_)) => {
                self.cluster.people.borrow_mut().unwatch(conn);
                done()
            }
            ("leave_room", Ok(_)) => self.leave_room(conn),
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

    /// A player does not want the seat that waits for him.
    fn leave_room(&self, conn: ConnId) -> Answer {
        let player = self.cluster.people.borrow().player(conn).ok_or(Refusal::NotRegistered)?;
        self.cluster.rooms.borrow_mut().release(&player.id, None);
        done()
    }

    /// Somebody wants to be a player.
    fn register(&mut self, conn: ConnId, data: Option<&RawValue>, to: Answerer) {
        let form = match form::<Registration>(data) {
            Ok(form) => form,
            Err(refusal) => return to.send(Err(refusal)),
        };
        if !self.cluster.people.borrow_mut().begins_to_register(conn) {
            return to.send(Err(Refusal::TooFast));
        }
        let identity = contained_future("on_register", L::on_register(form));
        self.registering.push(Box::pin(async move {
            (conn, to, identity.await.unwrap_or(Err(Refusal::Internal)))
        }));
    }

    fn registered(&mut self, conn: ConnId, to: Answerer, identity: Result<Identity, Refusal>) {
        if !self.cluster.people.borrow_mut().ends_to_register(conn) {
            // He has hung up meanwhile, and would never be seen to leave.
            return;
        }
        let known = self.cluster.people.borrow().player(conn).is_some();
        let registered = identity.and_then(|identity| {
            identity.check()?;
            let Identity { id, name } = identity;
            self.cluster.people.borrow().admit(&id)?;
            let login = self.cluster.tokens.issue(Player { id, name }).map_err(|error| {
                error!(%error, "cannot make a token");
                Refusal::Internal
            })?;
            if known { Err(Refusal::AlreadyRegistered) } else { Ok(login) }
        });
        match registered {
            Err(refusal) => to.send(Err(refusal)),
            Ok(mut login) => {
                let (player, token) = (login.player.clone(), login.token.take());
                self.enter(conn, login);
                info!(player = %player.name, id = %player.id, "registered");
                to.send(Ok(json!({ "token": token, "you": player })));
                self.hook("on_arrive", |lobby, cluster| {
                    lobby.on_arrive(cluster, &player, Arrival::New);
                });
            }
        }
    }

    /// Whoever has a token may end its login. He may be a stranger: his page has forgotten who it was.
    fn log_out(&mut self, data: Option<&RawValue>, to: Answerer) {
        let verified = form(data).and_then(|Logout { token }| self.cluster.tokens.verify(&token));
        match verified {
            Err(refusal) => to.send(Err(refusal)),
            Ok(login) => {
                info!(player = %login.player.name, id = %login.player.id, "logged out");
                self.logouts.add(&login.sid);
                to.send(Ok(json!({})));
                if let Some(conn) = self.cluster.people.borrow().conn_of_login(&login) {
                    conn.dismiss(&Refusal::LoggedOut);
                }
            }
        }
    }

    /// A room said something, or ended.
    fn happened(&mut self, happening: Happening<L::Room>) {
        match happening {
            Happening::Ready(room) => {
                self.hook("on_room_ready", |lobby, cluster| lobby.on_room_ready(cluster, &room));
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
                self.hook("on_room_message", |lobby, cluster| {
                    lobby.on_room_message(cluster, &room, message);
                });
            }
            Happening::Exited(room, exit) => {
                self.hook("on_room_exit", |lobby, cluster| {
                    lobby.on_room_exit(cluster, &room, exit)
                });
            }
        }
    }

    /// Sends a player on his way, from here or from the room in which he is.
    fn reroute(&mut self, Rerouted { player, first, to, from }: Rerouted, asked: bool) {
        if !asked && !self.cluster.people.borrow_mut().may_hop(&player.id, Instant::now()) {
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
        self.stop_at = Some(Instant::now() + 2 * self.cluster.settings.stop_timeout);
    }

    fn is_over(&self) -> bool {
        let over = |at| at <= Instant::now() || self.cluster.rooms.borrow().is_empty();
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
        while let Some((timer, due)) = self.cluster.agenda.pop_due(now) {
            self.hook("timer", |lobby, cluster| {
                cluster.agenda.run(now, timer, due, lobby, cluster);
            });
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
        call: impl FnOnce(&mut L, &Cluster<L>) -> T,
    ) -> Option<T> {
        self.cluster.agenda.set_now(Instant::now());
        contained(name, || call(&mut self.lobby, &self.cluster))
    }
}

/// Tells those who wait; whether one of them has asked.
fn answer_all(waiters: Vec<Waiter>, answer: &Result<Value, Refusal>) -> bool {
    let told = waiters.into_iter().map(|Waiter { tell, asked }| {
        let heard = tell.send(answer.clone()).is_ok();
        asked && heard
    });
    told.fold(false, |any, asked| any | asked)
}

#[derive(Deserialize)]
struct Logout {
    token: String,
}

/// Reads what comes with a request of the cluster's own.
fn form<T: DeserializeOwned>(data: Option<&RawValue>) -> Result<T, Refusal> {
    let data = data.map(RawValue::get).filter(|text| *text != "null").unwrap_or("{}");
    serde_json::from_str(data).map_err(|error| Refusal::BadMessage(error.to_string()))
}

/// The first thing that a browser hears. `token`: a new one, or why the one that it has shown is refused.
fn welcome(
    conn: &Conn,
    you: Option<&Player>,
    returned: Option<&(RoomId, String)>,
    token: Result<Option<String>, &Refusal>,
) {
    let returned = returned.map(|(room, reason)| json!({ "room": room, "reason": reason }));
    let (token, refused) = match token {
        Ok(token) => (token, None),
        Err(refusal) => (None, Some(refusal)),
    };
    let _ = conn.tell(
        "welcome",
        &json!({
            "version": WIRE_VERSION, "you": you, "token": token, "returned": returned,
            "refused": refused,
        }),
    );
}
