//! Picks the host of a new room, and starts it there.

use std::cell::Cell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use anyhow::{Context as _, ensure};
use futures_util::FutureExt as _;
use rand::seq::IteratorRandom as _;
use serde::Serialize;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::{CONNECT_TIMEOUT, HostInfo, Hosts, Load, Purpose, ToHost, Waiting, ask};
use crate::process::channel::Queue;
use crate::process::{Dial, End, Process, RemoteRoom, Sender};
use crate::rooms::Breaker;
use crate::types::{Exit, RoomId};

/// A linked host.
pub(super) struct Linked {
    pub info: HostInfo,
    pub address: SocketAddr,
    pub queue: Queue,
    pub to_host: Sender,
    pub rooms: HashMap<RoomId, Running>,
    /// It has asked to be drained.
    pub drains: bool,
    pub load: Load,
    pub waiting: Waiting,
    /// When it sent its last heartbeat, by its own clock, and when that arrived.
    pub heard: u64,
    pub heard_at: Instant,
    pub breaker: Breaker,
}

/// A room on it.
pub(super) struct Running {
    pub room: Arc<RemoteRoom>,
    /// `on_open` has returned. One that ends before that is a failed start.
    pub opened: bool,
}

impl Linked {
    /// Whether a room may start there.
    fn is_usable(&self) -> bool {
        let is_full = self.rooms.len() >= self.info.max_rooms;
        !is_full && !self.load.draining && self.breaker.left(Instant::now()).is_none()
    }

    /// The share of its rooms in use, which the lobby knows at once, plus that of its processors,
    /// which the host reports twice a heartbeat. The latter is rounded: otherwise all new rooms
    /// would go to the host that happened to be less busy.
    fn utilization(&self) -> f32 {
        let rooms = self.rooms.len() as f32 / self.info.max_rooms as f32;
        rooms + (self.load.cpu * 4.0).round() / 4.0
    }
}

/// A host on the admin page and in the metrics.
#[derive(Serialize)]
pub(crate) struct HostFigures {
    #[serde(flatten)]
    pub info: HostInfo,
    #[serde(flatten)]
    pub load: Load,
    pub rooms: usize,
}

impl Hosts {
    /// The linked hosts.
    pub fn figures(&self) -> Vec<HostFigures> {
        let figures = |Linked { info, load, rooms, .. }: &Linked| HostFigures {
            info: info.clone(),
            load: *load,
            rooms: rooms.len(),
        };
        self.lock().values().map(figures).collect()
    }

    /// Whether the host of this room is late with its heartbeat, or has no link: the lobby may be
    /// about to learn that the room has ended.
    pub fn is_in_doubt(&self, room: &RoomId) -> bool {
        let hosts = self.lock();
        let host = hosts.values().find(|host| host.rooms.contains_key(room));
        host.is_none_or(|host| host.heard_at.elapsed() > self.times.heartbeat * 2)
    }

    /// Picks a host, and starts a room there.
    pub(super) fn start_room(&self) -> anyhow::Result<(RoomId, Process)> {
        let mut hosts = self.lock();
        let usable = hosts.values().filter(|host| host.is_usable());
        // Power of two choices: the least busy of all would get every room of a burst.
        let two = usable.sample(&mut rand::rng(), 2).into_iter();
        let best = two.min_by(|a, b| a.utilization().total_cmp(&b.utilization()));
        let name = best.context("no host can take a room")?.info.name.clone();
        let host = hosts.get_mut(&name).context("it was there")?;
        // A host remembers the numbers of earlier lobbies, and this lobby those of earlier hosts.
        let number = host.info.next_room.max(self.next_room.fetch_add(1, Relaxed));
        let id = RoomId(format!("{name}-{number}"));
        host.to_host.send(&ToHost::Start { room: id.clone() })?;
        host.info.next_room = number + 1;
        Ok((id.clone(), self.add_room(host, id, false)))
    }

    /// Adds a room of an earlier lobby.
    pub(super) fn adopt_room(&self, name: &str, id: &RoomId) -> anyhow::Result<Process> {
        let mut hosts = self.lock();
        let host = hosts.get_mut(name).context("it was there")?;
        let number = id.0.strip_prefix(name).and_then(|rest| rest.strip_prefix('-'));
        let is_its = number.is_some_and(|number| number.parse::<u64>().is_ok());
        ensure!(is_its && !host.rooms.contains_key(id), "it adds a room {id}");
        Ok(self.add_room(host, id.clone(), true))
    }

    fn add_room(&self, host: &mut Linked, id: RoomId, opened: bool) -> Process {
        let room = Arc::new(RemoteRoom {
            id: id.clone(),
            origin: host.info.origin.clone(),
            dial: self.dial(host.address),
            output: Default::default(),
        });
        let output = room.output.clone();
        host.rooms.insert(id.clone(), Running { room: room.clone(), opened });
        let sender = Sender::new(host.queue.clone(), End::Remote(room));
        let (kill, killed) = oneshot::channel::<Exit>();
        let (queue, running) = (host.queue.clone(), self.running.clone());
        tokio::spawn(killed.map(move |cause| {
            let dropped = || running.load(Relaxed).then_some(Exit::Closed);
            let cause = cause.ok().or_else(dropped);
            // A sender with a bound of its own: the kill is never refused.
            let to_host = Sender::new(queue, End::Host);
            cause.map(|cause| to_host.send(&ToHost::Kill { room: id, cause }))
        }));
        Process { sender, output, kill: Cell::new(Some(kill)) }
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
}
