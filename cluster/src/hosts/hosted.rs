//! A lobby that has linked to this host, and its rooms here.

use std::collections::{HashMap, VecDeque};
use std::fs;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, interval, timeout};
use tracing::{info, warn};

use super::handshake::{Reply, reply};
use super::host::{Candidate, Host};
use super::link::{self, Line, Lines};
use super::{FromHost, Load, Times, ToHost};
use crate::config::Settings;
use crate::process::channel::{Queue, line};
use crate::process::signals::Order;
use crate::process::{End, FromRoom, Process, ProcessEvent, Sender, Supervisors, Usage};
use crate::runtime::clock::machine_ms;
use crate::runtime::{LEASE_CHECK, Lease};
use crate::types::{Exit, RoomId};

/// How often the lobby is told what rooms use.
const USAGE_PERIOD: Duration = Duration::from_secs(5);
/// Rooms in one line about that.
const USAGES: usize = 100;
/// How long processes that are killed may take to end.
const END_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) struct Link<'a> {
    host: &'a mut Host,
    /// Of the lobby's process.
    lobby: String,
    times: Times,
    queue: Queue,
    to_lobby: Sender,
    lines: Lines,
    supervisors: Rc<Supervisors>,
    events: mpsc::UnboundedReceiver<ProcessEvent>,
    rooms: HashMap<RoomId, Process>,
    /// Beats that the lobby has not heard yet, by their numbers, and when they were sent.
    beats: VecDeque<(u64, u64)>,
    last_beat: u64,
    /// When the lobby was heard last.
    heard_at: Instant,
    /// Of the rooms. They end with it, unless the lobby is heard again.
    lease: Lease,
    /// When the host ends, if it is about to stop.
    stops_at: Option<Instant>,
    usage_at: Instant,
    cpu: CpuTimes,
}

impl<'a> Link<'a> {
    /// `settings` are the lobby's, which its rooms get.
    pub fn new(
        host: &'a mut Host,
        stream: TcpStream,
        lobby: String,
        settings: Settings,
    ) -> anyhow::Result<Self> {
        let (queue, lines) = link::open(stream);
        let times = Times::of(&settings);
        let (inbox, events) = mpsc::unbounded_channel();
        let lease = Lease::new().context("no file for the lease")?;
        lease.extend(machine_ms() + times.lease.as_millis() as u64)?;
        Ok(Link {
            host,
            lobby,
            times,
            to_lobby: Sender::new(queue.clone(), End::Host),
            queue,
            lines,
            supervisors: Supervisors::new(settings, Some(lease.path()), inbox),
            events,
            rooms: HashMap::new(),
            beats: VecDeque::new(),
            last_beat: 0,
            heard_at: Instant::now(),
            lease,
            stops_at: None,
            usage_at: Instant::now(),
            cpu: CpuTimes::now(),
        })
    }

    /// Runs until the link is lost. `Some`: the same lobby links anew. `None`: the host is to stop.
    /// In each case, all rooms have ended then.
    pub async fn run(mut self) -> anyhow::Result<Option<Candidate>> {
        let ended = self.work().await;
        self.rooms.keys().for_each(|room| self.host.routes.close(room));
        let mut left = self.rooms.len();
        self.rooms.clear(); // kills them
        let exits = async {
            while left > 0 {
                if let Some(ProcessEvent::Exited(..)) = self.events.recv().await {
                    left -= 1;
                }
            }
        };
        let _ = timeout(END_TIMEOUT, exits).await;
        ended
    }

    async fn work(&mut self) -> anyhow::Result<Option<Candidate>> {
        let mut ticks = interval(LEASE_CHECK);
        loop {
            tokio::select! {
                line = self.lines.next() => match line? {
                    Line::Frame(room, frame) => self.pass_on(&room, frame + "\n"),
                    Line::Message(ToHost::Start { room }) => self.start(room)?,
                    Line::Message(ToHost::Kill { room, cause }) => {
                        let _ = self.rooms.get(&room).is_some_and(|process| process.kill(cause));
                    }
                    Line::Message(ToHost::Beat { heard }) => self.beat(heard)?,
                },
                Some(event) = self.events.recv() => self.on_process(event)?,
                Some(candidate) = self.host.candidates.recv() => {
                    let is_same = candidate.lobby == self.lobby;
                    // Of two addresses of this host, or after it has lost the link on its side.
                    if is_same && self.heard_at.elapsed() > 3 * self.times.beat {
                        return Ok(Some(candidate));
                    }
                    let Candidate { mut stream, .. } = candidate;
                    let whose = if is_same { "this lobby already" } else { "another lobby" };
                    let busy = Reply::Refused(format!("it serves {whose}"));
                    let _ = timeout(END_TIMEOUT, reply(&mut stream, &busy)).await;
                }
                Some(order) = self.host.orders.recv() => {
                    if order == Order::Stop && self.stop()? {
                        break;
                    }
                }
                _ = ticks.tick() => ensure!(!self.lease.is_over(), "the lobby is silent"),
            }
            let is_over = |at: Instant| self.rooms.is_empty() || at <= Instant::now();
            if self.stops_at.is_some_and(is_over) {
                break;
            }
        }
        info!("host stopped");
        self.to_lobby.flush(END_TIMEOUT).await;
        Ok(None)
    }

