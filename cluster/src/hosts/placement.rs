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

use super::{About, CONNECT_TIMEOUT, Hosts, Load, Purpose, ToHost, Unknown, ask};
use crate::process::channel::Queue;
use crate::process::{Dial, End, Process, RemoteRoom, Sender};
use crate::rooms::Breaker;
use crate::types::{Exit, RoomId};

/// A host with a link.
pub(super) struct Linked {
    pub about: About,
    pub address: SocketAddr,
    pub queue: Queue,
    pub to_host: Sender,
    pub rooms: HashMap<RoomId, Running>,
    /// It has said so.
    pub drains: bool,
    pub load: Load,
    /// Until it has told of its rooms.
    pub unknown: Unknown,
    /// When it has sent its last beat, by its own clock, and when that came.
    pub heard: u64,
    pub heard_at: Instant,
    pub breaker: Breaker,
}

/// A room there.
pub(super) struct Running {
    pub room: Arc<RemoteRoom>,
    /// `on_open` has returned.
    pub opened: bool,
}

impl Linked {
    /// Whether it may start a room.
    fn is_usable(&self) -> bool {
        let is_full = self.rooms.len() >= self.about.max_rooms;
        !is_full && !self.load.draining && self.breaker.left(Instant::now()).is_none()
    }

    /// How much of it is in use: the share of its rooms, which the lobby knows at once, and that of
    /// its processors, which it is told twice a heartbeat. Only large differences of the latter
    /// count: new rooms would all go to the host that was less busy by chance.
    fn use_of(&self) -> f32 {
        let rooms = self.rooms.len() as f32 / self.about.max_rooms as f32;
        rooms + (self.load.cpu * 4.0).round() / 4.0
    }
}

/// What operators are shown of a host.
#[derive(Serialize)]
pub(crate) struct HostFigures {
    pub name: String,
    pub build: String,
    pub rooms: usize,
    pub max_rooms: usize,
    /// The share of its processors that are busy, from 0 to 1.
    pub cpu: f32,
    pub draining: bool,
}

impl Hosts {
    /// Those that are linked.
    pub fn figures(&self) -> Vec<HostFigures> {
        let figures = |Linked { about, rooms, load, .. }: &Linked| HostFigures {
            name: about.name.clone(),
            build: about.build.clone(),
            rooms: rooms.len(),
            max_rooms: about.max_rooms,
            cpu: load.cpu,
            draining: load.draining,
        };
        self.lock().values().map(figures).collect()
    }

    /// Whether the host of this room misses its beats, or has no link: the lobby may be about to
    /// learn that the room has ended.
    pub fn is_in_doubt(&self, room: &RoomId) -> bool {
        let hosts = self.lock();
        let host = hosts.values().find(|host| host.rooms.contains_key(room));
        host.is_none_or(|host| host.heard_at.elapsed() > self.times.beat * 2)
    }

    /// Picks a host, and starts a room there.
    pub(super) fn start_room(&self) -> anyhow::Result<(RoomId, Process)> {
        let mut hosts = self.lock();
        let usable = hosts.values().filter(|host| host.is_usable());
        // The better one of two at random: the best one of all would get all rooms of a burst.
        let two = usable.sample(&mut rand::rng(), 2).into_iter();
        let best = two.min_by(|a, b| a.use_of().total_cmp(&b.use_of()));
        let name = best.context("no host can take a room")?.about.name.clone();
        let host = hosts.get_mut(&name).context("it was there")?;
        // A host knows the numbers of earlier lobbies, and this lobby those of an earlier host.
        let number = host.about.next_room.max(self.next_room.fetch_add(1, Relaxed));
        let id = RoomId(format!("{name}-{number}"));
        host.to_host.send(&ToHost::Start { room: id.clone() })?;
        host.about.next_room = number + 1;
        Ok((id.clone(), self.add_room(host, id, false)))
    }

    /// A room of an earlier lobby, which it has given this id.
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
            origin: host.about.origin.clone(),
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
            // Of a space of its own: it is never refused.
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
