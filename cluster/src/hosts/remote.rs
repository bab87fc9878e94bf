//! The lobby's side: finds its hosts, keeps a link to each, and starts rooms there.

use std::cell::Cell;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use anyhow::Context as _;
use futures_util::FutureExt as _;
use rand::seq::IteratorRandom as _;
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{error, info, warn};

use super::handshake::{About, Purpose, ask};
use super::link::{self, Line, Lines};
use super::{FromHost, Load, Times, ToHost};
use crate::auth::{LinkKey, random_id};
use crate::config::{Origin, Settings};
use crate::logging::log_line;
use crate::process::channel::Queue;
use crate::process::{
    Dial, End, FromRoom, Process, ProcessEvent, RemoteRoom, Sender, Starter, Usage,
};
use crate::rooms::Breaker;
use crate::runtime::clock;
use crate::types::{Exit, RoomId};

/// How often the addresses of hosts are looked up.
const LOOKUP_PERIOD: Duration = Duration::from_secs(2);
/// How long a connection and its handshake may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The pause before a host is called again.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// Bytes of frames of one host that the lobby has not handled yet. A host that sends more waits.
const MAX_QUEUED: usize = 64 * 1024 * 1024;
/// Each frame counts as so many bytes more.
const MIN_CHARGE: usize = 512;

/// The hosts of a lobby.
pub(crate) struct Hosts {
    settings: Settings,
    times: Times,
    key: LinkKey,
    /// Of this process: a host tells lobbies apart by it.
    id: String,
    inbox: UnboundedSender<ProcessEvent>,
    /// Those with a link, by name.
    linked: Mutex<BTreeMap<String, Linked>>,
    /// The addresses at which hosts were found last.
    addresses: Mutex<HashSet<SocketAddr>>,
}

struct Linked {
    about: About,
    address: SocketAddr,
    queue: Queue,
    to_host: Sender,
    rooms: HashMap<RoomId, Running>,
    load: Load,
    breaker: Breaker,
}

struct Running {
    room: Arc<RemoteRoom>,
    /// `on_open` has returned.
    opened: bool,
}

impl Linked {
    /// Whether it may start a room.
    fn is_usable(&self) -> bool {
        let is_full = self.rooms.len() >= self.about.max_rooms;
        !is_full && !self.load.draining && self.breaker.left(Instant::now()).is_none()
    }

    /// How much of it is in use, from 0 to 1.
    fn use_of(&self) -> f32 {
        self.load.cpu.max(self.rooms.len() as f32 / self.about.max_rooms as f32)
    }
}

/// Rooms whose host cannot be reached. They have not ended for certain yet.
#[derive(Default)]
struct Lost {
    rooms: Vec<RoomId>,
    /// When their leases are over.
    until: Option<Instant>,
}

impl Hosts {
    /// Begins to look for hosts, and never ends.
    pub fn start(settings: &Settings, key: LinkKey, inbox: UnboundedSender<ProcessEvent>) -> Arc<Hosts> {
        let (settings, times) = (settings.clone(), Times::of(settings));
        let (linked, addresses) = Default::default();
        let id = random_id();
        let hosts = Arc::new(Hosts { settings, times, key, id, inbox, linked, addresses });
        for address in &hosts.settings.hosts {
            tokio::spawn(hosts.clone().look_up(address.clone()));
        }
        hosts
    }

    /// A function that starts rooms on hosts.
    pub fn starter(self: &Arc<Self>) -> Starter {
        let hosts = self.clone();
        Box::new(move |number| hosts.start_room(number))
    }

