//! Players beside 1,000 slow clients and 100 that flood, in the same rooms, and the same players
//! without them: in turns, in the same run, so that what else the machine does disturbs both alike.

use std::{
    fs,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use cluster::testing::Connection;
use futures_util::FutureExt as _;
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
    line,
    lobby::{Lobby, until},
    player::Order,
    report::percentiles,
    storm::gather,
};

const HALLS: usize = 10;
const GOOD: usize = 100;
const SLOW: usize = 1000;
const FLOODERS: usize = 100;
/// How often a slow client reads: just often enough to answer pings.
const LOOK: Duration = Duration::from_secs(3);
/// Events in a second from one who floods: ten times what is allowed by default.
const FLOOD: usize = 1000;
const TURNS: usize = 3;
const TURN: Duration = Duration::from_secs(8);
/// They do not come all at once: who never reads is cut off after eight seconds and comes again,
/// and a thousand of them in step would be another fault.
const SPREAD: Duration = Duration::from_secs(8);
/// They come within this, or not at all.
const ARRIVAL: Duration = Duration::from_secs(30);
/// What their coming has stirred up is over then.
const SETTLING: Duration = Duration::from_secs(2);
/// As a page that has lost its connection.
const BACK: Duration = Duration::from_millis(500);
/// The others' p99 must stay under so many times what it was.
const GOAL: f64 = 2.0;

/// The clients beside the players.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beside {
    Nobody,
    /// In the players' rooms, as the others of which nothing else is said.
    Slow,
    Flooders,
    Both,
    /// Both, in rooms of their own.
    Elsewhere,
    /// Clients that never read. Each is disconnected again and again and reconnects at once, of
    /// which all in its room are told twice: that is much, and there is no goal for it.
    Deaf,
}

/// What one of them does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Visit {
    manner: Manner,
    /// In the players' rooms, or in others.
    with_players: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Slow,
    Deaf,
    Floods,
}

impl Beside {
    const ALL: [Beside; 6] = [
        Beside::Nobody,
        Beside::Slow,
        Beside::Flooders,
        Beside::Both,
        Beside::Elsewhere,
        Beside::Deaf,
    ];

    fn name(self) -> &'static str {
        match self {
            Beside::Nobody => "nobody",
            Beside::Slow => "1,000 slow",
            Beside::Flooders => "100 flooding",
            Beside::Both => "both",
            Beside::Elsewhere => "both, in other rooms",
            Beside::Deaf => "1,000 never reading",
        }
    }

    /// What one who floods, or one of the others, does now.
    fn visit(self, floods: bool) -> Option<Visit> {
        let (slow, flooder, with_players) = match self {
            Beside::Nobody => (None, None, true),
            Beside::Slow => (Some(Manner::Slow), None, true),
            Beside::Flooders => (None, Some(Manner::Floods), true),
            Beside::Both => (Some(Manner::Slow), Some(Manner::Floods), true),
            Beside::Elsewhere => (Some(Manner::Slow), Some(Manner::Floods), false),
            Beside::Deaf => (Some(Manner::Deaf), None, true),
        };
        let manner = if floods { flooder } else { slow }?;
        Some(Visit { manner, with_players })
    }

    fn count(self) -> usize {
        let counts = [(false, SLOW), (true, FLOODERS)].into_iter();
        counts.filter(|(floods, _)| self.visit(*floods).is_some()).map(|(_, count)| count).sum()
    }

    fn has_a_goal(self) -> bool {
        self != Beside::Deaf
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
        "\n{GOOD} players in {HALLS} rooms, and beside them, in turns of {TURN:?}, {SLOW} clients that \
         look\nevery {LOOK:?} and {FLOODERS} that say {FLOOD} things a second: round trips of the {GOOD}, in ms"
    );
    let mut trips = Beside::ALL.map(|_| Vec::new());
    for turn in 0..TURNS * Beside::ALL.len() {
        let at = turn % Beside::ALL.len();
        let now = Beside::ALL[at];
        let _ = beside.send(now);
        until(ARRIVAL, || has_come(now, here.load(Relaxed)).then_some(())).await;
        sleep(SETTLING).await;
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
    let mut judged = Beside::ALL.iter().zip(&ratios).filter(|(beside, _)| beside.has_a_goal());
    let good = lost == 0 && judged.all(|(_, ratio)| *ratio < GOAL);
    let reached = if good { "reached" } else { "MISSED" };
    println!("  goal: under {GOAL} times, {reached}; {lost} of the players were cut off");
    Ok(good)
}

