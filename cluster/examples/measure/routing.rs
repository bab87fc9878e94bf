//! What it costs to reach a room by handoff and by relay, compared with a bare server, in turns. A
//! busy machine slows all three down alike, so the ratios of one round say more than the numbers.

use std::path::Path;
use std::time::Duration;

use crate::figures::{percentiles, ratio, spread};
use crate::route::{Route, Turn, Way};

/// Players in each room.
const PLAYERS: usize = 64;
/// All orders of the three ways occur equally often.
const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 2, 1], [2, 1, 0], [1, 0, 2]];
const ROUNDS: usize = 4 * ORDERS.len();
/// Long enough for hundreds of requests of each player; short, so that what disturbs one way of a
/// round disturbs the others too.
const ECHO: Duration = Duration::from_millis(500);
const JOINS: usize = 50 * ORDERS.len();
/// Connections in a turn, and how many of them at a time.
const KNOCKS: (u64, u64) = (512, 16);

/// The results of the three ways, in their order.
type Ways<T> = [Vec<T>; 3];

pub async fn measure(program: &Path) -> anyhow::Result<()> {
    let mut routes = Vec::new();
    for way in Way::ALL {
        routes.push(Route::open(program, way, PLAYERS).await?);
    }
    println!("\nA room with {PLAYERS} players by handoff and by relay; ratios to a bare server:");

    let (mut asked, mut sent) = (Ways::default(), Ways::default());
    for at in in_turns(JOINS) {
        let join = routes[at].join().await?;
        asked[at].push(join.since_asked);
        sent[at].push(join.since_sent);
    }
    show_joins("asked for a seat (the lobby decides at once)", asked);
    show_joins("`reroute` received", sent);

    let mut knocks = Ways::default();
    for at in in_turns(ROUNDS) {
        knocks[at].push(routes[at].knock(KNOCKS.0, KNOCKS.1).await?);
    }
    let (count, at_once) = KNOCKS;
    println!(
        "new connections, {ROUNDS} times {count}, {at_once} at a time, each answered with 101"
    );
    show_turns(&knocks);

    let mut echoes = Ways::default();
    for at in in_turns(ROUNDS) {
        echoes[at].push(routes[at].echo(ECHO).await?);
    }
    println!("echo round trips, {ROUNDS} times {ECHO:?}, one request of each player on its way");
    show_turns(&echoes);

    for route in routes {
        route.close().await?;
    }
    Ok(())
}

/// The indices of the ways, in turns, for this many rounds.
fn in_turns(rounds: usize) -> impl Iterator<Item = usize> {
    ORDERS.into_iter().cycle().take(rounds).flatten()
}

fn show_joins(since: &str, mut times: Ways<Duration>) {
    println!("{since} to `joined` received, {JOINS} players, one after the other");
    let shown = times.each_mut().map(|times| percentiles(times));
    for (at, way) in Way::ALL.into_iter().enumerate() {
        let ratio = ratio(&times[at], &times[0]);
        println!("  {:15} {}   ratio of the p50s {ratio:.2}", way.name(), shown[at]);
    }
}

fn show_turns(turns: &Ways<Turn>) {
    let heads = ["per second", "ratio (lowest to highest)", "lobby", "room", "load"];
    let [rate, ratio, lobby, room, load] = heads;
    println!("  {:15}{rate:>11}{ratio:>28}{lobby:>15}{room:>15}{load:>15}", "");
    for (at, way) in Way::ALL.into_iter().enumerate() {
        let [_, median, _] = spread(turns[at].iter().map(Turn::per_second));
        let rounds = turns[at].iter().zip(&turns[0]);
        let [low, ratio, high] = spread(rounds.map(|(a, b)| a.per_second() / b.per_second()));
        println!(
            "  {:15}{median:11.0}{:>28}{:>15}{:>15}{:>15}",
            way.name(),
            format!("{ratio:.3} ({low:.3} to {high:.3})"),
            processor(&turns[at], |turn| turn.lobby),
            processor(&turns[at], |turn| turn.room),
            processor(&turns[at], |turn| turn.load),
        );
    }
    let sum = |of: fn(&Turn) -> Duration| -> Duration { turns.iter().flatten().map(of).sum() };
    let share = sum(|turn| turn.others).div_duration_f64(sum(|turn| turn.time));
    println!(
        "  lobby, room, load: processor's seconds per million, share of one processor; others' {:.0} %",
        share * 100.0
    );
}

/// The processor time of all turns together, as the kernel's unit is too coarse for one.
fn processor(turns: &[Turn], of: impl Fn(&Turn) -> Duration) -> String {
    let sum: f64 = turns.iter().map(|turn| of(turn).as_secs_f64()).sum();
    let done: u64 = turns.iter().map(|turn| turn.done).sum();
    let time: f64 = turns.iter().map(|turn| turn.time.as_secs_f64()).sum();
    format!("{:.1} {:5.0} %", sum / done as f64 * 1e6, sum / time * 100.0)
}
