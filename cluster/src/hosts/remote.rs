//! The lobby's side: finds its hosts, keeps a link to each, and starts rooms there.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use tracing::{error, info, warn};

use super::handshake::{About, Purpose, ask};
use super::link::{self, Line, Lines};
use super::placement::{Linked, Running};
use super::{FromHost, Load, Times, ToHost};
use crate::auth::{LinkKey, random_id};
use crate::config::{Origin, Settings};
use crate::logging::log_line;
use crate::process::{End, FromRoom, ProcessEvent, Sender, Starter, Usage};
use crate::rooms::Breaker;
use crate::runtime::clock;
use crate::types::{Exit, RoomId};

/// How often the addresses of hosts are looked up.
const LOOKUP_PERIOD: Duration = Duration::from_secs(2);
/// How long a connection and its handshake may take.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
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
    pub(super) key: LinkKey,
    /// Of this process: a host tells lobbies apart by it.
    id: String,
    inbox: UnboundedSender<ProcessEvent>,
    /// Those with a link, by name.
    linked: Mutex<BTreeMap<String, Linked>>,
    /// The addresses at which hosts were found last.
    addresses: Mutex<HashSet<SocketAddr>>,
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
    pub fn start(
        settings: &Settings,
        key: LinkKey,
        inbox: UnboundedSender<ProcessEvent>,
    ) -> Arc<Hosts> {
        let (settings, times) = (settings.clone(), Times::of(settings));
        let (linked, addresses) = Default::default();
        let id = random_id();
        let hosts = Arc::new(Hosts { settings, times, key, id, inbox, linked, addresses });
        for address in &hosts.settings.hosts.addresses {
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

    pub(super) fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Linked>> {
        self.linked.lock().expect("nobody panics while holding this")
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
        let mut next_link = Instant::now();
        loop {
            let connected = tokio::select! {
                connected = self.connect(address) => connected,
                () = clock::sleep_until(lost.until) => {
                    self.report(&mut lost);
                    continue;
                }
            };
            // It has ended the rooms of an earlier link, or is another process.
            if connected.is_ok() {
                self.report(&mut lost);
                sleep_until(next_link).await;
            }
            let linked = connected.and_then(|(stream, about)| self.add(stream, about, address));
            let error = match linked {
                Ok((name, lines)) => {
                    (next_link, last_error) = (Instant::now() + RETRY_AFTER, String::new());
                    lost = self.serve(&name, lines).await;
                    continue; // at once, to find out whether it still runs
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
            let about =
                ask(&mut stream, &self.key, Purpose::Rooms { lobby: self.id.clone(), settings })
                    .await?;
            Ok((stream, about.context("it gives another answer")?))
        };
        timeout(CONNECT_TIMEOUT, connected).await.context("it does not answer")?
    }

    /// Adds a host with its link: rooms may start there.
    fn add(
        &self,
        stream: TcpStream,
        about: About,
        address: SocketAddr,
    ) -> anyhow::Result<(String, Lines)> {
        let mut hosts = self.lock();
        let Entry::Vacant(vacant) = hosts.entry(about.name.clone()) else {
            bail!("another host is named {}", about.name);
        };
        let (name, build) = (about.name.clone(), &about.build);
        info!(host = name, %address, build, "host linked");
        let (queue, lines) = link::open(stream);
        let cooldown = self.settings.start_failure_cooldown;
        vacant.insert(Linked {
            to_host: Sender::new(queue.clone(), End::Host),
            about,
            address,
            queue,
            rooms: HashMap::new(),
            load: Load::default(),
            breaker: Breaker::new(self.settings.start_failure_limit, cooldown),
        });
        Ok((name, lines))
    }

    /// Serves a link until it is lost. Returns the rooms that it had.
    async fn serve(&self, name: &str, lines: Lines) -> Lost {
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
            lost = self.listen(lines, name, &heard, &mut last_beat) => lost,
            lost = beats => lost,
        };
        let error = lost.err().map(|error| format!("{error:#}"));
        warn!(host = name, error, "host lost");
        let rooms = self.lock().remove(name).map(|host| host.rooms.into_keys().collect());
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
                    let size = frame.len() + MIN_CHARGE;
                    let frame: FromRoom = serde_json::from_str(&frame).context("a bad frame")?;
                    let is_open = matches!(frame, FromRoom::Ready | FromRoom::Failed(_));
                    self.with_room(name, &room, |running| running.opened |= is_open)?;
                    let permit = space.clone().acquire_many_owned(size as u32).await?;
                    ProcessEvent::Frame(room, frame, permit)
                }
                Line::Message(FromHost::Beat { number, load }) => {
                    *last_beat = Instant::now();
                    heard.store(number, Relaxed);
                    self.lock().get_mut(name).into_iter().for_each(|host| host.load = load);
                    continue;
                }
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
                let failed = !opened && !matches!(exit, Exit::Finished | Exit::Closed);
                if failed && host.breaker.record_failure(None, Instant::now()) {
                    error!(
                        host = name,
                        "too many rooms failed to start; starting none for a while"
                    );
                }
                return Ok(Some(ProcessEvent::Exited(room, exit, usage)));
            }
            FromHost::Drain { remaining_ms } => {
                info!(host = name, "host drains");
                let hosts = self.lock();
                let rooms = hosts.get(name).map(|host| host.rooms.keys().cloned().collect());
                let left = Duration::from_millis(remaining_ms);
                return Ok(Some(ProcessEvent::Drain(rooms.unwrap_or_default(), left)));
            }
            // What these are about may have ended meanwhile.
            FromHost::Printed { room, line, is_error } => {
                let printed = self.with_room(name, &room, |running| {
                    running.room.output.push(&line, is_error);
                });
                printed.into_iter().for_each(|()| log_line(&room, &line, is_error));
            }
            FromHost::Usage { rooms } => {
                for (room, usage, tick_delay) in rooms {
                    let _ = self.with_room(name, &room, |Running { room, .. }| {
                        room.tick_delay.store(tick_delay, Relaxed);
                        *room.usage.lock().expect("nobody panics while holding this") = usage;
                    });
                }
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

/// Logs why a host cannot be reached, unless that was logged last.
fn log_once(last: &mut String, host: &str, error: &anyhow::Error) {
    let error = format!("{error:#}");
    if error != *last {
        warn!(host, error, "cannot reach a host; trying again");
        *last = error;
    }
}
