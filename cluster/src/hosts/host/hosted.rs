//! The rooms of a host, and the lobby that it serves.
//!
//! Rooms outlive their lobby's process. Orphaned rooms describe themselves; the description, and
//! what they report from then on, is kept for the next lobby (`orphan.rs`).

use std::mem::take;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::{anyhow, bail, ensure};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tracing::{info, warn};

use crate::hosts::host::orphan::Orphan;
use crate::hosts::host::{Candidate, Host};
use crate::hosts::{FromHost, Line, Lines, Load, Response, Times, ToHost, link, write};
use crate::process::channel::{Queue, line};
use crate::process::signals::Order;
use crate::process::{End, FromRoom, Process, ProcessEvent, Sender, Supervisors, ToRoom, Usage};
use crate::runtime::LEASE_CHECK;
use crate::runtime::clock::machine_ms;
use crate::types::{Exit, RoomId};

/// How long killed processes may take to end.
const END_TIMEOUT: Duration = Duration::from_secs(2);

/// The link to the lobby.
pub(super) struct Link {
    queue: Queue,
    to_lobby: Sender,
    lines: Lines,
    supervisors: Rc<Supervisors>,
    times: Times,
}

/// A room.
pub(super) struct Hosted {
    pub process: Process,
    /// Until a lobby has adopted it.
    orphan: Option<Orphan>,
    /// What it uses. Sent with the next heartbeat: single lines would wake the lobby once for each.
    usage: Option<(String, OwnedSemaphorePermit)>,
}

impl Host {
    /// Runs until the host is asked to stop, and its rooms have ended.
    pub async fn run(mut self) -> anyhow::Result<()> {
        let mut ticks = interval_at(Instant::now() + LEASE_CHECK, LEASE_CHECK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay); // not many at once
        loop {
            tokio::select! {
                Some(line) = async { Some(self.link.as_mut()?.lines.next().await) } => {
                    if let Err(error) = line.and_then(|line| self.on_line(line)) {
                        warn!(error = format!("{error:#}"), "lobby lost; its rooms end");
                        self.end_rooms().await;
                    }
                }
                Some(event) = self.events.recv() => self.on_process(event),
                Some(candidate) = self.candidates.recv() => self.on_candidate(candidate).await?,
                Some(order) = self.orders.recv() => {
                    if order == Order::Stop && self.stop() {
                        break;
                    }
                }
                _ = ticks.tick() => {
                    // Averaged: a single sample depends too much on chance.
                    self.cpu = (self.cpu + self.cpu_times.busy()) / 2.0;
                    let is_used = self.link.is_some() || !self.rooms.is_empty();
                    if is_used && self.lease.is_over() {
                        warn!("the lobby is silent; its rooms end");
                        self.end_rooms().await;
                    }
                    if self.closes_at.take_if(|at| *at <= Instant::now()).is_some() {
                        self.ready.store(false, Relaxed);
                        self.drain_rooms(Duration::ZERO);
                    }
                }
            }
            let is_over = |at: Instant| self.rooms.is_empty() || at <= Instant::now();
            if self.stops_at.is_some_and(is_over) {
                break;
            }
        }
        info!("host stopped");
        if let Some(link) = &self.link {
            link.to_lobby.flush(END_TIMEOUT).await;
        }
        self.end_rooms().await;
        Ok(())
    }

    /// A lobby asks to be served.
    async fn on_candidate(&mut self, candidate: Candidate) -> anyhow::Result<()> {
        let Candidate { mut stream, lobby, term, settings } = candidate;
        let is_same = lobby == self.lobby;
        let is_used = self.link.is_some() || !self.rooms.is_empty();
        let mut refusal = (is_used && term < self.term).then_some(Response::Superseded);
        if self.link.is_some() && term == self.term {
            // The same one asks at another address of this host, or has lost the link on its side:
            // then the lease expires soon.
            let whose = if is_same { "this lobby already" } else { "another lobby" };
            refusal = Some(Response::Refused(format!("it serves {whose}")));
        }
        if let Some(refusal) = refusal {
            tokio::spawn(timeout(END_TIMEOUT, async move { write(&mut stream, &refusal).await }));
            return Ok(());
        }
        if is_same {
            self.end_rooms().await; // it has given them up
        } else if self.link.is_some() && self.orphan_rooms().is_err() {
            self.end_rooms().await;
        }
        let (accepted, now) = (Response::Accepted(self.info.clone()), machine_ms());
        if !matches!(timeout(END_TIMEOUT, write(&mut stream, &accepted)).await, Ok(Ok(()))) {
            return Ok(());
        }
        let address = stream.peer_addr().ok().map(tracing::field::display);
        info!(lobby = address, rooms = self.rooms.len(), "lobby linked");
        let times = Times::of(&settings);
        self.lease.extend(now + times.lease.as_millis() as u64)?;
        let mut settings = *settings;
        settings.allow_origin.extend(self.info.origin.clone());
        self.accept_players(&settings);
        self.ready.store(self.stops_at.is_none(), Relaxed);
        (self.lobby, self.term, self.closes_at) = (lobby, term, None);
        let (queue, lines) = link::open(stream);
        let to_lobby = Sender::new(queue.clone(), End::Host);
        let supervisors = Supervisors::new(settings, Some(self.lease.path()), self.inbox.clone());
        self.link = Some(Link { queue, to_lobby, lines, supervisors, times });
        let rooms: Vec<_> = self.rooms.keys().cloned().collect();
        rooms.iter().for_each(|room| self.hand_over(room));
        Ok(())
    }

