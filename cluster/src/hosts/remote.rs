//! The lobby's side: finds its hosts, keeps a link to each, and starts rooms there.

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

use super::{About, Lines, Linked, Load, Purpose, Reply, Term, Times, ask, check_name, link};
use crate::auth::LinkKey;
use crate::config::{Origin, Settings};
use crate::process::{End, ProcessEvent, Sender, Usage};
use crate::rooms::Breaker;
use crate::types::{Exit, RoomId};

/// How often the addresses of hosts are looked up.
const LOOKUP_PERIOD: Duration = Duration::from_secs(2);
/// How long a connection and its handshake may take.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// No host has had so many.
const MAX_ROOMS: u64 = 1 << 53;
/// What a host tells raises the numbers of rooms on others up to here: one host cannot use them up.
const MAX_RAISED: u64 = 1 << 32;
/// The pause before a host is called again.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// The same, while it is not known whether its rooms have ended.
const URGENT_RETRY_AFTER: Duration = Duration::from_millis(50);

/// The hosts of a lobby.
pub(crate) struct Hosts {
    settings: Settings,
    pub(super) times: Times,
    pub(super) key: LinkKey,
    /// Of this process: a host tells lobbies apart by it.
    id: String,
    term: Term,
    #[cfg(feature = "nats")]
    directory: cluster_nats::Directory,
    pub(super) inbox: UnboundedSender<ProcessEvent>,
    /// Those with a link, by name.
    linked: Mutex<BTreeMap<String, Linked>>,
    /// The number of the next room: hosts know those of earlier lobbies.
    pub(super) next_room: AtomicU64,
    /// The lobby neither starts nor stops: rooms that it drops are killed. Else the next one goes
    /// on with them.
    pub(super) running: Arc<AtomicBool>,
    /// A lobby of a later term is active.
    pub superseded: CancellationToken,
}

/// Held as long as a host has not told of its rooms.
pub(super) type Unknown = Option<mpsc::Sender<()>>;

/// Rooms whose host cannot be reached. They have not ended for certain yet.
#[derive(Default)]
pub(super) struct Lost {
    pub rooms: Vec<RoomId>,
    /// When their leases are over.
    pub until: Option<Instant>,
}

impl Hosts {
    /// Begins to look for hosts, and never ends. The receiver is that of a fleet.
    pub fn start(
        settings: &Settings,
        id: String,
        (term, superseded): (Term, CancellationToken),
        inbox: UnboundedSender<ProcessEvent>,
    ) -> anyhow::Result<(Arc<Hosts>, mpsc::Receiver<()>)> {
        let key = LinkKey::new(&LinkKey::derived_from(&settings.key_file)?);
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
        let (unknown, known) = mpsc::channel(1);
        for address in &hosts.settings.hosts.addresses {
            tokio::spawn(hosts.clone().look_up(address.clone(), Some(unknown.clone())));
        }
        Ok((hosts, known))
    }

    /// From now on, rooms that this lobby drops go on.
    pub fn leave_rooms(&self) {
        self.running.store(false, Relaxed);
    }

