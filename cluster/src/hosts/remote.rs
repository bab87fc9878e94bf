//! The lobby's side: discovers its hosts, and keeps a link to each.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{HostInfo, Lines, Linked, Load, Purpose, Response, Term, Times, ask, check_name, link};
use crate::auth::LinkKey;
use crate::config::{Origin, Settings};
use crate::process::{End, ProcessEvent, Sender, Usage};
use crate::rooms::Breaker;
use crate::types::{Exit, RoomId};

/// How often the addresses of hosts are looked up.
const LOOKUP_PERIOD: Duration = Duration::from_secs(2);
/// How long a connection and its handshake may take.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// No host has run so many.
const MAX_ROOMS: u64 = 1 << 53;
/// A host can raise the room numbers of the others only up to here: it cannot exhaust them.
const MAX_RAISED: u64 = 1 << 32;
/// The pause before connecting to a host again.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// The same, while its rooms may still run.
const URGENT_RETRY_AFTER: Duration = Duration::from_millis(50);

/// The hosts of a lobby.
pub(crate) struct Hosts {
    settings: Settings,
    pub(super) times: Times,
    pub(super) key: LinkKey,
    /// Identifies this process: a host tells lobbies apart by it.
    id: String,
    term: Term,
    #[cfg(feature = "nats")]
    directory: cluster_nats::Directory,
    pub(super) inbox: UnboundedSender<ProcessEvent>,
    /// The linked hosts, by name.
    linked: Mutex<BTreeMap<String, Linked>>,
    /// The number of the next room. Hosts remember those of earlier lobbies.
    pub(super) next_room: AtomicU64,
    /// The lobby is neither starting nor stopping: rooms that it drops are killed. Otherwise they
    /// are left to the next lobby.
    pub(super) running: Arc<AtomicBool>,
    /// Cancelled when a lobby of a later term is active.
    pub superseded: CancellationToken,
}

/// A lobby that starts waits for it: dropped when a host has reported its rooms, or is not there.
pub(super) type Waiting = Option<mpsc::Sender<()>>;

/// Rooms whose host cannot be reached, and which may still run.
#[derive(Default)]
pub(super) struct Lost {
    pub rooms: Vec<RoomId>,
    /// When their lease has expired.
    pub until: Option<Instant>,
}

impl Hosts {
    /// Starts to discover hosts, and never stops. The receiver closes when those that were found at
    /// first have reported their rooms.
    pub fn start(
        settings: &Settings,
        key: LinkKey,
        id: String,
        (term, superseded): (Term, CancellationToken),
        inbox: UnboundedSender<ProcessEvent>,
    ) -> (Arc<Hosts>, mpsc::Receiver<()>) {
        let (settings, times) = (settings.clone(), Times::of(settings));
        let hosts = Arc::new(Hosts {
            #[cfg(feature = "nats")]
            directory: cluster_nats::Directory::new(&settings.hosts.lease),
            settings,
            times,
            key,
            id,
            term,
            inbox,
            linked: Mutex::default(),
            next_room: AtomicU64::new(1),
            running: Arc::default(),
            superseded,
        });
        let (waiting, discovered) = mpsc::channel(1);
        for address in &hosts.settings.hosts.addresses {
            tokio::spawn(hosts.clone().look_up(address.clone(), Some(waiting.clone())));
        }
        (hosts, discovered)
    }

    /// From now on, rooms that this lobby drops keep running.
    pub fn leave_rooms(&self) {
        self.running.store(false, Relaxed);
    }