    fn on_line(&mut self, line: Line<ToHost>) -> anyhow::Result<()> {
        let Some(link) = &mut self.link else { return Ok(()) };
        match line {
            Line::Frame(room, frame) => {
                if let Some(Hosted { process, .. }) = self.rooms.get(&room) {
                    process.kill_unless(process.sender.send_line(frame + "\n"));
                }
            }
            Line::Message(ToHost::Start { room }) => self.start(room)?,
            Line::Message(ToHost::Kill { room, cause }) => {
                let _ = self.rooms.get(&room).is_some_and(|room| room.process.kill(cause));
            }
            Line::Message(ToHost::Heartbeat { heard }) => {
                let sent = machine_ms();
                if heard > 0 {
                    let lease = link.times.lease.as_millis() as u64;
                    self.lease.extend(heard.min(sent) + lease)?;
                }
                let undescribed = self.rooms.values().any(|hosted| hosted.orphan.is_some());
                let draining = self.stops_at.is_some();
                let load = Load { cpu: self.cpu, draining, undescribed };
                let adopted = self.rooms.values_mut().filter(|hosted| hosted.orphan.is_none());
                let usages = adopted.filter_map(|hosted| hosted.usage.take());
                usages.for_each(|line| drop(link.queue.send(line)));
                link.to_lobby.send(&FromHost::Heartbeat { sent, load })?;
            }
            Line::Message(ToHost::GiveUp) => bail!("it has given the link up"),
            Line::Closed => self.orphan_rooms()?,
        }
        Ok(())
    }

    fn start(&mut self, room: RoomId) -> anyhow::Result<()> {
        let Some(link) = &self.link else { return Ok(()) };
        ensure!(!self.rooms.contains_key(&room), "it starts room {room} twice");
        let started = match self.stops_at {
            Some(_) => Err(anyhow!("its host is stopping")),
            None if self.rooms.len() >= self.info.max_rooms => Err(anyhow!("its host is full")),
            None => link.supervisors.start(room.clone()),
        };
        match started {
            Ok(process) => {
                let next = room.number().unwrap_or_default().saturating_add(1);
                self.info.next_room = self.info.next_room.max(next);
                link.print(&room, &process);
                self.rooms.insert(room, Hosted { process, orphan: None, usage: None });
                Ok(())
            }
            Err(error) => {
                let exit = Exit::NeverReady(format!("{error:#}"));
                link.tell(&FromHost::Ended { room, exit, usage: Usage::default() });
                Ok(())
            }
        }
    }

    fn on_process(&mut self, event: ProcessEvent) {
        match event {
            ProcessEvent::Frame(room, frame, permit) => {
                let Some(hosted) = self.rooms.get_mut(&room) else { return };
                let is_asked = hosted.orphan.as_ref().is_some_and(|orphan| !orphan.is_described);
                let line = match frame {
                    // A lobby that has the room would blame this host.
                    FromRoom::Described(_) if !is_asked => Err(anyhow!("described itself unasked")),
                    _ => line(&frame),
                };
                let line = match line {
                    Ok(line) => format!("{room} {line}"),
                    Err(error) => {
                        hosted.process.kill(Exit::Crashed(error.to_string()));
                        return;
                    }
                };
                match frame {
                    FromRoom::Ready => {
                        self.routes.open(room.clone(), hosted.process.sender.clone());
                    }
                    FromRoom::Ending(_) => self.routes.close(&room),
                    _ => {}
                }
                match (&mut hosted.orphan, &self.link) {
                    (Some(orphan), _) => {
                        orphan.keep(&frame, line, permit);
                        self.hand_over(&room);
                    }
                    (None, Some(_)) if matches!(frame, FromRoom::Heartbeat(_)) => {
                        hosted.usage = Some((line, permit));
                    }
                    (None, Some(link)) => drop(link.queue.send((line, permit))),
                    (None, None) => {}
                }
            }
            ProcessEvent::Exited(room, exit, usage) => {
                self.routes.close(&room);
                info!(%room, ?exit, "room ended");
                let ended = FromHost::Ended { room: room.clone(), exit, usage };
                let Some(hosted) = self.rooms.get_mut(&room) else { return };
                match (&mut hosted.orphan, &self.link) {
                    (Some(orphan), _) if orphan.is_described => return orphan.ended = Some(ended),
                    (None, Some(link)) => link.tell(&ended),
                    _ => {}
                }
                self.rooms.remove(&room);
            }
            ProcessEvent::Paused(..) | ProcessEvent::Adopted(..) | ProcessEvent::Drain(..) => {}
        }
    }

