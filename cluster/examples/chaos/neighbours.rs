//! Noisy neighbours: players with 1,000 slow and 100 flooding clients in the same rooms, and
//! without them. Measured in turns in the same run, so that other load on the machine affects both
//! alike.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use std::{fs, thread};

use cluster::testing::{BotCommand, Connection};
use futures_util::FutureExt as _;
use rustix::process::setpriority_process;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::Shared;
use crate::figures::{all_gone, hall, ratio};
use crate::lobby::{Lobby, until};
use crate::misbehaving_clients::take;
use crate::report::percentiles;
use crate::run::gather;

const HALLS: usize = 10;
const GOOD: usize = 100;
const SLOW: usize = 1000;
const FLOODERS: usize = 100;
/// A slow client reads this often: just often enough to avoid the ping timeout.
const LOOK: Duration = Duration::from_secs(3);
/// Events per second of a flooding client: ten times the default limit.
const FLOOD: usize = 1000;
const TURNS: usize = 3;
const TURN: Duration = Duration::from_secs(8);
/// Clients connect over this time: those that never read are cut off after eight seconds and
/// reconnect, and a thousand in step would be another fault.
const SPREAD: Duration = Duration::from_secs(8);
/// All clients connect within this time.
const ARRIVAL: Duration = Duration::from_secs(30);
/// Lets the load of connecting subside.
const SETTLING: Duration = Duration::from_secs(2);
/// The reconnect delay of a page.
const BACK: Duration = Duration::from_millis(500);
/// The players' p99 must stay below this multiple of what it is without neighbours.
const GOAL: f64 = 2.0;

/// The neighbours of the players.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beside {
    Nobody,
    /// In the players' rooms, like all others unless noted.
    Slow,
    Flooders,
    Both,
    /// Both, in rooms of their own.
    Elsewhere,
    /// Clients that never read. Each is cut off repeatedly and reconnects at once, and each time
    /// all players in its room are told. There is no goal for this load.
    Deaf,
}

/// What one client does.
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

    /// What a flooding or other client does now.
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

/// Returns whether the goal was reached.
pub async fn measure(seed: u64, lobby: &Lobby) -> anyhow::Result<bool> {
    let capacity = 2 * (GOOD + SLOW + FLOODERS) / HALLS;
    let name = |at: usize| format!("hall {at}");
    let worlds: Vec<Arc<Shared>> =
        (0..HALLS).map(|at| Arc::new(hall(seed, lobby, &name(at), capacity))).collect();
    // One more player in each room sends, so that slow clients have something not to read.
    let talks = |at: usize| {
        let mut shared = hall(seed, lobby, &name(at), capacity);
        shared.says.push(("echo".to_owned(), json!({ "n": 1 })));
        Arc::new(shared)
    };
    let talkers: Vec<Arc<Shared>> = (0..HALLS).map(talks).collect();
    let own = |at: usize| Arc::new(hall(seed, lobby, &format!("hall {at} of their own"), capacity));
    let elsewhere: Vec<Arc<Shared>> = (0..HALLS).map(own).collect();
    let mut players = Vec::new();
    for (shared, talker) in worlds.iter().zip(&talkers) {
        players.extend(gather(shared, GOOD / HALLS).await);
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
        worlds.iter().for_each(|shared| shared.record.lock().trips.clear());
        sleep(TURN).await;
        for shared in &worlds {
            trips[at].append(&mut shared.record.lock().trips);
        }
    }
    let _ = beside.send(Beside::Nobody);
    let lost: usize = worlds.iter().map(|shared| shared.record.lock().losses.len()).sum();
    players.iter().for_each(|player| drop(player.send(BotCommand::Quit)));
    for shared in worlds.iter().chain(&talkers) {
        until(ARRIVAL, || all_gone(shared)).await;
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

/// Waits until all are connected, but for some that are reconnecting, as clients that flood or
/// never read are cut off repeatedly.
fn has_come(beside: Beside, here: usize) -> bool {
    match beside {
        Beside::Nobody => here == 0,
        Beside::Slow => here == beside.count(),
        Beside::Both | Beside::Elsewhere => here >= SLOW + FLOODERS / 2,
        Beside::Flooders | Beside::Deaf => here >= beside.count() / 2,
    }
}

/// Runs the neighbours on a thread of their own, so that they do not slow down the measurement.
fn crowd(
    worlds: &[Arc<Shared>],
    elsewhere: &[Arc<Shared>],
    beside: &watch::Sender<Beside>,
    here: &Arc<AtomicUsize>,
) {
    let both = worlds.iter().cloned().zip(elsewhere.iter().cloned());
    let worlds: Vec<(Arc<Shared>, Arc<Shared>)> = both.collect();
    let (beside, here) = (beside.subscribe(), here.clone());
    thread::spawn(move || {
        step_back();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async move {
            for number in 0..SLOW + FLOODERS {
                let shared = worlds[number % HALLS].clone();
                let floods = number < FLOODERS;
                tokio::spawn(live(shared, floods, beside.clone(), here.clone()));
            }
            std::future::pending::<()>().await;
        });
    });
}

/// In reality they run on other machines. Here they run at the lowest priority, so that they leave
/// the processors to the cluster.
fn step_back() {
    let _ = setpriority_process(None, 19);
    if let Ok(me) = fs::read_link("/proc/thread-self")
        && let Some(thread) = me.file_name()
    {
        // `chrt` is in Debian's util-linux. Without it, they only run with a higher nice value.
        let _ = Command::new("chrt").args(["--idle", "--pid", "0"]).arg(thread).status();
    }
}

/// Connects in its turn, misbehaves, reconnects as a page does when it is cut off, and leaves when
/// told to.
async fn live(
    (players, own): (Arc<Shared>, Arc<Shared>),
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
        let shared = if visit.with_players { &players } else { &own };
        let wait = if before == Some(visit) { BACK } else { SPREAD };
        before = Some(visit);
        sleep(wait.mul_f64(rand::random())).await;
        let misbehave = async {
            let mut room = enter(shared, &mut token).await?;
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

/// Counts one more until it is dropped.
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

/// Joins a room of these players.
async fn enter(shared: &Shared, token: &mut Option<String>) -> Result<Connection, String> {
    let auth = token.as_ref().map_or(json!({}), |token| json!({ "token": token }));
    let mut lobby = Connection::connect(&shared.url, "/socket.io", &auth).await?;
    lobby.event("welcome").await?;
    if token.is_none() {
        let answer = lobby.answer("register", &json!({ "name": "Client" })).await?;
        *token = answer["ok"]["token"].as_str().map(str::to_owned);
    }
    let (event, data) = &shared.enter;
    lobby.ask(event, data).await?;
    let to = lobby.event("reroute").await?;
    take(shared, &to).await
}

/// Sends a request and reads all that has arrived, at each interval.
async fn look_now_and_then(room: &mut Connection) -> Result<(), String> {
    loop {
        sleep(LOOK).await;
        room.ask("welcome", &Value::Null).await?;
        while let Some(heard) = room.next().now_or_never() {
            heard?;
        }
    }
}

/// Sends a request each second and reads nothing.
async fn never_read(room: &mut Connection) -> Result<(), String> {
    loop {
        room.ask("welcome", &Value::Null).await?;
        sleep(Duration::from_secs(1)).await;
    }
}

async fn flood(room: &mut Connection) -> Result<(), String> {
    let mut clock = interval(Duration::from_millis(10));
    // If this thread is late, it does not catch up.
    clock.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            _ = clock.tick() => room.emit_many("welcome", FLOOD / 100).await?,
            heard = room.next() => drop(heard?),
        }
    }
}
