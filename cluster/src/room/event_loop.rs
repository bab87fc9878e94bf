//! A room's event loop: handles one event at a time, calls the hook for it, and applies the output,
//! until the room ends.

use std::{collections::HashMap, os::fd::OwnedFd, pin::Pin, time::Duration};

use anyhow::bail;
use futures_util::{
    StreamExt as _,
    stream::{FuturesUnordered, SelectAll},
};
use serde_json::Value;
use tokio::{sync::mpsc, time::Instant};
use tracing::debug;

use crate::{
    http::{connection_limits::ConnectionLimiter, server},
    process::channel::{FromRoom, Receiver, Sender, ToRoom},
    room::{
        context::RoomContext,
        core::{Core, Effect},
        hooks::Room,
    },
    runtime::{
        clock,
        panics::{Panic, caught},
        scheduler::{Call, Task, sleep_until},
    },
    socketio::{
        connection::{Conn, FromClient, Message, Responder},
        packet::{ConnId, RawEvent},
    },
    types::{PlayerId, Refusal, Reply},
};

/// A busy room yields the thread to its sockets and heartbeats after so long. Without this, a
/// hundred hooks of 30 ms each would look like a hang.
const YIELD_AFTER: Duration = Duration::from_millis(10);
/// How long a room that ends waits for its last frames to be written and its players to disconnect.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Serves the sockets that the lobby hands off.
pub(super) struct HandoffReceiver {
    pub server: server::Server,
    pub limiter: ConnectionLimiter,
}

impl HandoffReceiver {
    fn admit(&self, socket: OwnedFd) {
        let serving = self.server.clone().serve_handed_off(socket, self.limiter.clone());
        tokio::spawn(async {
            if let Err(error) = serving.await {
                debug!(%error, "a socket from the lobby is not served");
            }
        });
    }
}

/// A deferred answer.
type Deferred = Pin<Box<dyn Future<Output = (Responder, Result<Result<Value, Refusal>, Panic>)>>>;

pub(super) struct RoomLoop<'a, R: Room> {
    pub core: Core<R>,
    pub conns: HashMap<ConnId, Conn>,
    pub to_lobby: &'a Sender,
}