    /// The origins at which browsers reach rooms.
    pub fn origins(&self) -> Vec<Origin> {
        self.lock().values().filter_map(|linked| linked.info.origin.clone()).collect()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Linked>> {
        self.linked.lock().expect("nobody panics while holding this")
    }

    /// Looks up the addresses of hosts periodically, and links to new ones.
    async fn look_up(self: Arc<Self>, name: String, mut waiting: Waiting) {
        let (mut links, mut last_error) = (HashMap::new(), String::new());
        loop {
            match self.find(&name).await {
                Ok(found) => {
                    last_error.clear();
                    links.retain(|_, link: &mut JoinHandle<()>| !link.is_finished());
                    for address in found {
                        let (hosts, name, waiting) = (self.clone(), name.clone(), waiting.clone());
                        let link = || tokio::spawn(hosts.keep_link(address, name, waiting));
                        links.entry(address).or_insert_with(link);
                    }
                }
                Err(error) => log_once(&mut last_error, &name, &error),
            }
            waiting = None;
            sleep(LOOKUP_PERIOD).await;
        }
    }

    /// The addresses of the hosts behind this name.
    async fn find(&self, name: &str) -> anyhow::Result<Vec<SocketAddr>> {
        #[cfg(feature = "nats")]
        if crate::config::HostSettings::are_in_nats(name) {
            return timeout(CONNECT_TIMEOUT, self.directory.hosts()).await?;
        }
        Ok(lookup_host(name).await?.collect())
    }

    /// Keeps a link to the host at this address, as long as the name leads there.
    async fn keep_link(self: Arc<Self>, address: SocketAddr, name: String, mut waiting: Waiting) {
        let (mut lost, mut last_error) = (Lost::default(), String::new());
        let mut next_link = Instant::now();
        loop {
            let connected = tokio::select! {
                connected = self.connect(address) => connected,
                // By the same clock as the leases: pauses count.
                () = sleep_until(lost.until.unwrap_or_else(Instant::now)), if lost.until.is_some() => {
                    self.report(&mut lost);
                    continue;
                }
            };
            // It has killed the rooms of the earlier link, or it is another process.
            if connected.is_ok() {
                self.report(&mut lost);
                sleep_until(next_link).await;
            }
            let linked = connected
                .and_then(|(stream, info)| self.add(stream, info, address, waiting.take()));
            let error = match linked {
                Ok((name, lines)) => {
                    (next_link, last_error) = (Instant::now() + RETRY_AFTER, String::new());
                    lost = self.serve(&name, lines).await;
                    if self.inbox.is_closed() {
                        return; // a second link of this lobby would kill the rooms that it leaves behind
                    }
                    continue; // at once, to find out whether the host still runs
                }
                Err(error) => error,
            };
            waiting = None;
            // Where nobody listens, no room runs.
            let refused = error.downcast_ref::<io::Error>().map(io::Error::kind);
            if refused == Some(io::ErrorKind::ConnectionRefused) {
                self.report(&mut lost);
            }
            if lost.until.is_none() {
                // A failed lookup does not mean that the host is gone.
                if self.find(&name).await.is_ok_and(|found| !found.contains(&address)) {
                    return;
                }
            }
            log_once(&mut last_error, &address.to_string(), &error);
            sleep(if lost.until.is_some() { URGENT_RETRY_AFTER } else { RETRY_AFTER }).await;
        }
    }

    /// Reports that the rooms have ended.
    fn report(&self, lost: &mut Lost) {
        for room in std::mem::take(lost).rooms {
            let exit = Exit::Crashed("its host is gone".to_owned());
            let _ = self.inbox.send(ProcessEvent::Exited(room, exit, Usage::default()));
        }
    }

    async fn connect(&self, address: SocketAddr) -> anyhow::Result<(TcpStream, HostInfo)> {
        let (lobby, mut settings) = (self.id.clone(), Box::new(self.settings.clone()));
        settings.hosts.lease.clear(); // may contain a password
        let connected = async {
            let mut stream = TcpStream::connect(address).await?;
            let purpose = Purpose::Rooms { lobby, term: self.term, settings };
            match ask(&mut stream, &self.key, purpose).await? {
                Response::Accepted(info) => Ok((stream, info)),
                Response::Superseded => {
                    self.superseded.cancel();
                    bail!("a lobby of a later term is active")
                }
                _ => bail!("it gives another answer"),
            }
        };
        timeout(CONNECT_TIMEOUT, connected).await.context("it does not answer")?
    }

    /// Adds a linked host: rooms may start there from now on.
    fn add(
        &self,
        stream: TcpStream,
        info: HostInfo,
        address: SocketAddr,
        waiting: Waiting,
    ) -> anyhow::Result<(String, Lines)> {
        ensure!(info.next_room < MAX_ROOMS, "it had more rooms than there can be");
        check_name(&info.name)?;
        let mut hosts = self.lock();
        let Entry::Vacant(vacant) = hosts.entry(info.name.clone()) else {
            bail!("another host is named {}", info.name);
        };
        let (name, build) = (info.name.clone(), &info.build);
        info!(host = name, %address, build, "host linked");
        // A restarted host has forgotten its numbers; the others keep its ids from being reused.
        self.next_room.fetch_max(info.next_room.min(MAX_RAISED), Relaxed);
        let (queue, lines) = link::open(stream);
        let cooldown = self.settings.start_failure_cooldown;
        vacant.insert(Linked {
            to_host: Sender::new(queue.clone(), End::Host),
            info,
            address,
            queue,
            rooms: HashMap::new(),
            drains: false,
            load: Load::default(),
            waiting,
            heard: 0,
            heard_at: Instant::now(),
            breaker: Breaker::new(self.settings.start_failure_limit, cooldown),
        });
        Ok((name, lines))
    }
}

/// Logs why a host cannot be reached, unless the last line said the same.
fn log_once(last: &mut String, host: &str, error: &anyhow::Error) {
    let error = format!("{error:#}");
    if error != *last {
        warn!(host, error, "cannot reach a host; trying again");
        *last = error;
    }
}
