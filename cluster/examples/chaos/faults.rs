//! The faults. The seed determines their order; where they hit depends on what runs then.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cluster::testing::BotCommand;
use rand::RngExt as _;
use rand::rngs::StdRng;
use rustix::process::{Pid, Signal};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::Shared;
use crate::hosts::Hosts;
use crate::kernel::signal_room;
use crate::lobby::Lobby;
use crate::misbehaving_clients::Misbehavior;
use crate::record::{Place, RELOADS, VANISHES, key};

#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// A signal to a room's process.
    Room(&'static str, Signal),
    /// A signal to the lobby's process, which is then started again.
    Lobby(&'static str, Signal),
    /// The lobby reloads: its own connections are cut, and no room notices.
    Reload,
    /// A signal to a host's process, which then goes on or is started again.
    Host(&'static str, Signal),
    /// A player loses their connection.
    Vanish,
    /// A misbehaving client connects.
    Client(Misbehavior),
}

const ROOM: [Fault; 4] = [
    Fault::Room("room killed (SIGKILL)", Signal::KILL),
    Fault::Room("room crashes (SIGSEGV)", Signal::SEGV),
    Fault::Room("room aborts (SIGABRT)", Signal::ABORT),
    Fault::Room(STOPPED, Signal::STOP),
];
const LOBBY: [Fault; 3] = [
    Fault::Lobby("lobby stopped (SIGTERM)", Signal::TERM),
    Fault::Lobby("lobby killed (SIGKILL)", Signal::KILL),
    Fault::Reload,
];
const HOST: [Fault; 2] = [
    Fault::Host("host killed (SIGKILL)", Signal::KILL),
    Fault::Host("host stopped for 8 s (SIGSTOP)", Signal::STOP),
];
/// Longer than the lease of its rooms.
const HOST_STOPPED: Duration = Duration::from_secs(8);
/// The process is stopped: the lobby takes until its heartbeat timeout to notice.
pub const STOPPED: &str = "room stopped (SIGSTOP)";

impl Fault {
    /// Half of the faults hit rooms, one in ten the lobby if restarts are allowed, and one in
    /// twenty a host. A lobby with hosts does not reload.
    pub fn draw(random: &mut StdRng, restarts: bool, hosts: bool) -> Fault {
        match random.random_range(0..20) {
            9 if hosts => HOST[random.random_range(0..HOST.len())],
            0 | 10 if restarts && hosts => LOBBY[random.random_range(0..LOBBY.len() - 1)],
            0 | 10 if restarts => LOBBY[random.random_range(0..LOBBY.len())],
            0..=9 => ROOM[random.random_range(0..ROOM.len())],
            10..=12 => Fault::Vanish,
            _ => Fault::Client(Misbehavior::ALL[random.random_range(0..Misbehavior::ALL.len())]),
        }
    }

    /// Injects the fault, if there is anything to hit. Fails if the lobby cannot be ended for its
    /// restart.
    pub async fn inject(
        self,
        shared: &Arc<Shared>,
        lobby: &mut Lobby,
        players: &[UnboundedSender<BotCommand>],
        clients: &mut JoinSet<()>,
        random: &mut StdRng,
    ) -> anyhow::Result<()> {
        match self {
            Fault::Room(kind, signal) => {
                let room = any_room(shared, lobby, random);
                if let Some(room) = room {
                    hit_room(shared, lobby, &room, kind, signal);
                }
            }
            Fault::Lobby(kind, signal) => restart(shared, lobby, kind, signal).await?,
            Fault::Reload => reload(shared, lobby).await?,
            Fault::Host(kind, signal) => hit_host(shared, lobby, kind, signal, random).await?,
            Fault::Vanish => {
                let mut record = shared.record.lock();
                let here = |player: &usize| matches!(record.places[*player], Place::Room(_));
                let those: Vec<usize> = (0..players.len()).filter(here).collect();
                if !those.is_empty() {
                    let player = those[random.random_range(0..those.len())];
                    let _ = players[player].send(BotCommand::Vanish);
                    record.fault(VANISHES);
                }
            }
            Fault::Client(misbehavior) => {
                shared.record.lock().fault(misbehavior.name());
                let shared = shared.clone();
                clients.spawn(async move {
                    let how = misbehavior.commit(&shared).await;
                    let how =
                        format!("{}: {}", misbehavior.name(), how.unwrap_or("could not begin"));
                    *shared.record.lock().clients.entry(how).or_default() += 1;
                });
            }
        }
        Ok(())
    }
}

/// A running room that was not hit yet, mostly one with players.
fn any_room(shared: &Shared, lobby: &Lobby, random: &mut StdRng) -> Option<String> {
    let (seen, record) = (lobby.log.seen(), shared.record.lock());
    let rooms = seen.rooms.iter().filter(|(_, room)| room.ended.is_none());
    let rooms = rooms.map(|(id, _)| id).filter(|id| !record.rooms.contains_key(*id));
    let (with_players, others): (Vec<_>, Vec<_>) =
        rooms.partition(|id| record.places.contains(&Place::Room(id.to_string())));
    let players = others.is_empty() || !with_players.is_empty() && random.random_bool(0.9);
    let rooms = if players { with_players } else { others };
    (!rooms.is_empty()).then(|| rooms[random.random_range(0..rooms.len())].clone())
}

/// Sends a signal to a room's process, and records it as the cause of its players' losses.
pub fn hit_room(shared: &Shared, lobby: &Lobby, room: &str, kind: &'static str, signal: Signal) {
    let Some(pid) = lobby.log.seen().rooms.get(room).map(|room| room.pid) else { return };
    let mut record = shared.record.lock();
    let at = Instant::now();
    if signal_room(pid, &lobby.program, signal) {
        record.fault(kind);
        record.rooms.insert(room.to_owned(), (kind, at));
        if signal == Signal::SEGV {
            tokio::spawn(insist(pid, lobby.program.clone()));
        }
    }
}

/// Rust's own handler of the first signal looks for a stack overflow, finds none, and removes
/// itself: only the second one kills.
async fn insist(pid: Pid, program: PathBuf) {
    while signal_room(pid, &program, Signal::SEGV) {
        sleep(Duration::from_millis(2)).await;
    }
}

async fn restart(
    shared: &Shared,
    lobby: &mut Lobby,
    kind: &'static str,
    signal: Signal,
) -> anyhow::Result<()> {
    shared.record.lock().restarts.push((kind, Instant::now(), None));
    shared.record.lock().fault(kind);
    let (status, orphans) = lobby.end(signal).await?;
    shared.record.lock().lobby_ended(status, signal == Signal::TERM, orphans);
    if lobby.hosts.is_none() {
        shared.record.lock().era += 1;
    }
    lobby.start_again().await;
    if let Some((_, _, up)) = shared.record.lock().restarts.last_mut() {
        *up = Some(Instant::now());
    }
    Ok(())
}

async fn hit_host(
    shared: &Shared,
    lobby: &mut Lobby,
    kind: &'static str,
    signal: Signal,
    random: &mut StdRng,
) -> anyhow::Result<()> {
    let Some(hosts) = &mut lobby.hosts else { return Ok(()) };
    let nth = random.random_range(0..hosts.count());
    let rooms = key(0, &format!("{}-", Hosts::name(nth)));
    shared.record.lock().fault(kind);
    shared.record.lock().hosts.push((rooms, kind, Instant::now()));
    hosts.signal(nth, signal);
    if signal == Signal::STOP {
        sleep(HOST_STOPPED).await;
        hosts.signal(nth, Signal::CONT);
        return Ok(());
    }
    hosts.start_again(nth).await
}

async fn reload(shared: &Shared, lobby: &mut Lobby) -> anyhow::Result<()> {
    shared.record.lock().restarts.push((RELOADS, Instant::now(), None));
    shared.record.lock().fault(RELOADS);
    lobby.reload().await?;
    if let Some((_, _, up)) = shared.record.lock().restarts.last_mut() {
        *up = Some(Instant::now());
    }
    Ok(())
}
