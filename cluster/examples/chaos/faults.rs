//! The faults: which one comes next is drawn from the seed; where it hits depends on what runs
//! then.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use rand::{RngExt as _, rngs::StdRng};
use rustix::process::{Pid, Signal};
use tokio::{sync::mpsc::UnboundedSender, task::JoinSet, time::sleep};

use crate::{
    World,
    book::{Place, VANISHES},
    guests::Misdeed,
    kernel::signal_room,
    lobby::Lobby,
    player::Order,
};

#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// To a room's process.
    Room(&'static str, Signal),
    /// To the lobby's, which is then started again.
    Lobby(&'static str, Signal),
    /// A player loses the connection.
    Vanish,
    /// Somebody comes who does not mean well.
    Guest(Misdeed),
}

const ROOM: [Fault; 4] = [
    Fault::Room("room killed (SIGKILL)", Signal::KILL),
    Fault::Room("room crashes (SIGSEGV)", Signal::SEGV),
    Fault::Room("room aborts (SIGABRT)", Signal::ABORT),
    Fault::Room(STOPPED, Signal::STOP),
];
const LOBBY: [Fault; 2] = [
    Fault::Lobby("lobby stopped (SIGTERM)", Signal::TERM),
    Fault::Lobby("lobby killed (SIGKILL)", Signal::KILL),
];
/// It says nothing any more, and has not ended: this takes as long as the lobby's patience.
pub const STOPPED: &str = "room stopped (SIGSTOP)";

impl Fault {
    /// Half of them hit rooms, and of lobbies, if they may be hit at all, one in twenty.
    pub fn draw(random: &mut StdRng, restarts: bool) -> Fault {
        match random.random_range(0..20) {
            0 if restarts => LOBBY[random.random_range(0..LOBBY.len())],
            0..=9 => ROOM[random.random_range(0..ROOM.len())],
            10..=12 => Fault::Vanish,
            _ => Fault::Guest(Misdeed::ALL[random.random_range(0..Misdeed::ALL.len())]),
        }
    }

    /// Whether there was anything to hit.
    pub async fn inject(
        self,
        world: &Arc<World>,
        lobby: &mut Lobby,
        players: &[UnboundedSender<Order>],
        guests: &mut JoinSet<()>,
        random: &mut StdRng,
    ) -> anyhow::Result<()> {
        match self {
            Fault::Room(kind, signal) => {
                let room = any_room(world, lobby, random);
                if let Some(room) = room {
                    hit_room(world, lobby, &room, kind, signal);
                }
            }
            Fault::Lobby(kind, signal) => restart(world, lobby, kind, signal).await?,
            Fault::Vanish => {
                let mut book = world.book.open();
                let here = |player: &usize| matches!(book.places[*player], Place::Room(_));
                let those: Vec<usize> = (0..players.len()).filter(here).collect();
                if !those.is_empty() {
                    let player = those[random.random_range(0..those.len())];
                    let _ = players[player].send(Order::Vanish);
                    book.fault(VANISHES);
                }
            }
            Fault::Guest(misdeed) => {
                world.book.open().fault(misdeed.name());
                let world = world.clone();
                guests.spawn(async move {
                    let how = misdeed.commit(&world).await;
                    let how = format!("{}: {}", misdeed.name(), how.unwrap_or("could not begin"));
                    *world.book.open().guests.entry(how).or_default() += 1;
                });
            }
        }
        Ok(())
    }
}

/// One that runs and was not hit yet: most of the time one with players, if there are such rooms.
fn any_room(world: &World, lobby: &Lobby, random: &mut StdRng) -> Option<String> {
    let (seen, book) = (lobby.log.seen(), world.book.open());
    let rooms = seen.rooms.iter().filter(|(_, room)| room.ended.is_none());
    let rooms = rooms.map(|(id, _)| id).filter(|id| !book.rooms.contains_key(*id));
    let (with_players, others): (Vec<_>, Vec<_>) =
        rooms.partition(|id| book.places.contains(&Place::Room(id.to_string())));
    let players = others.is_empty() || !with_players.is_empty() && random.random_bool(0.9);
    let rooms = if players { with_players } else { others };
    (!rooms.is_empty()).then(|| rooms[random.random_range(0..rooms.len())].clone())
}

/// Sends a room's process a signal. What its players then lose was not lost by mistake.
pub fn hit_room(world: &World, lobby: &Lobby, room: &str, kind: &'static str, signal: Signal) {
    let Some(pid) = lobby.log.seen().rooms.get(room).map(|room| room.pid) else { return };
    let mut book = world.book.open();
    let at = Instant::now();
    if signal_room(pid, &lobby.program, signal) {
        book.fault(kind);
        book.rooms.insert(room.to_owned(), (kind, at));
        if signal == Signal::SEGV {
            tokio::spawn(insist(pid, lobby.program.clone()));
        }
    }
}

/// Rust's own handler of this signal looks for a stack overflow, finds none, and goes out of the
/// way: only the next one is deadly.
async fn insist(pid: Pid, program: PathBuf) {
    while signal_room(pid, &program, Signal::SEGV) {
        sleep(Duration::from_millis(2)).await;
    }
}

async fn restart(
    world: &World,
    lobby: &mut Lobby,
    kind: &'static str,
    signal: Signal,
) -> anyhow::Result<()> {
    world.book.open().restarts.push((kind, Instant::now(), None));
    world.book.open().fault(kind);
    let (status, orphans) = lobby.end(signal).await?;
    world.book.open().lobby_ended(status, signal == Signal::TERM, orphans);
    world.book.open().era += 1;
    lobby.start_again().await;
    if let Some((_, _, up)) = world.book.open().restarts.last_mut() {
        *up = Some(Instant::now());
    }
    Ok(())
}
