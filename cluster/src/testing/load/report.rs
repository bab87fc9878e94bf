//! The report: as JSON, and from that as a table.

use serde_json::{Value, json};

use super::figures::{Figures, Time};
use super::processes::Processes;
use super::threshold::Threshold;

/// From this share of a core on, the bots measure themselves.
const BUSY: f64 = 0.9;

/// All figures so far.
pub(super) fn report(figures: &Figures, processes: &mut Processes, players: usize) -> Value {
    let seconds = figures.start.elapsed().as_secs_f64();
    let per_second = |count: u64| (count as f64 / seconds).round() as u64;
    let (in_rooms, rooms) = (figures.in_rooms(), figures.rooms.len());
    let mut errors = json!(figures.errors);
    errors["total"] = json!(figures.errors.values().sum::<u64>());
    let mut report = json!({
        "seconds": (seconds * 1e3).round() / 1e3,
        "players": { "total": players, "in_rooms": in_rooms, "in_lobby": figures.in_lobby },
        "rooms": rooms,
        "requests": { "count": figures.requests, "per_second": per_second(figures.requests) },
        "deliveries": {
            "count": figures.deliveries,
            "per_second": per_second(figures.deliveries),
            "bytes": figures.bytes,
        },
        "drops": figures.drops,
        "returns": figures.returns,
        "sent_to_lobby": figures.sent_back,
        "errors": errors,
        "bots": processes.bots(),
        "server": processes.server(in_rooms + figures.in_lobby, rooms),
    });
    for time in Time::ALL {
        report[time.name()] = figures.times(time);
    }
    report
}

/// Adds the thresholds to a report. Returns whether none is crossed.
pub(super) fn judge(report: &mut Value, thresholds: &[Threshold]) -> bool {
    let judged: Vec<Value> = thresholds.iter().map(|one| one.judge(report)).collect();
    let passed = judged.iter().all(|one| one["passed"] == true);
    report["thresholds"] = json!(judged);
    passed
}

pub(super) fn print(report: &Value) {
    let players = &report["players"];
    println!(
        "{} s: {} of {} players in {} rooms, {} in the lobby",
        report["seconds"],
        players["in_rooms"],
        players["total"],
        report["rooms"],
        players["in_lobby"]
    );
    println!(
        "\n{:12}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}",
        "ms", "count", "p50", "p90", "p99", "p99.9", "max"
    );
    for time in Time::ALL {
        let times = &report[time.name()];
        if times["count"] == 0 {
            continue;
        }
        let row: String =
            ["p50", "p90", "p99", "p99.9", "max"].map(|at| number(&times[at])).concat();
        println!("{:12}{:>10}{row}", time.name(), times["count"].to_string());
    }
    let (requests, deliveries) = (&report["requests"], &report["deliveries"]);
    println!(
        "\nrequests     {}, {} a second\ndeliveries   {}, {} a second, {} MB",
        requests["count"],
        requests["per_second"],
        deliveries["count"],
        deliveries["per_second"],
        deliveries["bytes"].as_u64().unwrap_or_default() / 1_000_000,
    );
    println!(
        "connections  {} dropped on purpose, {} players sent to the lobby; {} returned to a room",
        report["drops"], report["sent_to_lobby"], report["returns"]
    );
    let errors = report["errors"].as_object().into_iter().flatten();
    for (what, count) in errors.filter(|(what, _)| *what != "total") {
        println!("error        {count} times {what}");
    }
    for (what, count) in report["log"].as_object().into_iter().flatten() {
        println!("logged       {count} times {what}");
    }
    print_server(&report["server"]);
    let busy = report["bots"]["cores"].as_f64().unwrap_or_default();
    println!("{:12}{busy:10.2}", "bots");
    if busy > BUSY {
        println!("             Their core is busy: the times show the bots as well as the server.");
    }
    for threshold in report["thresholds"].as_array().into_iter().flatten() {
        let result = if threshold["passed"] == true { "passed" } else { "FAILED" };
        let text = threshold["threshold"].as_str().unwrap_or_default();
        println!("threshold    {result}: {text} ({})", threshold["figure"]);
    }
}

/// Nothing if it does not run here.
fn print_server(server: &Value) {
    if server["lobby"]["cores"].is_null() {
        return;
    }
    println!("\n{:12}{:>10}{:>10}", "server", "cores", "KiB");
    for who in ["lobby", "rooms"] {
        let memory = server[who]["memory_kib"].to_string();
        println!("{who:12}{}{memory:>10}", number(&server[who]["cores"]));
    }
    println!("{:12}{:>10}{:>10}", "", "core, %", "KiB");
    for who in ["per_room", "per_player"] {
        let each = &server[who];
        println!("{who:12}{}{}", number(&each["cpu_percent"]), number(&each["memory_kib"]));
    }
}

fn number(value: &Value) -> String {
    value.as_f64().map_or_else(|| format!("{:>10}", "–"), |number| format!("{number:10.2}"))
}
