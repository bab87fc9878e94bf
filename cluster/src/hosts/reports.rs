//! The lobby's end of a link: passes on what the host reports.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{error, info, warn};

use super::link::{Line, Lines};
use super::placement::Running;
use super::remote::{Hosts, Lost, Unknown};
use super::{FromHost, ToHost};
use crate::logging::log_line;
use crate::process::{Description, End, FromRoom, ProcessEvent, Sender};
use crate::types::{Exit, RoomId};

/// Bytes of frames of one host that the lobby has not handled yet. A host that sends more waits.
const MAX_QUEUED: usize = 64 * 1024 * 1024;
/// Bytes of all descriptions of a host's rooms.
const MAX_DESCRIBED: usize = 4 * MAX_QUEUED;
/// Each frame counts as so many bytes more.
const MIN_CHARGE: usize = 512;

impl Hosts {
    /// Serves a link until it is lost. Returns the rooms that it had.
    pub(super) async fn serve(&self, name: &str, lines: Lines, unknown: Unknown) -> Lost {
        let heard = AtomicU64::new(0);
        let beats = async {
            loop {
                let beat = ToHost::Beat { heard: heard.load(Relaxed) };
                self.lock().get(name).context("it was there")?.to_host.send(&beat)?;
                sleep(self.times.beat).await;
            }
        };
        let mut last_beat = Instant::now();
        let lost: anyhow::Result<Infallible> = tokio::select! {
            lost = self.listen(lines, name, &heard, &mut last_beat, unknown) => lost,
            lost = beats => lost,
        };
        let error = lost.err().map(|error| format!("{error:#}"));
        warn!(host = name, error, "host lost");
        let host = self.lock().remove(name);
        if let Some(host) = host.as_ref().filter(|_| !self.inbox.is_closed()) {
            // Else the host took the lobby's process for ended, and kept its rooms.
            let _ = Sender::new(host.queue.clone(), End::Host).send(&ToHost::GiveUp);
        }
        let rooms = host.map(|host| host.rooms.into_keys().collect());
        let until = Some(last_beat + self.times.silence);
        Lost { rooms: rooms.unwrap_or_default(), until }
    }

    /// Passes on what a host reports, until it is silent for too long or breaks the protocol.
    async fn listen(
        &self,
        mut lines: Lines,
        name: &str,
        heard: &AtomicU64,
        last_beat: &mut Instant,
        mut unknown: Unknown,
    ) -> anyhow::Result<Infallible> {
        let (mut described, mut bytes) = (HashMap::<RoomId, Description>::new(), 0);
        let space = Arc::new(Semaphore::new(MAX_QUEUED));
        loop {
            let line = timeout_at(*last_beat + self.times.silence, lines.next()).await;
            let line = line.context("it is silent")??;
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
                        let adopted = Box::new((process, description));
                        let _ = self.inbox.send(ProcessEvent::Adopted(room, adopted));
                        continue;
                    }
                    let is_open = matches!(frame, FromRoom::Ready | FromRoom::Failed(_));
                    self.with_room(name, &room, |running| running.opened |= is_open)?;
                    let permit = space.clone().acquire_many_owned(size as u32).await?;
                    ProcessEvent::Frame(room, frame, permit)
                }
                Line::Message(FromHost::Beat { sent, load }) => {
                    *last_beat = Instant::now();
                    if !load.undescribed {
                        drop(unknown.take());
                    }
                    heard.store(sent, Relaxed);
                    if let Some(host) = self.lock().get_mut(name) {
                        (host.load, host.heard) = (load, *last_beat);
                    }
                    continue;
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
            FromHost::Ended { room, exit, usage } => {
                let opened = self.with_room(name, &room, |running| running.opened)?;
                let mut hosts = self.lock();
                let host = hosts.get_mut(name).context("it was there")?;
                host.rooms.remove(&room);
                let now = Instant::now();
                host.breaker.closes(now);
                let failed = !opened && !matches!(exit, Exit::Finished | Exit::Closed);
                if failed && host.breaker.record_failure(None, now) {
                    error!(
                        host = name,
                        "too many rooms failed to start; starting none for a while"
                    );
                }
                return Ok(Some(ProcessEvent::Exited(room, exit, usage)));
            }
            FromHost::Drain { remaining_ms } => {
                info!(host = name, "host drains");
                let mut hosts = self.lock();
                let host = hosts.get_mut(name).context("it was there")?;
                ensure!(!std::mem::replace(&mut host.drains, true), "it drains twice");
                let left = Duration::from_millis(remaining_ms);
                return Ok(Some(ProcessEvent::Drain(host.rooms.keys().cloned().collect(), left)));
            }
            // What these are about may have ended meanwhile.
            FromHost::Printed { room, line, is_error } => {
                let printed = self.with_room(name, &room, |running| {
                    running.room.output.push(&line, is_error);
                });
                printed.into_iter().for_each(|()| log_line(&room, &line, is_error));
            }
            FromHost::Beat { .. } => {}
        }
        Ok(None)
    }

    /// Fails if the host has no such room.
    fn with_room<T>(
        &self,
        name: &str,
        room: &RoomId,
        get: impl FnOnce(&mut Running) -> T,
    ) -> anyhow::Result<T> {
        let mut hosts = self.lock();
        let running = hosts.get_mut(name).and_then(|host| host.rooms.get_mut(room));
        running
            .map(get)
            .with_context(|| format!("it speaks of room {room}, which it does not have"))
    }
}