    /// The origins at which browsers reach rooms.
    pub fn origins(&self) -> Vec<Origin> {
        self.lock().values().filter_map(|linked| linked.about.origin.clone()).collect()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Linked>> {
        self.linked.lock().expect("nobody panics while holding this")
    }

    /// Looks up where hosts are, again and again, and calls those that are new.
    async fn look_up(self: Arc<Self>, name: String, mut unknown: Unknown) {
        let (mut links, mut last_error) = (HashMap::new(), String::new());
        loop {
            match self.find(&name).await {
                Ok(found) => {
                    last_error.clear();
                    links.retain(|_, link: &mut JoinHandle<()>| !link.is_finished());
                    for address in found {
                        let (hosts, name, unknown) = (self.clone(), name.clone(), unknown.clone());
                        let link = || tokio::spawn(hosts.keep_link(address, name, unknown));
                        links.entry(address).or_insert_with(link);
                    }
                }
                Err(error) => log_once(&mut last_error, &name, &error),
            }
            unknown = None;
            sleep(LOOKUP_PERIOD).await;
        }
    }

    /// The addresses of hosts that this name stands for.
    async fn find(&self, name: &str) -> anyhow::Result<Vec<SocketAddr>> {
        #[cfg(feature = "nats")]
        if crate::config::HostSettings::are_in_nats(name) {
            return timeout(CONNECT_TIMEOUT, self.directory.hosts()).await?;
        }
        Ok(lookup_host(name).await?.collect())
    }

    /// Keeps a link to the host at this address, as long as it is found there.
    async fn keep_link(self: Arc<Self>, address: SocketAddr, name: String, mut unknown: Unknown) {
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
            // It has ended the rooms of an earlier link, or is another process.
            if connected.is_ok() {
                self.report(&mut lost);
                sleep_until(next_link).await;
            }
            let linked = connected
                .and_then(|(stream, about)| self.add(stream, about, address, unknown.take()));
            let error = match linked {
                Ok((name, lines)) => {
                    (next_link, last_error) = (Instant::now() + RETRY_AFTER, String::new());
                    lost = self.serve(&name, lines).await;
                    if self.inbox.is_closed() {
                        return; // another link of this lobby would end what it leaves to the next
                    }
                    continue; // at once, to find out whether it still runs
                }
                Err(error) => error,
            };
            unknown = None;
            // Where nobody listens, no room runs.
            let refused = error.downcast_ref::<io::Error>().map(io::Error::kind);
            if refused == Some(io::ErrorKind::ConnectionRefused) {
                self.report(&mut lost);
            }
            if lost.until.is_none() {
                // If nobody can tell where hosts are, this one is not gone for that.
                if self.find(&name).await.is_ok_and(|found| !found.contains(&address)) {
                    return;
                }
            }
            log_once(&mut last_error, &address.to_string(), &error);
            sleep(if lost.until.is_some() { URGENT_RETRY_AFTER } else { RETRY_AFTER }).await;
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
        let (lobby, mut settings) = (self.id.clone(), Box::new(self.settings.clone()));
        settings.hosts.lease.clear(); // perhaps with a password
        let connected = async {
            let mut stream = TcpStream::connect(address).await?;
            let purpose = Purpose::Rooms { lobby, term: self.term, settings };
            match ask(&mut stream, &self.key, purpose).await? {
                Reply::Accepted(about) => Ok((stream, about)),
                Reply::Superseded => {
                    self.superseded.cancel();
                    bail!("a lobby of a later term is active")
                }
                _ => bail!("it gives another answer"),
            }
        };
        timeout(CONNECT_TIMEOUT, connected).await.context("it does not answer")?
    }

    /// Adds a host with its link: rooms may start there.
    fn add(
        &self,
        stream: TcpStream,
        about: About,
        address: SocketAddr,
        unknown: Unknown,
    ) -> anyhow::Result<(String, Lines)> {
        ensure!(about.next_room < MAX_ROOMS, "it had more rooms than there can be");
        check_name(&about.name)?;
        let mut hosts = self.lock();
        let Entry::Vacant(vacant) = hosts.entry(about.name.clone()) else {
            bail!("another host is named {}", about.name);
        };
        let (name, build) = (about.name.clone(), &about.build);
        info!(host = name, %address, build, "host linked");
        // A host that starts anew has forgotten its own: no id is used twice.
        self.next_room.fetch_max(about.next_room.min(MAX_RAISED), Relaxed);
        let (queue, lines) = link::open(stream);
        let cooldown = self.settings.start_failure_cooldown;
        vacant.insert(Linked {
            to_host: Sender::new(queue.clone(), End::Host),
            about,
            address,
            queue,
            rooms: HashMap::new(),
            drains: false,
            load: Load::default(),
            unknown,
            heard: 0,
            heard_at: Instant::now(),
            breaker: Breaker::new(self.settings.start_failure_limit, cooldown),
        });
        Ok((name, lines))
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
