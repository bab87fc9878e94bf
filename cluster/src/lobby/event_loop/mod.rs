//! The lobby's loop: takes what happens, one thing after the other, and calls the hook for it.
//! How sessions come and go stands in `arrivals.rs`.

mod arrivals;
mod requests;
mod room_notices;

use std::{pin::Pin, time::Duration};

use futures_util::{
    StreamExt as _,
    stream::{FuturesUnordered, SelectAll},
};
use serde_json::{Value, json};
use tokio::{sync::mpsc, time::Instant};

use crate::{
    auth::{logouts::Logouts, token::Login},
    lobby::{
        context::LobbyContext,
        hooks::{Identity, Lobby},
    },
    process::supervisor::ProcessEvent,
    runtime::{
        clock,
        panics::catch,
        scheduler::{Task, sleep_until},
    },
    socketio::{
        connection::{FromClient, Responder},
        packet::ConnId,
    },
    types::{Exit, Refusal, RoomId},
};

/// Those who watch the rooms hear of changes at most this often.
const ROOMS_PERIOD: Duration = Duration::from_millis(100);
/// What was found out about a connection before it was answered.
pub(crate) type Auth = Result<Option<Login>, Refusal>;

/// Where what happens comes from.
pub(crate) struct Inboxes {
    pub clients: mpsc::UnboundedReceiver<FromClient<Auth>>,
    pub processes: mpsc::UnboundedReceiver<ProcessEvent>,
    /// Rooms that somebody wants killed, in development.
    pub kills: mpsc::UnboundedReceiver<RoomId>,
}

/// An answer that was not ready at once.
type Later = Pin<Box<dyn Future<Output = (Responder, Result<Value, Refusal>)>>>;
/// Somebody who is being registered.
type Registering = Pin<Box<dyn Future<Output = (ConnId, Responder, Result<Identity, Refusal>)>>>;

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
            tasks.extend(self.cluster.scheduler.take_tasks());
            let deadline = self.deadline();
            tokio::select! {
                Some(item) = inboxes.clients.recv() => match item {
                    FromClient::Connected(conn, auth) => self.come(conn, auth),
                    FromClient::Message(conn, message) => self.says(conn, message),
                    FromClient::Disconnected { conn, .. } => self.gone(conn),
                },
                Some(news) = inboxes.processes.recv() => {
                    let notices = self.cluster.rooms.borrow_mut().process(news);
                    notices.into_iter().for_each(|notice| self.on_notice(notice));
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
        let waiting = self.cluster.sessions.borrow().waiting().map(|(_, until)| until).min();
        let timer = self.cluster.scheduler.deadline();
        let all = [timer, waiting, self.refill_at, self.show_rooms_at, self.stop_at];
        all.into_iter().flatten().min()
    }

    /// Does what is due: timers, arrivals that have waited long enough, the pool, the list of rooms.
    fn advance(&mut self, now: Instant) {
        while let Some(call) = self.cluster.scheduler.pop_due(now) {
            self.hook("timer", |lobby, cluster| call(lobby, cluster));
        }
        let sessions = self.cluster.sessions.borrow();
        let due: Vec<_> = sessions.waiting().filter(|(_, until)| *until <= now).collect();
        drop(sessions);
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
                for conn in self.cluster.sessions.borrow().watchers() {
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
        self.cluster.scheduler.set_now(clock::now());
        catch(name, || call(&mut self.lobby, &self.cluster)).ok()
    }
}
