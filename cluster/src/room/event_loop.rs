//! A room's event loop: takes one event at a time, lets the core call the hook for it, and sends
//! what that queued, until the room ends.

use std::collections::HashMap;
use std::mem::take;
use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::warn;

use crate::process::{FromRoom, Receiver, Sender, ToRoom};
use crate::room::core::Core;
use crate::room::{Output, Room};
use crate::runtime::clock;
use crate::socketio::{Conn, ConnId, FromClient, Message};
use crate::types::{LeaveReason, PlayerId};

/// A room that has worked this long yields to its sockets and heartbeats. Without that, a hundred
/// hooks of 30 ms each would look like a hang.
const YIELD_AFTER: Duration = Duration::from_millis(10);
/// How long a room that ends waits for the lobby to read what it was sent. The lobby throttles a
/// room that sends much, and without the last frame it would count as crashed.
pub(super) const FLUSH_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a room that ends waits for its players to hang up.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

pub(super) struct RoomLoop<'a, R: Room> {
    pub core: Core<R>,
    /// Connections that have not ended, also those that were hung up.
    pub conns: HashMap<ConnId, Conn>,
    pub to_lobby: &'a Sender,
    /// When the loop last woke.
    pub woken: Instant,
}

impl<R: Room> RoomLoop<'_, R> {
    /// Runs the room until it is to end; then returns everyone to the lobby and calls `on_dispose`.
    /// `serve` serves a connection that the lobby hands over.
    pub async fn run(
        mut self,
        mut from_clients: mpsc::UnboundedReceiver<FromClient<PlayerId>>,
        mut from_lobby: Receiver,
        serve: impl Fn(OwnedFd),
    ) -> anyhow::Result<()> {
        let mut worked = Duration::ZERO;
        while !self.core.is_ending() {
            self.send_output()?;
            worked += self.woken.elapsed();
            if worked > YIELD_AFTER {
                tokio::task::yield_now().await;
                worked = Duration::ZERO;
            }
            tokio::select! {
                frame = from_lobby.recv() => match frame?.context("the lobby is gone")? {
                    ToRoom::Socket => {
                        self.wake();
                        from_lobby.sockets.iter_mut().flat_map(take).for_each(&serve);
                    }
                    frame => self.wake().handle_frame(frame)?,
                },
                Some(event) = from_clients.recv() => self.wake().handle_client(event),
                Some(call) = self.core.room.scheduler.next_call() => self.wake().core.call(call),
                () = clock::sleep_until(self.core.deadline()) => self.woken = Instant::now(),
            }
            self.core.advance(clock::now());
        }
        self.send_output()?;
        // Nobody waits for an answer any more.
        drop((from_clients, from_lobby));
        let has_crashed = self.core.crashed.is_some();
        self.core.finish();
        self.send_output()?;
        let (exit, _) = self.core.dispose().await;
        // A crash was reported before its players left.
        if !has_crashed {
            self.to_lobby.send(&FromRoom::Ending(exit))?;
        }
        self.to_lobby.flush(FLUSH_TIMEOUT).await;
        Ok(())
    }

    /// Notes that the loop has woken.
    fn wake(&mut self) -> &mut Self {
        self.woken = Instant::now();
        self.core.at(clock::now());
        self
    }

    fn handle_client(&mut self, event: FromClient<PlayerId>) {
        match event {
            FromClient::Connected(conn, player) => {
                let id = conn.id;
                self.conns.insert(id, conn);
                self.core.connected(id, &player);
            }
            FromClient::Message(_, message) if message.responder.conn.is_hung_up() => {}
            FromClient::Message(conn, Message { event, responder }) => {
                let answer = self.core.message(conn, event);
                responder.answer(answer, &self.core.room.scheduler);
            }
            FromClient::Disconnected { conn, asked } => {
                self.conns.remove(&conn);
                self.core.disconnected(conn, asked);
            }
        }
    }

    fn handle_frame(&mut self, frame: ToRoom) -> anyhow::Result<()> {
        let core = &mut self.core;
        match frame {
            ToRoom::Reserve { join, seats } => core.reserve(join, seats),
            ToRoom::Release { seat, reason } => core.release(seat, reason, None),
            ToRoom::Transfer { seat, to } => core.release(seat, LeaveReason::Moved, to),
            ToRoom::Profile { seat, profile } => core.set_profile(seat, profile),
            ToRoom::Refused { seat, refusal } => core.refused(seat, &refusal),
            ToRoom::Message(message) => {
                if let Err(error) = core.lobby_message(&message) {
                    // After a reload the lobby may be another build.
                    warn!(%error, "a message of the lobby does not parse");
                }
            }
            ToRoom::Drain { remaining_ms, reason } => {
                core.drain(Duration::from_millis(remaining_ms), reason);
            }
            ToRoom::Note(note) => core.note = Some(note),
            ToRoom::Describe => core.describe(),
            ToRoom::Setup { .. } | ToRoom::Open { .. } | ToRoom::Socket => {
                bail!("unexpected frame from the lobby")
            }
        }
        Ok(())
    }

    /// Sends the core's output. A connection that cannot be written to is lost, which may call a
    /// hook and lead to more output.
    fn send_output(&mut self) -> anyhow::Result<()> {
        while let Some(output) = self.core.pop_output() {
            match output {
                Output::Frame(frame) => self.to_lobby.send(&frame)?,
                Output::Emit { to, event, volatile } => match self.conns.get(&to) {
                    Some(conn) if volatile => conn.emit_volatile(&event),
                    Some(conn) if !conn.emit(&event) => {
                        self.conns.remove(&to);
                        self.core.disconnected(to, false);
                    }
                    _ => {}
                },
                Output::HangUp(conn) => drop(self.conns.get(&conn).map(Conn::hang_up)),
                Output::Leave(..) => unreachable!("the core has replaced it"),
            }
        }
        Ok(())
    }
}