impl<R: Room> RoomLoop<'_, R> {
    /// Handles events until the room is about to end.
    pub async fn run(
        &mut self,
        mut inbox: mpsc::UnboundedReceiver<FromClient<PlayerId>>,
        mut from_lobby: Receiver,
        handoff: &HandoffReceiver,
    ) -> anyhow::Result<()> {
        let mut tasks: SelectAll<Task<R, RoomContext<R>>> = SelectAll::new();
        let mut answers: FuturesUnordered<Deferred> = FuturesUnordered::new();
        let mut turn = Instant::now();
        while !self.core.is_ending() {
            if turn.elapsed() > YIELD_AFTER {
                tokio::task::yield_now().await;
                turn = Instant::now();
            }
            self.apply()?;
            tasks.extend(self.core.handle().scheduler.take_tasks());
            let event = tokio::select! {
                frame = from_lobby.recv() => Event::Frame(frame?),
                Some(item) = inbox.recv() => Event::Client(item),
                Some(call) = tasks.next(), if !tasks.is_empty() => Event::Call(call),
                Some((to, answer)) = answers.next(), if !answers.is_empty() => match answer {
                    Ok(answer) => {
                        to.send(answer);
                        continue;
                    }
                    Err(panic) => {
                        to.send(Err(Refusal::INTERNAL));
                        Event::Panic(panic)
                    }
                },
                () = sleep_until(self.core.deadline()) => Event::Nothing,
            };
            let now = clock::now();
            self.core.set_now(now);
            match event {
                Event::Frame(Some(ToRoom::Socket)) => {
                    from_lobby.sockets().for_each(|new| handoff.admit(new));
                }
                Event::Frame(Some(frame)) => self.handle_frame(frame)?,
                Event::Frame(None) => bail!("the lobby is gone"),
                Event::Client(FromClient::Connected(conn, player)) => {
                    let id = conn.id;
                    self.conns.insert(id, conn);
                    self.core.connected(id, &player);
                }
                Event::Client(FromClient::Message(conn, message)) => {
                    answers.extend(self.handle_message(conn, message));
                }
                Event::Client(FromClient::Disconnected { conn, asked }) => {
                    self.conns.remove(&conn);
                    self.core.disconnected(conn, asked);
                }
                Event::Call(call) => self.core.call(call),
                Event::Panic(panic) => self.core.panicked(panic),
                Event::Nothing => {}
            }
            self.core.advance(now);
        }
        self.apply()
    }

    fn handle_message(&mut self, conn: ConnId, message: Message) -> Option<Deferred> {
        let RawEvent { name, data, binary, .. } = message.event;
        let answer = match (binary, data) {
            (Some(bytes), _) => self.core.binary(conn, bytes),
            (None, Ok(data)) => self.core.message(conn, &name, data.as_deref()),
            (None, Err(refusal)) => Err(refusal),
        };
        let to = message.answer;
        match answer {
            Ok(Reply::Now(value)) => to.send(Ok(value)),
            Ok(Reply::Later(value)) => return Some(Box::pin(async { (to, caught(value).await) })),
            Err(refusal) => to.send(Err(refusal)),
        }
        None
    }

    fn handle_frame(&mut self, frame: ToRoom) -> anyhow::Result<()> {
        match frame {
            ToRoom::Reserve { join, seats } => self.core.reserve(join, seats),
            ToRoom::Release { seat, reason } => self.core.release(seat, reason),
            ToRoom::Move { seat, to } => self.core.transfer(seat, to),
            ToRoom::Refused { seat, refusal } => self.core.refused(seat, &refusal),
            ToRoom::Message(message) => self.core.lobby_message(&message)?,
            ToRoom::Drain { left_ms, reason } => {
                self.core.drain(Duration::from_millis(left_ms), reason);
            }
            ToRoom::Setup { .. } | ToRoom::Open { .. } | ToRoom::Socket => {
                bail!("unexpected frame from the lobby")
            }
        }
        Ok(())
    }

    /// Applies effects until there are no more. A browser whose queue is full is disconnected,
    /// which may call hooks again.
    fn apply(&mut self) -> anyhow::Result<()> {
        loop {
            let effects = self.core.take_effects();
            if effects.is_empty() {
                return Ok(());
            }
            for effect in effects {
                if let Some(unreachable) = self.apply_one(effect)? {
                    self.conns.remove(&unreachable);
                    self.core.disconnected(unreachable, false);
                }
            }
        }
    }

    fn apply_one(&self, effect: Effect) -> anyhow::Result<Option<ConnId>> {
        let conn = |id: ConnId| self.conns.get(&id);
        match effect {
            Effect::Emit { to, event, volatile } => {
                let Some(conn) = conn(to) else {
                    return Ok(None);
                };
                if volatile {
                    conn.emit_volatile(&event);
                } else if conn.emit(&event).is_err() {
                    return Ok(Some(to));
                }
            }
            Effect::HangUp(id) => drop(conn(id).map(Conn::hang_up)),
            Effect::Dismiss(id, refusal) => drop(conn(id).map(|conn| conn.dismiss(&refusal))),
            Effect::SendOn(id, route) => {
                if let Some(conn) = conn(id) {
                    conn.reroute(&route);
                }
            }
            Effect::Frame(frame) => self.to_lobby.send(&frame)?,
        }
        Ok(None)
    }

    /// Sends everyone to the lobby, then calls the last hook, unless one has crashed.
    pub async fn dispose(mut self) -> anyhow::Result<()> {
        let crashed = self.core.crashed().map(str::to_owned);
        let has_crashed = crashed.is_some();
        if let Some(what) = crashed {
            self.to_lobby.send(&FromRoom::Crashed { what })?;
        }
        self.core.finish();
        for effect in self.core.take_effects() {
            let _ = self.apply_one(effect)?;
        }
        let (ended, _) = self.core.dispose().await;
        // `Crashed` was sent before the players left.
        if !has_crashed {
            self.to_lobby.send(&ended)?;
        }
        self.to_lobby.flush(CLOSE_TIMEOUT).await;
        Ok(())
    }
}

/// What the loop waits for.
enum Event<R: Room> {
    Frame(Option<ToRoom>),
    Client(FromClient<PlayerId>),
    Call(Call<R, RoomContext<R>>),
    Panic(Panic),
    Nothing,
}