/// All are there, but for some that are always on their way back: who floods or never reads is cut
/// off again and again.
fn has_come(beside: Beside, here: usize) -> bool {
    match beside {
        Beside::Nobody => here == 0,
        Beside::Slow => here == beside.count(),
        Beside::Both | Beside::Elsewhere => here >= SLOW + FLOODERS / 2,
        Beside::Flooders | Beside::Deaf => here >= beside.count() / 2,
    }
}

/// Those who do not mean well, on a thread of their own: they are not to slow down those who
/// measure.
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
        step_back();
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

/// In life those are on other machines. Here they get what time nobody else wants: they are not to
/// take what others need to answer them.
fn step_back() {
    let _ = setpriority_process(None, 19);
    if let Ok(me) = fs::read_link("/proc/thread-self")
        && let Some(thread) = me.file_name()
    {
        // Of Debian's util-linux. Without it, they are only nice.
        let _ = Command::new("chrt").args(["--idle", "--pid", "0"]).arg(thread).status();
    }
}

/// Connects when told to, misbehaves, reconnects as a page does, and disconnects when told to.
async fn live(
    (players, own): (Arc<World>, Arc<World>),
    floods: bool,
    mut beside: watch::Receiver<Beside>,
    here: Arc<AtomicUsize>,
) {
    let mut token = None;
    let mut before = None;
    loop {
        let visit = match beside.wait_for(|now| now.visit(floods).is_some()).await {
            Ok(now) => now.visit(floods).expect("waited for"),
            Err(_) => return,
        };
        let world = if visit.with_players { &players } else { &own };
        let wait = if before == Some(visit) { BACK } else { SPREAD };
        before = Some(visit);
        sleep(wait.mul_f64(rand::random())).await;
        let misbehave = async {
            let mut room = enter(world, &mut token).await?;
            let _here = Here::new(&here);
            match visit.manner {
                Manner::Slow => look_now_and_then(&mut room).await,
                Manner::Deaf => never_read(&mut room).await,
                Manner::Floods => flood(&mut room).await,
            }
        };
        tokio::select! {
            ended = misbehave => drop(ended),
            _ = beside.wait_for(|now| now.visit(floods) != Some(visit)) => before = None,
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
async fn enter(world: &World, token: &mut Option<String>) -> Result<Connection, String> {
    let auth = token.as_ref().map_or(json!({}), |token| json!({ "token": token }));
    let mut lobby = line::connect(&world.url, "/socket.io", auth).await?;
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

/// Says something, and reads what there is, each time that it looks.
async fn look_now_and_then(room: &mut Connection) -> Result<(), String> {
    loop {
        sleep(LOOK).await;
        room.ask("welcome", &Value::Null).await?;
        while let Some(heard) = line::hear(room).now_or_never() {
            heard?;
        }
    }
}

/// Says something each second, and reads none of the answers.
async fn never_read(room: &mut Connection) -> Result<(), String> {
    loop {
        room.ask("welcome", &Value::Null).await?;
        sleep(Duration::from_secs(1)).await;
    }
}

async fn flood(room: &mut Connection) -> Result<(), String> {
    let mut clock = interval(Duration::from_millis(10));
    // If this thread is late, the rest is not made up for.
    clock.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            _ = clock.tick() => room.emit_many("welcome", FLOOD / 100).await?,
            heard = line::hear(room) => drop(heard?),
        }
    }
}