    /// Hands an orphaned room over to the lobby, once the room has described itself.
    fn hand_over(&mut self, room: &RoomId) {
        let (Some(link), Some(hosted)) = (&self.link, self.rooms.get_mut(room)) else { return };
        let Some(orphan) = hosted.orphan.take_if(|orphan| orphan.is_described) else { return };
        link.print(room, &hosted.process);
        orphan.lines.into_iter().for_each(|line| drop(link.queue.send(line)));
        if let Some(ended) = orphan.ended {
            link.tell(&ended);
            self.rooms.remove(room);
        }
    }

    /// The lobby's process has ended: its rooms wait for the next lobby.
    fn orphan_rooms(&mut self) -> anyhow::Result<()> {
        ensure!(!self.lease.is_over(), "it was silent");
        let grace = self.settings.hosts.orphan_grace;
        warn!(rooms = self.rooms.len(), ?grace, "lobby gone; its rooms go on");
        let lease = grace + self.settings.stop_timeout + LEASE_CHECK;
        self.lease.extend(machine_ms() + lease.as_millis() as u64)?;
        (self.link, self.closes_at) = (None, Some(Instant::now() + grace));
        for hosted in self.rooms.values_mut().filter(|hosted| hosted.orphan.is_none()) {
            hosted.orphan = Some(Orphan::default());
            let _ = hosted.process.sender.send(&ToRoom::Describe);
        }
        if let Some(stops_at) = self.stops_at {
            let left = stops_at.saturating_duration_since(Instant::now());
            self.drain_rooms(left.saturating_sub(self.settings.stop_timeout));
        }
        Ok(())
    }

    /// Drains the rooms without a lobby.
    fn drain_rooms(&self, left: Duration) {
        let (remaining_ms, reason) =
            (left.as_millis() as u64, "The server has stopped.".to_owned());
        let drain = ToRoom::Drain { remaining_ms, reason };
        self.rooms.values().for_each(|hosted| drop(hosted.process.sender.send(&drain)));
    }

    /// Kills all rooms, and waits until they have ended.
    async fn end_rooms(&mut self) {
        (self.link, self.closes_at) = (None, None);
        self.ready.store(false, Relaxed);
        self.rooms.keys().for_each(|room| self.routes.close(room));
        let rooms = take(&mut self.rooms).into_values();
        let has_ended = |it: &Option<Orphan>| it.as_ref().is_some_and(|it| it.ended.is_some());
        let mut left = rooms.filter(|hosted| !has_ended(&hosted.orphan)).count();
        let exits = async {
            while left > 0 {
                if let Some(ProcessEvent::Exited(..)) = self.events.recv().await {
                    left -= 1;
                }
            }
        };
        let _ = timeout(END_TIMEOUT, exits).await;
    }

    /// The host is asked to stop: its rooms drain. Returns whether it was asked before.
    fn stop(&mut self) -> bool {
        let settings = &self.settings;
        let end = Instant::now() + settings.drain_timeout + settings.stop_timeout;
        if self.stops_at.replace(end).is_some() {
            return true;
        }
        self.ready.store(false, Relaxed);
        let left = settings.drain_timeout;
        match &self.link {
            Some(link) => link.tell(&FromHost::Drain { remaining_ms: left.as_millis() as u64 }),
            None => self.drain_rooms(left),
        }
        false
    }
}

impl Link {
    /// Tells the lobby, even if other messages have filled their queue.
    fn tell(&self, message: &FromHost) {
        let _ = Sender::new(self.queue.clone(), End::Host).send(message);
    }

    /// Forwards what the room prints to the lobby.
    fn print(&self, room: &RoomId, process: &Process) {
        // A sender with a bound of its own: output of a room delays nothing else.
        let (to_lobby, id) = (Sender::new(self.queue.clone(), End::Host), room.clone());
        process.output.listen(move |line, is_error| {
            let (room, line) = (id.clone(), line.to_owned());
            // A line that finds no space is only in the log of this host.
            let _ = to_lobby.send(&FromHost::Printed { room, line, is_error });
        });
    }
}
