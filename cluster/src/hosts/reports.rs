//! The lobby's end of a link: turns what the host reports into events for the lobby's loop.

use std::collections::HashMap;
use std::convert::Infallible;
use std::mem::replace;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{error, info, warn};

use super::{FromHost, Hosts, Line, Lines, Linked, Lost, Running, ToHost};
use crate::logging::log_line;
use crate::process::{Description, End, FromRoom, ProcessEvent, Sender};
use crate::types::{Exit, RoomId};

/// Bytes of frames from one host that the lobby has not handled yet. Beyond it, the link is not
/// read: back-pressure on that host alone.
const MAX_QUEUED: usize = 64 * 1024 * 1024;
/// Bytes of the descriptions of one host's rooms. A host that sends more loses its link.
const MAX_DESCRIBED: usize = 4 * MAX_QUEUED;
/// Bytes that each frame counts in addition.
const MIN_CHARGE: usize = 512;

impl Hosts {
    /// Serves a link until it is lost. Returns the rooms of the host.
    pub(super) async fn serve(&self, name: &str, lines: Lines) -> Lost {
        let heartbeats = async {
            loop {
                self.with_host(name, |Linked { to_host, heard, .. }| {
                    to_host.send(&ToHost::Heartbeat { heard: *heard })
                })??;
                sleep(self.times.heartbeat).await;
            }
        };
        let lost: anyhow::Result<Infallible> = tokio::select! {
            lost = self.listen(lines, name) => lost,
            lost = heartbeats => lost,
        };
        let error = lost.err().map(|error| format!("{error:#}"));
        warn!(host = name, error, "host lost");
        let Some(host) = self.lock().remove(name) else { return Lost::default() };
        if !self.inbox.is_closed() {
            // Otherwise the host would assume that the lobby has died, and keep the rooms.
            let _ = Sender::new(host.queue.clone(), End::Host).send(&ToHost::GiveUp);
        }
        let until = Some(host.heard_at + self.times.silence);
        Lost { rooms: host.rooms.into_keys().collect(), until }
    }

    /// Reads a link until the host is silent for too long or breaks the protocol.
    async fn listen(&self, mut lines: Lines, name: &str) -> anyhow::Result<Infallible> {
        let (mut described, mut bytes) = (HashMap::<RoomId, Description>::new(), 0);
        let space = Arc::new(Semaphore::new(MAX_QUEUED));
        loop {
            let silent_at = self.with_host(name, |host| host.heard_at)? + self.times.silence;
            let line = timeout_at(silent_at, lines.next()).await.context("it is silent")??;
            let event = match line {
                Line::Frame(room, frame) => {
                    let size = frame.len() + MIN_CHARGE;
                    let frame: FromRoom = serde_json::from_str(&frame).context("a bad frame")?;
                    if let FromRoom::Described(part) = frame {
                        bytes += size;
                        ensure!(bytes < MAX_DESCRIBED, "too long descriptions");
                        if !described.entry(room.clone()).or_default().add(part) {
                            continue;
                        }
                        let process = self.adopt_room(name, &room)?;
                        let description = described.remove(&room).unwrap_or_default();
                        ProcessEvent::Adopted(room, Box::new((process, description)))
                    } else {
                        let is_open = matches!(frame, FromRoom::Ready | FromRoom::Failed(_));
                        self.with_room(name, &room, |running| running.opened |= is_open)?;
                        let permit = space.clone().acquire_many_owned(size as u32).await?;
                        ProcessEvent::Frame(room, frame, permit)
                    }
                }
                Line::Closed => bail!("the link is closed"),
                Line::Message(message) => match self.on_message(name, message)? {
                    Some(event) => event,
                    None => continue,
                },
            };
            self.inbox.send(event).ok().context("the lobby has stopped")?;
        }
    }

    fn on_message(&self, name: &str, message: FromHost) -> anyhow::Result<Option<ProcessEvent>> {
        match message {
            FromHost::Heartbeat { sent, load } => self.with_host(name, |host| {
                (host.load, host.heard, host.heard_at) = (load, sent, Instant::now());
                host.waiting.take_if(|_| !load.undescribed);
            })?,
            FromHost::Ended { room, exit, usage } => {
                let opened = self.with_room(name, &room, |running| running.opened)?;
                let failed = !opened && !matches!(exit, Exit::Finished | Exit::Closed);
                let opens_breaker = self.with_host(name, |host| {
                    host.rooms.remove(&room);
                    let now = Instant::now();
                    host.breaker.closes(now);
                    failed && host.breaker.record_failure(None, now)
                })?;
                if opens_breaker {
                    error!(
                        host = name,
                        "too many rooms failed to start; starting none for a while"
                    );
                }
                return Ok(Some(ProcessEvent::Exited(room, exit, usage)));
            }
            FromHost::Drain { remaining_ms } => {
                info!(host = name, "host drains");
                let (drains, rooms) = self.with_host(name, |host| {
                    (replace(&mut host.drains, true), host.rooms.keys().cloned().collect())
                })?;
                ensure!(!drains, "it drains twice");
                return Ok(Some(ProcessEvent::Drain(rooms, Duration::from_millis(remaining_ms))));
            }
            // The room may have ended meanwhile.
            FromHost::Printed { room, line, is_error } => {
                let printed = self.with_room(name, &room, |running| {
                    running.room.output.push(&line, is_error);
                });
                printed.into_iter().for_each(|()| log_line(&room, &line, is_error));
            }
        }
        Ok(None)
    }

    /// Accesses a room. Fails if the host has no such room.
    fn with_room<T>(
        &self,
        name: &str,
        room: &RoomId,
        get: impl FnOnce(&mut Running) -> T,
    ) -> anyhow::Result<T> {
        let got = self.with_host(name, |host| host.rooms.get_mut(room).map(get))?;
        got.with_context(|| format!("it speaks of room {room}, which it does not have"))
    }

    /// Accesses a linked host.
    fn with_host<T>(&self, name: &str, get: impl FnOnce(&mut Linked) -> T) -> anyhow::Result<T> {
        self.lock().get_mut(name).map(get).context("it was there")
    }
}
