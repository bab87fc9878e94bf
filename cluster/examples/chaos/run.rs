//! A run: players join rooms, faults are injected for some minutes, everyone recovers and leaves;
//! nothing may be left behind.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use cluster::testing::{BotCommand, Connection};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::faults::Fault;
use crate::hosts::Hosts;
use crate::kernel::{Holds, is_room};
use crate::lobby::{Lobby, until};
use crate::player::Player;
use crate::record::Place;
use crate::{Options, Shared, report};

/// All players find a room within this time, unless there are none for them.
const GATHERING: Duration = Duration::from_secs(10);
/// A player who is not back this long after the last fault is lost.
const CALM: Duration = Duration::from_secs(20);
/// Unused seats and empty rooms are gone within this time: longer than `--ticket-ttl`.
const TIDYING: Duration = Duration::from_secs(40);
const PROGRESS_INTERVAL: Duration = Duration::from_secs(10);

/// The lobby's resources: at first, with all players, after the faults, and when everyone had left.
pub type Stages = [Holds; 4];

/// Returns whether nothing went wrong.
pub async fn run(options: &Options) -> anyhow::Result<bool> {
    let mut lobby = options.start_lobby().await?;
    until(Duration::from_secs(2), || (!lobby.log.seen().rooms.is_empty()).then_some(())).await;
    let at_first = lobby.holds();
    let shared = Arc::new(options.shared(&lobby));
    shared.record.lock().outlive = lobby.hosts.is_some();
    let players = gather(&shared, options.players).await;
    let in_rooms = shared.record.lock().count(|place| matches!(place, Place::Room(_)));
    println!(
        "seed {}: {} players, {in_rooms} of them in {} rooms; {} faults a minute for {} minutes",
        options.seed,
        options.players,
        open_rooms(&lobby),
        options.faults_per_minute,
        options.minutes,
    );
    let everyone_in = lobby.holds();

    let mut clients = JoinSet::new();
    let alive = inject_faults(options, &shared, &mut lobby, &players, &mut clients).await;
    if let Err(error) = alive {
        shared.record.lock().violation(format!("{error:#}"));
        report::show(options, &shared, &lobby, [at_first; 4]);
        return Ok(false);
    }

    until(CALM, || (shared.record.lock().away() == 0).then_some(())).await;
    until(CALM, || {
        while clients.try_join_next().is_some() {}
        clients.is_empty().then_some(())
    })
    .await;
    clients.shutdown().await;
    until(GATHERING, || all_placed(&shared, options.players).then_some(())).await;
    let after = lobby.holds();
    for player in &players {
        let _ = player.send(BotCommand::Quit);
    }
    until(TIDYING, || is_tidy(&lobby, at_first).then_some(())).await;
    let all_gone = lobby.holds();
    leftovers(&shared, &lobby, [at_first, all_gone]).await;

    let (status, orphans) = lobby.end(Signal::TERM).await?;
    shared.record.lock().lobby_ended(status, true, orphans);
    if let Some(hosts) = &mut lobby.hosts {
        let failed = hosts.stop().await;
        let left = lobby
            .log
            .seen()
            .rooms
            .values()
            .filter(|room| is_room(room.pid, &lobby.program))
            .count();
        for (count, what) in
            [(failed, "hosts that did not stop"), (left, "rooms of hosts that have stopped")]
        {
            if count > 0 {
                shared.record.lock().violation(format!("left behind: {count} {what}"));
            }
        }
    }
    Ok(report::show(options, &shared, &lobby, [at_first, everyone_in, after, all_gone]))
}

/// Starts players and waits until they are in rooms.
pub async fn gather(shared: &Arc<Shared>, count: usize) -> Vec<UnboundedSender<BotCommand>> {
    shared.record.lock().places = vec![Place::OnTheWay; count];
    let mut players = Vec::new();
    for number in 0..count {
        players.push(Player::start(number, shared));
        sleep(Duration::from_millis(5)).await;
    }
    until(GATHERING, || all_placed(shared, count).then_some(())).await;
    players
}

fn all_placed(shared: &Shared, count: usize) -> bool {
    shared.record.lock().count(|place| matches!(place, Place::Room(_))) == count
}

