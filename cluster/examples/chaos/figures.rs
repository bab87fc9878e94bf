//! Measurements with goals: how soon everyone is back when a room dies or hangs, and whether slow
//! and flooding clients slow down others. Needs the game of the tests.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use cluster::testing::BotCommand;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::sleep;

use crate::faults::hit_room;
use crate::lobby::{Lobby, until};
use crate::record::{Place, Record};
use crate::report::percentiles;
use crate::run::gather;
use crate::{Options, Shared, neighbours};

/// Longer than anything here takes.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What is done to a room.
#[derive(Clone, Copy)]
enum Harm {
    Signal(Signal),
    /// A hook that never returns.
    Spin,
}

struct Goal {
    what: &'static str,
    harm: Harm,
    players: usize,
    times: usize,
    p99: Duration,
}

const GOALS: [Goal; 4] = [
    Goal {
        what: "killed, 20 players",
        harm: Harm::Signal(Signal::KILL),
        players: 20,
        times: 50,
        p99: Duration::from_secs(1),
    },
    Goal {
        what: "killed, 1,000 players",
        harm: Harm::Signal(Signal::KILL),
        players: 1000,
        times: 10,
        p99: Duration::from_secs(2),
    },
    Goal {
        what: "stopped, 20 players",
        harm: Harm::Signal(Signal::STOP),
        players: 20,
        times: 10,
        p99: Duration::from_secs(5),
    },
    Goal {
        what: "spins, 20 players",
        harm: Harm::Spin,
        players: 20,
        times: 10,
        p99: Duration::from_secs(5),
    },
];

/// Returns whether all goals were reached.
pub async fn measure(options: &Options) -> anyhow::Result<bool> {
    let lobby = Lobby::start(&options.program, &options.flags, 100, 0, &options.log_file).await?;
    println!(
        "room                   times      back   to welcome: p50    p99    max s   goal, p99"
    );
    let mut reached = true;
    for goal in &GOALS {
        reached &= goal.measure(options.seed, &lobby).await.context(goal.what)?;
    }
    drop(lobby);
    let lobby = Lobby::start(&options.program, &options.flags, 100, 0, &options.log_file).await?;
    Ok(reached & neighbours::measure(options.seed, &lobby).await?)
}

impl Goal {
    async fn measure(&self, seed: u64, lobby: &Lobby) -> anyhow::Result<bool> {
        let shared = Arc::new(hall(seed, lobby, self.what, self.players));
        let players = gather(&shared, self.players).await;
        let (mut times, mut told, mut lost) = (Vec::new(), BTreeMap::<_, usize>::new(), 0);
        for _ in 0..self.times {
            let room = until(TIMEOUT, || together(&shared)).await;
            let room = room.context("the players do not meet in one room")?;
            // Lets the load of joining subside.
            sleep(Duration::from_millis(200)).await;
            let at = self.harm(&shared, lobby, &room, &players);
            let all_lost = || shared.record.lock().losses.len() == self.players;
            let all_back = || (all_lost() && shared.record.lock().away() == 0).then_some(());
            until(TIMEOUT, all_back).await;
            ensure!(!shared.record.lock().losses.is_empty(), "the fault has had no effect");
            lost += self.players;
            for loss in shared.record.lock().losses.drain(..) {
                let Some((back, why)) = loss.back else { continue };
                times.push(back - at);
                *told.entry(why.unwrap_or("nothing".to_owned())).or_default() += 1;
            }
        }
        players.iter().for_each(|player| drop(player.send(BotCommand::Quit)));
        until(TIMEOUT, || all_gone(&shared)).await.context("the players do not leave")?;

        let back = times.len();
        let [p50, p99, max] = percentiles(times);
        let good = back == lost && p99 <= self.p99;
        println!(
            "{:21} {:6} {:>9} {:16.2} {:6.2} {:6.2} {:9.0} s {}  told: {}",
            self.what,
            self.times,
            format!("{back}/{lost}"),
            p50.as_secs_f64(),
            p99.as_secs_f64(),
            max.as_secs_f64(),
            self.p99.as_secs_f64(),
            if good { "reached" } else { "MISSED" },
            told.iter().map(|(why, n)| format!("{why} {n}")).collect::<Vec<_>>().join(", "),
        );
        Ok(good)
    }

    /// Harms the room, and returns when.
    fn harm(
        &self,
        shared: &Shared,
        lobby: &Lobby,
        room: &str,
        players: &[UnboundedSender<BotCommand>],
    ) -> Instant {
        match self.harm {
            Harm::Signal(signal) => hit_room(shared, lobby, room, self.what, signal),
            Harm::Spin => drop(players[0].send(BotCommand::Say(("spin".into(), Value::Null)))),
        }
        Instant::now()
    }
}

/// Options for players who join rooms of this name.
pub fn hall(seed: u64, lobby: &Lobby, name: &str, capacity: usize) -> Shared {
    let options = json!({ "title": name, "quiet": true });
    Shared {
        url: lobby.url.clone(),
        seed,
        enter: ("best".to_owned(), json!({ "capacity": capacity, "options": options })),
        says: vec![],
        beat: Duration::from_millis(500),
        record: Record::default(),
    }
}

/// The room in which everyone is.
fn together(shared: &Shared) -> Option<String> {
    let record = shared.record.lock();
    let first = record.places.first()?;
    let Place::Room(room) = first else { return None };
    record.places.iter().all(|place| place == first).then(|| room.clone())
}

pub fn all_gone(shared: &Shared) -> Option<()> {
    shared.record.lock().places.iter().all(|place| *place == Place::Gone).then_some(())
}

/// Fails without data to compare.
pub fn ratio(one: Duration, other: Duration) -> anyhow::Result<f64> {
    ensure!(!one.is_zero() && !other.is_zero(), "nothing was measured");
    Ok(one.div_duration_f64(other))
}
