//! Players beside 1,000 clients that do not read and 100 that flood, in the same rooms, and the same players
//! without them: in turns, in the same run, so that what else the machine does disturbs both alike.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval, sleep},
};

use crate::{
    World,
    figures::{all_gone, hall, ratio},
    guests::take,
    line::{Heard, Line},
    lobby::{Lobby, until},
    player::Order,
    report::percentiles,
    storm::gather,
};

const HALLS: usize = 10;
const GOOD: usize = 100;
const SLOW: usize = 1000;
const FLOODERS: usize = 100;
/// Events in a second from one who floods: five times what is allowed by default.
const FLOOD: usize = 1000;
const TURNS: usize = 3;
const TURN: Duration = Duration::from_secs(10);
/// They come within this, or not at all.
const ARRIVAL: Duration = Duration::from_secs(30);
/// The others' p99 must stay under so many times what it was.
const GOAL: f64 = 2.0;

/// Whether the goal was reached.
pub async fn measure(seed: u64, lobby: &Lobby) -> anyhow::Result<bool> {
    let capacity = 2 * (GOOD + SLOW + FLOODERS) / HALLS;
    let name = |at: usize| format!("hall {at}");
    let worlds: Vec<Arc<World>> =
        (0..HALLS).map(|at| Arc::new(hall(seed, lobby, &name(at), capacity))).collect();
    // One more in each talks, so that there is something that those who are slow do not read.
    let talks = |at: usize| {
        let mut world = hall(seed, lobby, &name(at), capacity);
        world.says.push(("echo".to_owned(), json!({ "n": 1 })));
        Arc::new(world)
    };
    let talkers: Vec<Arc<World>> = (0..HALLS).map(talks).collect();
    let mut players = Vec::new();
    for (world, talker) in worlds.iter().zip(&talkers) {
        players.extend(gather(world, GOOD / HALLS).await);
        players.extend(gather(talker, 1).await);
    }
    let (bad, here) = (watch::Sender::new(false), Arc::new(AtomicUsize::new(0)));
    crowd(&worlds, &bad, &here);

    println!(
        "\n{GOOD} players in {HALLS} rooms; beside them, in turns of {TURN:?}, {SLOW} clients that do not \
         read and\n{FLOODERS} that say {FLOOD} things a second: round trips of the {GOOD}, in ms"
    );
    let mut trips = [Vec::new(), Vec::new()];
    for turn in 0..2 * TURNS {
        let with = turn % 2 == 1;
        let _ = bad.send(with);
        let wanted = if with { SLOW + FLOODERS } else { 0 };
        let come =
            || if with { here.load(Relaxed) >= wanted * 9 / 10 } else { here.load(Relaxed) == 0 };
        until(ARRIVAL, || come().then_some(())).await;
        sleep(Duration::from_secs(1)).await;
        worlds.iter().for_each(|world| world.book.open().trips.clear());
        let there = here.load(Relaxed);
        sleep(TURN).await;
        let now: Vec<Duration> =
            worlds.iter().flat_map(|world| std::mem::take(&mut world.book.open().trips)).collect();
        let [p50, p99, max] = percentiles(now.clone()).map(|time| time.as_secs_f64() * 1e3);
        println!(
            "  {:7} {there:5} to {:4} there {:7} trips: p50 {p50:6.2}, p99 {p99:7.2}, max {max:7.2}",
            if with { "with" } else { "without" },
            here.load(Relaxed),
            now.len(),
        );
        trips[usize::from(with)].extend(now);
    }
    let _ = bad.send(false);
    let lost: usize = worlds.iter().map(|world| world.book.open().losses.len()).sum();
    players.iter().for_each(|player| drop(player.send(Order::Quit)));
    for world in worlds.iter().chain(&talkers) {
        until(ARRIVAL, || all_gone(world)).await;
    }

    let [without, with] = trips.map(percentiles);
    let ratio = ratio(with[1], without[1])?;
    let good = lost == 0 && ratio < GOAL;
    println!(
        "  all: p99 {:.2} without, {:.2} with: {ratio:.2} times; goal: under {GOAL} times, {}; {lost} of them \
         were cut off",
        without[1].as_secs_f64() * 1e3,
        with[1].as_secs_f64() * 1e3,
        if good { "reached" } else { "MISSED" },
    );
    Ok(good)
}

/// Those who do not mean well, on a thread of their own: they are not to slow down those who measure.
fn crowd(worlds: &[Arc<World>], bad: &watch::Sender<bool>, here: &Arc<AtomicUsize>) {
    let (worlds, bad, here) = (worlds.to_vec(), bad.subscribe(), here.clone());
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async move {
            for number in 0..SLOW + FLOODERS {
                let world = worlds[number % HALLS].clone();
                let floods = number < FLOODERS;
                tokio::spawn(live(world, floods, bad.clone(), here.clone()));
            }
            std::future::pending::<()>().await;
        });
    });
}

/// Comes when it is time, misbehaves, comes back as a page does when he was cut off, and goes when told to.
async fn live(
    world: Arc<World>,
    floods: bool,
    mut bad: watch::Receiver<bool>,
    here: Arc<AtomicUsize>,
) {
    let mut token = None;
    loop {
        if bad.wait_for(|bad| *bad).await.is_err() {
            return;
        }
        sleep(Duration::from_millis(rand::random_range(0..500))).await;
        let visit = async {
            let mut room = enter(&world, &mut token).await?;
            let _here = Here::new(&here);
            match floods {
                true => flood(&mut room).await,
                false => never_read(&mut room).await,
            }
        };
        tokio::select! {
            ended = visit => drop(ended),
            _ = bad.wait_for(|bad| !*bad) => {}
        }
    }
}

/// One more as long as this lives.
struct Here(Arc<AtomicUsize>);

impl Here {
    fn new(here: &Arc<AtomicUsize>) -> Here {
        here.fetch_add(1, Relaxed);
        Here(here.clone())
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// Into the room in which the good ones of this world are.
async fn enter(world: &World, token: &mut Option<String>) -> Result<Line, String> {
    let auth = token.as_ref().map_or(json!({}), |token| json!({ "token": token }));
    let mut lobby = Line::connect(&world.url, "/socket.io", auth).await?;
    lobby.event("welcome").await?;
    if token.is_none() {
        let answer = lobby.answer("register", &json!({ "name": "Guest" })).await?;
        *token = answer["ok"]["token"].as_str().map(str::to_owned);
    }
    let (event, data) = &world.enter;
    lobby.ask(event, data).await?;
    let to = lobby.event("reroute").await?;
    take(world, &to).await
}

/// Says something each second, and reads none of the answers.
async fn never_read(room: &mut Line) -> Result<(), String> {
    loop {
        room.ask("welcome", &Value::Null).await?;
        sleep(Duration::from_secs(1)).await;
    }
}

async fn flood(room: &mut Line) -> Result<(), String> {
    let mut clock = interval(Duration::from_millis(10));
    // If this thread is late, the rest is not made up for.
    clock.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            _ = clock.tick() => room.ask_many("welcome", FLOOD / 100).await?,
            heard = room.hear() => match heard? {
                Heard::Event(..) | Heard::Answer(..) => {}
            },
        }
    }
}