/// Injects faults until the time is over. `Err`: the lobby ended by itself.
async fn inject_faults(
    options: &Options,
    shared: &Arc<Shared>,
    lobby: &mut Lobby,
    players: &[UnboundedSender<BotCommand>],
    clients: &mut JoinSet<()>,
) -> anyhow::Result<()> {
    let mut random = StdRng::seed_from_u64(options.seed);
    let start = Instant::now();
    let end = start + Duration::from_secs_f64(options.minutes * 60.0);
    let pause = Duration::from_secs_f64(60.0 / options.faults_per_minute);
    let mut progress_at = start + PROGRESS_INTERVAL;
    while Instant::now() < end {
        sleep(pause.mul_f64(random.random_range(0.5..1.5))).await;
        if let Some(status) = lobby.has_ended() {
            anyhow::bail!("the lobby has ended by itself, with {status}");
        }
        let fault = Fault::draw(&mut random, options.restarts, lobby.hosts.is_some());
        fault.inject(shared, lobby, players, clients, &mut random).await.context("a restart")?;
        while clients.try_join_next().is_some() {}
        if Instant::now() >= progress_at {
            progress_at += PROGRESS_INTERVAL;
            print_progress(shared, lobby, start);
        }
    }
    Ok(())
}

fn print_progress(shared: &Shared, lobby: &Lobby, start: Instant) {
    let (holds, rooms) = (lobby.holds(), open_rooms(lobby));
    let record = shared.record.lock();
    let faults: u64 = record.faults.values().sum();
    println!(
        "{:4} s  {faults} faults; {} players in {rooms} rooms, {} in the lobby, {} on their way; lobby: {} \
         MiB, {} descriptors",
        start.elapsed().as_secs(),
        record.count(|place| matches!(place, Place::Room(_))),
        record.count(|place| *place == Place::Lobby),
        record.count(|place| *place == Place::OnTheWay),
        holds.memory_kib / 1024,
        holds.descriptors,
    );
}

/// Open rooms, without warm ones.
fn open_rooms(lobby: &Lobby) -> usize {
    let seen = lobby.log.seen();
    let open = seen.rooms.values().filter(|room| room.ready && room.ended.is_none());
    // A room that dies while there is no lobby to describe itself to is in no log.
    open.filter(|room| lobby.hosts.is_none() || is_room(room.pid, &lobby.program)).count()
}

fn is_tidy(lobby: &Lobby, at_first: Holds) -> bool {
    let now = lobby.holds();
    let links = lobby.hosts.as_ref().map_or(0, Hosts::count);
    open_rooms(lobby) == 0
        && now.zombies == 0
        && now.children == at_first.children
        && now.descriptors <= at_first.descriptors + links
}

/// Records what is left behind.
async fn leftovers(shared: &Shared, lobby: &Lobby, [before, after]: [Holds; 2]) {
    let seats = match seats(shared).await {
        Ok(seats) => seats,
        Err(why) => {
            shared.record.lock().violation(format!("the list of rooms cannot be had: {why}"));
            0
        }
    };
    let mut record = shared.record.lock();
    let mut violation = |count: usize, what: &str| {
        if count > 0 {
            record.violation(format!("left behind: {count} {what}"));
        }
    };
    violation(seats, "seats, after everyone had left");
    violation(open_rooms(lobby), "rooms, after everyone had left");
    violation(after.zombies, "zombies");
    violation(after.children.saturating_sub(before.children), "processes");
    // A link may be just closed and opened.
    let links = lobby.hosts.as_ref().map_or(0, Hosts::count);
    violation(after.descriptors.saturating_sub(before.descriptors + links), "descriptors");
    // Memory that the allocator keeps is no leak; more than this would be.
    let allowed = 2 * before.memory_kib + 64 * 1024;
    violation((after.memory_kib.saturating_sub(allowed) / 1024) as usize, "MiB of memory");
}

/// The seats that are taken in all listed rooms.
async fn seats(shared: &Shared) -> Result<usize, String> {
    let mut connection = Connection::connect(&shared.url, "/socket.io", &json!({})).await?;
    connection.ask("watch_rooms", &Value::Null).await?;
    let rooms = connection.event("rooms").await?;
    let players = rooms.as_array().into_iter().flatten();
    Ok(players.map(|room| room["players"].as_u64().unwrap_or(0) as usize).sum())
}