    fn start(&mut self, room: RoomId) -> anyhow::Result<()> {
        let started = match self.stops_at {
            Some(_) => Err(anyhow::anyhow!("its host is stopping")),
            None => self.supervisors.start(room.clone()),
        };
        match started {
            Ok(process) => {
                // It has a bound of its own: what rooms print holds up nothing else.
                let to_lobby = Sender::new(self.queue.clone(), End::Host);
                let id = room.clone();
                process.output.listen(move |line, is_error| {
                    let (room, line) = (id.clone(), line.to_owned());
                    // One that finds no space is in the log of this host.
                    let _ = to_lobby.send(&FromHost::Printed { room, line, is_error });
                });
                self.rooms.insert(room, process);
                Ok(())
            }
            Err(error) => {
                let exit = Exit::NeverReady(format!("{error:#}"));
                self.to_lobby.send(&FromHost::Ended { room, exit, usage: Usage::default() })
            }
        }
    }

    /// Passes a frame on to a room. One that does not read is killed as hung.
    fn pass_on(&self, room: &RoomId, frame: String) {
        if let Some(process) = self.rooms.get(room)
            && let Err(error) = process.sender.send_line(frame)
            && process.kill(Exit::Hung)
        {
            warn!(error = format!("{error:#}"), "a room does not read its channel");
        }
    }

    fn on_process(&mut self, event: ProcessEvent) -> anyhow::Result<()> {
        match event {
            ProcessEvent::Frame(room, frame, permit) => {
                let Some(process) = self.rooms.get(&room) else { return Ok(()) };
                match frame {
                    FromRoom::Ready => {
                        self.host.routes.open(room.clone(), process.sender.clone());
                    }
                    FromRoom::Ending(_) => self.host.routes.close(&room),
                    _ => {}
                }
                match line(&frame) {
                    Ok(line) => drop(self.queue.send((format!("{room} {line}"), permit))),
                    Err(error) => drop(process.kill(Exit::Crashed(error.to_string()))),
                }
                Ok(())
            }
            ProcessEvent::Exited(room, exit, usage) => {
                self.host.routes.close(&room);
                self.rooms.remove(&room);
                self.to_lobby.send(&FromHost::Ended { room, exit, usage })
            }
            ProcessEvent::Paused(..) | ProcessEvent::Drain(..) => Ok(()),
        }
    }

    /// The lobby is there, and has heard this beat of the host: its rooms live on from then.
    fn beat(&mut self, heard: u64) -> anyhow::Result<()> {
        while let Some((number, sent)) = self.beats.pop_front_if(|(number, _)| *number <= heard) {
            if number == heard {
                self.lease.extend(sent + self.times.lease.as_millis() as u64)?;
            }
        }
        self.heard_at = Instant::now();
        self.last_beat += 1;
        self.beats.push_back((self.last_beat, machine_ms()));
        let load = Load { cpu: self.cpu.busy(), draining: self.stops_at.is_some() };
        self.to_lobby.send(&FromHost::Beat { number: self.last_beat, load })?;
        if self.usage_at <= Instant::now() {
            self.usage_at = Instant::now() + USAGE_PERIOD;
            self.measure();
        }
        Ok(())
    }

    /// Tells the lobby what the rooms use. Reading that may take a while.
    fn measure(&self) {
        let room = |(room, process): (&RoomId, &Process)| {
            Some((room.clone(), process.pid?, process.tick_delay.load(Relaxed)))
        };
        let rooms: Vec<_> = self.rooms.iter().filter_map(room).collect();
        let to_lobby = self.to_lobby.clone();
        tokio::task::spawn_blocking(move || {
            for rooms in rooms.chunks(USAGES) {
                let usage = |(room, pid, tick_delay): &(RoomId, u32, u32)| {
                    Some((room.clone(), Usage::of(pid)?, *tick_delay))
                };
                let rooms = rooms.iter().filter_map(usage).collect();
                let _ = to_lobby.send(&FromHost::Usage { rooms });
            }
        });
    }

    /// The host is asked to stop: its rooms drain. Returns whether it was asked before.
    fn stop(&mut self) -> anyhow::Result<bool> {
        let settings = &self.host.settings;
        let end = Instant::now() + settings.drain_timeout + settings.stop_timeout;
        if self.stops_at.replace(end).is_some() {
            return Ok(true);
        }
        self.host.ready.store(false, Relaxed);
        let remaining_ms = settings.drain_timeout.as_millis() as u64;
        self.to_lobby.send(&FromHost::Drain { remaining_ms })?;
        Ok(false)
    }
}

/// The time that the processors of this machine have spent, in ticks.
struct CpuTimes {
    busy: u64,
    all: u64,
}

impl CpuTimes {
    /// All zero where the system does not tell: only Linux does.
    fn now() -> CpuTimes {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        // user, nice, system, idle, iowait, …
        let line = stat.lines().next().unwrap_or_default();
        let times: Vec<u64> =
            line.split(' ').filter_map(|time| time.parse().ok()).take(8).collect();
        let all = times.iter().sum();
        CpuTimes { busy: all - times.iter().skip(3).take(2).sum::<u64>(), all }
    }

    /// The share that was busy since this was called last, from 0 to 1.
    fn busy(&mut self) -> f32 {
        let before = std::mem::replace(self, CpuTimes::now());
        let all = self.all.saturating_sub(before.all).max(1);
        self.busy.saturating_sub(before.busy) as f32 / all as f32
    }
}
