//! The storm: players in rooms, faults for some minutes, calm; then everyone leaves, and nothing
//! may be left.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::{sync::mpsc::UnboundedSender, task::JoinSet, time::sleep};

use crate::{
    Storm, World,
    book::Place,
    faults::Fault,
    kernel::Holds,
    line,
    lobby::{Lobby, until},
    player::{Order, Player},
    report,
};

/// All find a room within this, or there are none for them.
const GATHERING: Duration = Duration::from_secs(10);
/// After the storm everyone must be back within this time.
const CALM: Duration = Duration::from_secs(20);
/// Seats that nobody took, and rooms without players, are gone within this: a ticket's time, and
/// some more.
const TIDYING: Duration = Duration::from_secs(40);
const NEWS: Duration = Duration::from_secs(10);

/// What the lobby held: at first, with everyone in, after the storm, and when everyone had left.
pub type Stages = [Holds; 4];

/// Whether all was well.
pub async fn run(storm: &Storm) -> anyhow::Result<bool> {
    let mut lobby = storm.start_lobby().await?;
    until(Duration::from_secs(2), || (!lobby.log.seen().rooms.is_empty()).then_some(())).await;
    let at_first = lobby.holds();
    let world = Arc::new(storm.world(&lobby));
    let players = gather(&world, storm.players).await;
    let in_rooms = world.book.open().count(|place| matches!(place, Place::Room(_)));
    println!(
        "seed {}: {} players, {in_rooms} of them in {} rooms; {} faults a minute for {} minutes",
        storm.seed,
        storm.players,
        open_rooms(&lobby),
        storm.faults_per_minute,
        storm.minutes,
    );
    let everyone_in = lobby.holds();

    let mut guests = JoinSet::new();
    let alive = rage(storm, &world, &mut lobby, &players, &mut guests).await;
    if let Err(error) = alive {
        world.book.open().wrong(format!("{error:#}"));
        report::show(storm, &world, &lobby, [at_first; 4]);
        return Ok(false);
    }

    until(CALM, || (world.book.open().away() == 0).then_some(())).await;
    until(CALM, || {
        while guests.try_join_next().is_some() {}
        guests.is_empty().then_some(())
    })
    .await;
    guests.shutdown().await;
    until(GATHERING, || all_placed(&world, storm.players).then_some(())).await;
    let after = lobby.holds();
    for player in &players {
        let _ = player.send(Order::Quit);
    }
    until(TIDYING, || is_tidy(&lobby, at_first).then_some(())).await;
    let all_gone = lobby.holds();
    leftovers(&world, &lobby, [at_first, all_gone]).await;

    let (status, orphans) = lobby.end(Signal::TERM).await?;
    world.book.open().lobby_ended(status, true, orphans);
    Ok(report::show(storm, &world, &lobby, [at_first, everyone_in, after, all_gone]))
}

/// Starts players, and waits until they are in rooms or, where there are none for them, in the
/// lobby.
pub async fn gather(world: &Arc<World>, count: usize) -> Vec<UnboundedSender<Order>> {
    world.book.open().places = vec![Place::OnTheWay; count];
    let mut players = Vec::new();
    for number in 0..count {
        players.push(Player::start(number, world));
        sleep(Duration::from_millis(5)).await;
    }
    until(GATHERING, || all_placed(world, count).then_some(())).await;
    players
}

fn all_placed(world: &World, count: usize) -> bool {
    world.book.open().count(|place| matches!(place, Place::Room(_))) == count
}

/// Until its time is over. `Err`: the lobby did not live to see it.
async fn rage(
    storm: &Storm,
    world: &Arc<World>,
    lobby: &mut Lobby,
    players: &[UnboundedSender<Order>],
    guests: &mut JoinSet<()>,
) -> anyhow::Result<()> {
    let mut random = StdRng::seed_from_u64(storm.seed);
    let start = Instant::now();
    let end = start + Duration::from_secs_f64(storm.minutes * 60.0);
    let pause = Duration::from_secs_f64(60.0 / storm.faults_per_minute);
    let mut news_at = start + NEWS;
    while Instant::now() < end {
        sleep(pause.mul_f64(random.random_range(0.5..1.5))).await;
        if let Some(status) = lobby.has_ended() {
            anyhow::bail!("the lobby has ended by itself, with {status}");
        }
        let fault = Fault::draw(&mut random, storm.restarts);
        fault.inject(world, lobby, players, guests, &mut random).await.context("a restart")?;
        while guests.try_join_next().is_some() {}
        if Instant::now() >= news_at {
            news_at += NEWS;
            tell(world, lobby, start);
        }
    }
    Ok(())
}

fn tell(world: &World, lobby: &Lobby, start: Instant) {
    let (holds, rooms) = (lobby.holds(), open_rooms(lobby));
    let book = world.book.open();
    let faults: u64 = book.faults.values().sum();
    println!(
        "{:4} s  {faults} faults; {} players in {rooms} rooms, {} in the lobby, {} on their way; lobby: {} \
         MiB, {} descriptors",
        start.elapsed().as_secs(),
        book.count(|place| matches!(place, Place::Room(_))),
        book.count(|place| *place == Place::Lobby),
        book.count(|place| *place == Place::OnTheWay),
        holds.memory_kib / 1024,
        holds.descriptors,
    );
}

/// Rooms that somebody has opened and that run.
fn open_rooms(lobby: &Lobby) -> usize {
    let seen = lobby.log.seen();
    seen.rooms.values().filter(|room| room.ready && room.ended.is_none()).count()
}

fn is_tidy(lobby: &Lobby, at_first: Holds) -> bool {
    let now = lobby.holds();
    open_rooms(lobby) == 0
        && now.zombies == 0
        && now.children == at_first.children
        && now.descriptors <= at_first.descriptors
}

/// Writes down what is there and should not be.
async fn leftovers(world: &World, lobby: &Lobby, [before, after]: [Holds; 2]) {
    let seats = match seats(world).await {
        Ok(seats) => seats,
        Err(why) => {
            world.book.open().wrong(format!("the list of rooms cannot be had: {why}"));
            0
        }
    };
    let mut book = world.book.open();
    let mut wrong = |count: usize, what: &str| {
        if count > 0 {
            book.wrong(format!("left behind: {count} {what}"));
        }
    };
    wrong(seats, "seats, after everyone had left");
    wrong(open_rooms(lobby), "rooms, after everyone had left");
    wrong(after.zombies, "zombies");
    wrong(after.children.saturating_sub(before.children), "processes");
    wrong(after.descriptors.saturating_sub(before.descriptors), "descriptors");
    // What an allocator keeps for the next storm is no leak; this would be.
    let allowed = 2 * before.memory_kib + 64 * 1024;
    wrong((after.memory_kib.saturating_sub(allowed) / 1024) as usize, "MiB of memory");
}

/// Those that are taken, in all rooms of the public list.
async fn seats(world: &World) -> Result<usize, String> {
    let mut line = line::connect(&world.url, "/socket.io", json!({})).await?;
    line.ask("watch_rooms", &Value::Null).await?;
    let rooms = line.event("rooms").await?;
    let players = rooms.as_array().into_iter().flatten();
    Ok(players.map(|room| room["players"].as_u64().unwrap_or(0) as usize).sum())
}
