//! The report on one screen: faults, losses, recoveries and violations.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::lobby::Lobby;
use crate::log::Seen;
use crate::record::{Cause, Events, Loss};
use crate::run::Stages;
use crate::{Options, Shared};

/// The effects of one kind of fault on players.
#[derive(Default)]
struct Hit {
    players: usize,
    times: Vec<Duration>,
    told: BTreeMap<String, usize>,
}

/// Prints it. Returns whether nothing went wrong.
pub fn show(options: &Options, shared: &Shared, lobby: &Lobby, stages: Stages) -> bool {
    let seen = lobby.log.seen();
    let mut record = shared.record.lock();
    let hits = judge(&mut record, &seen);

    println!(
        "\nfault                      times   players hit  back  to welcome: p50   p99   max s  told"
    );
    for (kind, times) in &record.faults {
        let Some(hit) = hits.get(kind) else {
            let ends = ends(&record, kind);
            let ends = if ends.is_empty() { "nobody was there".to_owned() } else { ends };
            println!("{kind:25} {times:6}   {ends}");
            continue;
        };
        let back = hit.times.len();
        let [p50, p99, max] = percentiles(hit.times.clone()).map(|time| time.as_secs_f64());
        println!(
            "{kind:25} {times:6} {:13} {back:5} {p50:16.2} {p99:5.2} {max:5.2}    {}",
            hit.players,
            list(&hit.told),
        );
    }
    let [p50, p99, max] = percentiles(record.trips.clone()).map(|time| time.as_secs_f64() * 1e3);
    println!(
        "\nround trips   {} by players where all was in order: p50 {p50:.1}, p99 {p99:.1}, max {max:.0} ms",
        record.trips.len()
    );
    if !record.refusals.is_empty() {
        println!("refused       {}", list(&record.refusals));
    }
    for (error, times) in seen.errors.iter().take(5) {
        println!("error logged  {times} times: {error}");
    }
    let row = |of: fn(&crate::kernel::Holds) -> u64| {
        stages.map(|holds| format!("{:9}", of(&holds))).concat()
    };
    println!("lobby          at first  all here    after  all gone");
    println!("  memory, KiB {}", row(|holds| holds.memory_kib));
    println!("  descriptors {}", row(|holds| holds.descriptors as u64));
    println!("  processes   {}", row(|holds| holds.children as u64));
    println!("  zombies     {}", row(|holds| holds.zombies as u64));

    if record.violations.is_empty() {
        println!(
            "\nAll is well: everyone was back, nobody else was cut off, nothing is left behind."
        );
        return true;
    }
    println!("\nNOT WELL (the lobby's log: {})", options.log_file.display());
    for (what, times) in &record.violations {
        println!("  {times:5} ×  {what}");
    }
    println!("`--seed {}` brings the same faults in the same order.", options.seed);
    false
}

/// Finds the cause of each loss, and records violations.
fn judge(record: &mut Events, seen: &Seen) -> BTreeMap<&'static str, Hit> {
    let mut hits = BTreeMap::<_, Hit>::new();
    let mut violations = Vec::new();
    let has_ended = |room: &str| seen.rooms.get(room).is_some_and(|room| room.ended.is_some());
    for loss in &record.losses {
        let Loss { player, room, how, back, .. } = loss;
        match record.cause(loss, has_ended) {
            Cause::Fault(kind, at) => {
                let hit = hits.entry(kind).or_default();
                hit.players += 1;
                if let Some((back, reason)) = back {
                    hit.times.push(*back - at);
                    let reason = reason.clone().unwrap_or("nothing".to_owned());
                    *hit.told.entry(reason).or_default() += 1;
                }
            }
            Cause::Wanted => {}
            Cause::Mistake => {
                let room =
                    room.as_ref().map_or("the lobby".to_owned(), |room| format!("room {room}"));
                violations
                    .push(format!("player {player} was cut off by mistake in {room}: {how:?}"));
            }
        }
        if back.is_none() {
            violations.push(format!("player {player} has not come back ({how:?})"));
        }
    }
    for (id, room) in &seen.rooms {
        let ended = room.ended.as_deref().unwrap_or_default();
        let in_order = ["", "room ended", "the lobby has ended"];
        let of_host = record.hosts.iter().any(|(rooms, ..)| id.starts_with(&**rooms));
        if !record.rooms.contains_key(id)
            && !of_host
            && !in_order.iter().any(|good| ended.split(':').next() == Some(good))
        {
            violations.push(format!("a room died without a fault: {ended}"));
        }
    }
    let panics = seen.panics.iter();
    violations.extend(
        panics.flat_map(|(panic, times)| {
            (0..*times).map(move |_| format!("a hook panicked: {panic}"))
        }),
    );
    violations.into_iter().for_each(|what| record.violation(what));
    let faults: u64 = record.faults.values().sum();
    if faults >= 10 && record.rooms.is_empty() {
        record.violation(format!("none of {faults} faults has hit a room"));
    }
    hits
}

/// The outcomes of a misbehavior, with counts.
fn ends(record: &Events, kind: &str) -> String {
    let ends = record.clients.iter().filter_map(|(how, times)| {
        Some((how.strip_prefix(kind)?.trim_start_matches(": ").to_owned(), *times))
    });
    list(&ends.collect())
}

fn list<N: std::fmt::Display>(counts: &BTreeMap<String, N>) -> String {
    counts.iter().map(|(what, count)| format!("{what} {count}")).collect::<Vec<_>>().join(", ")
}

/// The 50th and 99th percentiles and the maximum; zeros if there are none.
pub fn percentiles(mut times: Vec<Duration>) -> [Duration; 3] {
    times.sort_unstable();
    let last = times.len().saturating_sub(1);
    [50, 99, 100].map(|percent| times.get(last * percent / 100).copied().unwrap_or_default())
}
