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

use rustix::process::setpriority_process;
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
const TURN: Duration = Duration::from_secs(8);
/// They do not come all at once: who does not read is cut off after eight seconds and comes again, and a
/// thousand of them in step would be another fault.
const SPREAD: Duration = Duration::from_secs(8);
/// They come within this, or not at all.
const ARRIVAL: Duration = Duration::from_secs(30);
/// As a page that has lost its connection.
const BACK: Duration = Duration::from_millis(500);
/// The others' p99 must stay under so many times what it was.
const GOAL: f64 = 2.0;

/// Who is there beside the players.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beside {
    Nobody,
    /// In rooms of their own.
    Elsewhere,
    /// In the players' rooms, as the next two.
    Slow,
    Flooders,
    Both,
}

/// In whose rooms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rooms {
    Players,
    Own,
}

impl Beside {
    const ALL: [Beside; 5] =
        [Beside::Nobody, Beside::Elsewhere, Beside::Slow, Beside::Flooders, Beside::Both];

    fn name(self) -> &'static str {
        match self {
            Beside::Nobody => "nobody",
            Beside::Elsewhere => "both, in other rooms",
            Beside::Slow => "1,000 slow",
            Beside::Flooders => "100 flooding",
            Beside::Both => "both",
        }
    }

    /// Where one who floods, or who is slow, is now; `None`: nowhere.
    fn place(self, floods: bool) -> Option<Rooms> {
        match self {
            Beside::Nobody => None,
            Beside::Elsewhere => Some(Rooms::Own),
            Beside::Slow => (!floods).then_some(Rooms::Players),
            Beside::Flooders => floods.then_some(Rooms::Players),
            Beside::Both => Some(Rooms::Players),
        }
    }

    fn count(self) -> usize {
        let counts = [(false, SLOW), (true, FLOODERS)].into_iter();
        counts.filter(|(floods, _)| self.place(*floods).is_some()).map(|(_, count)| count).sum()
    }
}

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
    let own = |at: usize| Arc::new(hall(seed, lobby, &format!("hall {at} of their own"), capacity));
    let elsewhere: Vec<Arc<World>> = (0..HALLS).map(own).collect();
    let mut players = Vec::new();
    for (world, talker) in worlds.iter().zip(&talkers) {
        players.extend(gather(world, GOOD / HALLS).await);
        players.extend(gather(talker, 1).await);
    }
    let (beside, here) = (watch::Sender::new(Beside::Nobody), Arc::new(AtomicUsize::new(0)));
    crowd(&worlds, &elsewhere, &beside, &here);

    println!(
        "\n{GOOD} players in {HALLS} rooms, and beside them, in turns of {TURN:?}, {SLOW} clients that do \
         not read\nand {FLOODERS} that say {FLOOD} things a second: round trips of the {GOOD}, in ms"
    );
    let mut trips = Beside::ALL.map(|_| Vec::new());
    for turn in 0..TURNS * Beside::ALL.len() {
        let at = turn % Beside::ALL.len();
        let now = Beside::ALL[at];
        let _ = beside.send(now);
        until(ARRIVAL, || has_come(now, here.load(Relaxed)).then_some(())).await;
        sleep(Duration::from_secs(1)).await;
        worlds.iter().for_each(|world| world.book.open().trips.clear());
        sleep(TURN).await;
        for world in &worlds {
            trips[at].append(&mut world.book.open().trips);
        }
    }
    let _ = beside.send(Beside::Nobody);
    let lost: usize = worlds.iter().map(|world| world.book.open().losses.len()).sum();
    players.iter().for_each(|player| drop(player.send(Order::Quit)));
    for world in worlds.iter().chain(&talkers) {
        until(ARRIVAL, || all_gone(world)).await;
    }

    println!("  beside them             trips      p50       p99       max   p99, times");
    let mut ratios = Vec::new();
    let counts = trips.each_ref().map(Vec::len);
    let times = trips.map(percentiles);
    for (at, now) in Beside::ALL.into_iter().enumerate() {
        let [p50, p99, max] = times[at].map(|time| time.as_secs_f64() * 1e3);
        ratios.push(ratio(times[at][1], times[0][1])?);
        let (name, count) = (now.name(), counts[at]);
        println!("  {name:20} {count:8} {p50:8.2} {p99:9.2} {max:9.2} {:12.2}", ratios[at]);
    }
    let good = lost == 0 && ratios.iter().all(|ratio| *ratio < GOAL);
    let reached = if good { "reached" } else { "MISSED" };
    println!("  goal: under {GOAL} times, {reached}; {lost} of the players were cut off");
    Ok(good)
}

/// Some are always on their way back: they are cut off again and again.
fn has_come(beside: Beside, here: usize) -> bool {
    match beside {
        Beside::Nobody => here == 0,
        Beside::Elsewhere | Beside::Slow | Beside::Flooders | Beside::Both => {
            here >= beside.count() * 3 / 4
        }
    }
}

/// Those who do not mean well, on a thread of their own: they are not to slow down those who measure.
fn crowd(
    worlds: &[Arc<World>],
    elsewhere: &[Arc<World>],
    beside: &watch::Sender<Beside>,
    here: &Arc<AtomicUsize>,
) {
    let both = worlds.iter().cloned().zip(elsewhere.iter().cloned());
    let worlds: Vec<(Arc<World>, Arc<World>)> = both.collect();
    let (beside, here) = (beside.subscribe(), here.clone());
    thread::spawn(move || {
        // In life they are on other machines: they are not to take what others need to answer them.
        let _ = setpriority_process(None, 19);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async move {
            for number in 0..SLOW + FLOODERS {
                let world = worlds[number % HALLS].clone();
                let floods = number < FLOODERS;
                tokio::spawn(live(world, floods, beside.clone(), here.clone()));
            }
            std::future::pending::<()>().await;
        });
    });
}

/// Comes when it is time, misbehaves, comes back as a page does when he was cut off, and goes when told to.
async fn live(
    (players, own): (Arc<World>, Arc<World>),
    floods: bool,
    mut beside: watch::Receiver<Beside>,
    here: Arc<AtomicUsize>,
) {
    let mut token = None;
    let mut before = None;
    loop {
        let place = match beside.wait_for(|now| now.place(floods).is_some()).await {
            Ok(now) => now.place(floods),
            Err(_) => return,
        };
        let world = if place == Some(Rooms::Own) { &own } else { &players };
        let wait = if place == before { BACK } else { SPREAD };
        before = place;
        sleep(wait.mul_f64(rand::random())).await;
        let visit = async {
            let mut room = enter(world, &mut token).await?;
            let _here = Here::new(&here);
            match floods {
                true => flood(&mut room).await,
                false => never_read(&mut room).await,
            }
        };
        tokio::select! {
            ended = visit => drop(ended),
            _ = beside.wait_for(|now| now.place(floods) != place) => before = None,
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