    /// The origins at which browsers reach rooms.
    pub fn origins(&self) -> Vec<Origin> {
        self.lock().values().filter_map(|linked| linked.about.origin.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Linked>> {
        self.linked.lock().expect("nobody panics while holding this")
    }

    /// Picks a host, and starts a room there.
    fn start_room(self: &Arc<Self>, number: u64) -> anyhow::Result<(RoomId, Process)> {
        let mut hosts = self.lock();
        let usable = hosts.values().filter(|host| host.is_usable());
        // The better one of two at random: the best one of all would get all rooms of a burst.
        let two = usable.sample(&mut rand::rng(), 2).into_iter();
        let best = two.min_by(|a, b| a.use_of().total_cmp(&b.use_of()));
        let name = best.context("no host can take a room")?.about.name.clone();
        let host = hosts.get_mut(&name).context("it was there")?;
        let id = RoomId(format!("{name}-{number}"));
        host.to_host.send(&ToHost::Start { room: id.clone() })?;
        let room = Arc::new(RemoteRoom {
            id: id.clone(),
            origin: host.about.origin.clone(),
            dial: self.dial(host.address),
            output: Default::default(),
            tick_delay: Default::default(),
            usage: Default::default(),
        });
        let (output, tick_delay) = (room.output.clone(), room.tick_delay.clone());
        host.rooms.insert(id.clone(), Running { room: room.clone(), opened: false });
        let sender = Sender::new(host.queue.clone(), End::Remote(room));
        let (kill, killed) = oneshot::channel::<Exit>();
        let (to_host, room) = (host.to_host.clone(), id.clone());
        tokio::spawn(async move {
            let cause = killed.await.unwrap_or(Exit::Closed);
            let _ = to_host.send(&ToHost::Kill { room, cause });
        });
        Ok((id, Process { sender, pid: None, output, tick_delay, kill: Cell::new(Some(kill)) }))
    }

    /// A function that opens a connection to a room on the host at this address.
    fn dial(&self, address: SocketAddr) -> Dial {
        let key = self.key.clone();
        Box::new(move |room| {
            let key = key.clone();
            let dialed = async move {
                let mut stream = TcpStream::connect(address).await?;
                ask(&mut stream, &key, Purpose::Relay { room }).await?;
                Ok(stream)
            };
            async { timeout(CONNECT_TIMEOUT, dialed).await? }.boxed()
        })
    }

    /// Looks up where hosts are, again and again, and calls those that are new.
    async fn look_up(self: Arc<Self>, name: String) {
        let mut last_error = String::new();
        loop {
            match lookup_host(&name).await {
                Ok(found) => {
                    last_error.clear();
                    for address in found {
                        if self.addresses().insert(address) {
                            tokio::spawn(self.clone().keep_link(address, name.clone()));
                        }
                    }
                }
                Err(error) => log_once(&mut last_error, &name, &error.into()),
            }
            sleep(LOOKUP_PERIOD).await;
        }
    }

    fn addresses(&self) -> MutexGuard<'_, HashSet<SocketAddr>> {
        self.addresses.lock().expect("nobody panics while holding this")
    }

    /// Keeps a link to the host at this address, as long as it is found there.
    async fn keep_link(self: Arc<Self>, address: SocketAddr, name: String) {
        let (mut lost, mut last_error) = (Lost::default(), String::new());
        loop {
            let connected = tokio::select! {
                connected = self.connect(address) => connected,
                () = clock::sleep_until(lost.until) => {
                    self.report(&mut lost);
                    continue;
                }
            };
            let error = match connected {
                Ok((stream, about)) => {
                    // It has ended the rooms of an earlier link, or is another process.
                    self.report(&mut lost);
                    last_error.clear();
                    info!(host = about.name, %address, build = about.build, "host linked");
                    lost = self.serve(stream, about, address).await;
                    continue;
                }
                Err(error) => error,
            };
            // Where nobody listens, no room runs.
            let refused = error.downcast_ref::<io::Error>().map(io::Error::kind);
            if refused == Some(io::ErrorKind::ConnectionRefused) {
                self.report(&mut lost);
            }
            if lost.until.is_none() {
                let mut found = lookup_host(&name).await.into_iter().flatten();
                if !found.any(|found| found == address) {
                    self.addresses().remove(&address);
                    return;
                }
            }
            log_once(&mut last_error, &address.to_string(), &error);
            sleep(RETRY_AFTER).await;
        }
    }

    /// The rooms have ended.
    fn report(&self, lost: &mut Lost) {
        for room in std::mem::take(lost).rooms {
            let exit = Exit::Crashed("its host is gone".to_owned());
            let _ = self.inbox.send(ProcessEvent::Exited(room, exit, Usage::default()));
        }
    }

    async fn connect(&self, address: SocketAddr) -> anyhow::Result<(TcpStream, About)> {
        let settings = Box::new(self.settings.clone());
        let connected = async {
            let mut stream = TcpStream::connect(address).await?;
            let about = ask(&mut stream, &self.key, Purpose::Rooms { lobby: self.id.clone(), settings }).await?;
            Ok((stream, about.context("it gives another answer")?))
        };
        timeout(CONNECT_TIMEOUT, connected).await.context("it does not answer")?
    }

    /// Serves a link until it is lost. Returns the rooms that it had.
    async fn serve(&self, stream: TcpStream, about: About, address: SocketAddr) -> Lost {
        let name = about.name.clone();
        let (queue, lines) = link::open(stream);
        let to_host = Sender::new(queue.clone(), End::Host);
        let cooldown = self.settings.start_failure_cooldown;
        let host = Linked {
            about,
            address,
            queue,
            to_host: to_host.clone(),
            rooms: HashMap::new(),
            load: Load::default(),
            breaker: Breaker::new(self.settings.start_failure_limit, cooldown),
        };
        if let Entry::Vacant(vacant) = self.lock().entry(name.clone()) {
            vacant.insert(host);
        } else {
            error!(host = name, %address, "another host has this name");
            return Lost::default();
        }
        let heard = AtomicU64::new(0);
        let beats = async {
            loop {
                to_host.send(&ToHost::Beat { heard: heard.load(Relaxed) })?;
                sleep(self.times.beat).await;
            }
        };
        let mut last_beat = Instant::now();
        let lost: anyhow::Result<Infallible> = tokio::select! {
            lost = self.listen(lines, &name, &heard, &mut last_beat) => lost,
            lost = beats => lost,
        };
        let error = lost.err().map(|error| format!("{error:#}"));
        warn!(host = name, error, "host lost");
        let rooms = self.lock().remove(&name).map(|host| host.rooms.into_keys().collect());
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
    ) -> anyhow::Result<Infallible> {
        let space = Arc::new(Semaphore::new(MAX_QUEUED));
        loop {
            let line = timeout_at(*last_beat + self.times.silence, lines.next()).await;
            let line = line.context("it is silent")??;
            let event = match line {
                Line::Frame(room, frame) => {
                    let size = frame.len();
                    let frame: FromRoom = serde_json::from_str(&frame).context("a bad frame")?;
                    let is_open = matches!(frame, FromRoom::Ready | FromRoom::Failed(_));
                    self.with_room(name, &room, |running| running.opened |= is_open)?;
                    let permit = space.clone().acquire_many_owned((size + MIN_CHARGE) as u32).await?;
                    ProcessEvent::Frame(room, frame, permit)
                }
                Line::Message(FromHost::Ended { room, exit, usage }) => {
                    let opened = self.with_room(name, &room, |running| running.opened)?;
                    if let Some(host) = self.lock().get_mut(name) {
                        host.rooms.remove(&room);
                        if !opened && matches!(exit, Exit::NeverReady(_)) && host.breaker.record_failure(None, Instant::now()) {
                            error!(host = name, "too many rooms failed to start there; starting none for a while");
                        }
                    }
                    ProcessEvent::Exited(room, exit, usage)
                }
                Line::Message(FromHost::Printed { room, line, is_error }) => {
                    let output = self.with_room(name, &room, |running| running.room.output.clone())?;
                    output.push(&line, is_error);
                    log_line(&room, &line, is_error);
                    continue;
                }
                Line::Message(FromHost::Beat { number, load }) => {
                    *last_beat = Instant::now();
                    heard.store(number, Relaxed);
                    self.lock().get_mut(name).into_iter().for_each(|host| host.load = load);
                    continue;
                }
                Line::Message(FromHost::Usage { rooms }) => {
                    for (room, usage, tick_delay) in rooms {
                        // It may have ended meanwhile.
                        let _ = self.with_room(name, &room, |running| {
                            running.room.tick_delay.store(tick_delay, Relaxed);
                            *running.room.usage.lock().expect("nobody panics while holding this") = usage;
                        });
                    }
                    continue;
                }
                Line::Message(FromHost::Drain { remaining_ms }) => {
                    let rooms = self.lock().get(name).map(|host| host.rooms.keys().cloned().collect());
                    info!(host = name, "host drains");
                    ProcessEvent::Drain(rooms.unwrap_or_default(), Duration::from_millis(remaining_ms))
                }
            };
            self.inbox.send(event).ok().context("the lobby has stopped")?;
        }
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
        running.map(get).with_context(|| format!("it speaks of room {room}, which it does not have"))
    }
}

/// Logs why a host cannot be reached, unless that was logged last.
fn log_once(last: &mut String, host: &str, error: &anyhow::Error) {
    let error = format!("{error:#}");
    if error != *last {
        warn!(host, error, "cannot reach a host; trying again");
        *last = error;
    }
}
