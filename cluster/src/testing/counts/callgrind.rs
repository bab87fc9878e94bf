//! Runs the scenarios under callgrind, and compares their counts.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{LazyLock, Mutex};
use std::{env, fs, iter, process::Command, thread};

use crate::testing::counts::{Growth, REPEATS, Scenario, lobby, room};

/// How far a count may be from the expected one. It varies by some 2 %, with the seeds of hash
/// maps, and rarely by more: one that is too large by half of this is counted twice more, and the
/// least of the three is taken.
const TOLERANCE: f64 = 0.1;
/// The name of a scenario and its `n`, for the process that runs it.
const SCENARIO: &str = "COUNTED_SCENARIO";
const EXPECTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/testing/counts/expected.txt");

fn scenarios() -> impl Iterator<Item = &'static Scenario> {
    room::SCENARIOS.iter().chain(lobby::SCENARIOS)
}

/// The counts of each scenario, one for each of its sizes.
static COUNTS: LazyLock<BTreeMap<&str, Vec<f64>>> = LazyLock::new(|| {
    if cfg!(debug_assertions) {
        panic!("instructions are counted in a release build");
    }
    let todo = scenarios().flat_map(|(name, _, _, sizes)| sizes.iter().map(move |n| (*name, *n)));
    let (todo, counts) = (Mutex::new(todo), Mutex::new(BTreeMap::new()));
    let next = || todo.lock().expect("no panic").next();
    let work = || {
        for (name, n) in iter::from_fn(next) {
            let first = count(name, n);
            let expected = EXPECTED_COUNTS.get(&format!("{name}: {n}")).copied().unwrap_or(0.0);
            let again = if first > (1.0 + TOLERANCE / 2.0) * expected { 2 } else { 0 };
            let count = (0..again).map(|_| count(name, n)).fold(first, f64::min);
            counts.lock().expect("no panic").insert((name, n), count);
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let counts = counts.into_inner().expect("no panic");
    let of = |name, sizes: &[usize]| sizes.iter().map(|n| counts[&(name, *n)]).collect();
    scenarios().map(|(name, _, _, sizes)| (*name, of(*name, sizes))).collect()
});

/// The counts in the file, by scenario and size.
static EXPECTED_COUNTS: LazyLock<BTreeMap<String, f64>> = LazyLock::new(|| {
    let text = fs::read_to_string(EXPECTED).unwrap_or_default();
    let parsed = |line: &str| {
        let (what, count) = line.rsplit_once(": ")?;
        Some((what.to_owned(), count.parse().expect("a number")))
    };
    text.lines().filter_map(parsed).collect()
});

/// The instructions of one event of a scenario.
fn count(name: &str, n: usize) -> f64 {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .args(["--toggle-collect=*counts::collects_*", "--collect-atstart=no"])
        .arg(env::current_exe().expect("a path"))
        .args(["--exact", "testing::counts::callgrind::one_scenario", "--ignored"])
        .args(["--test-threads=1"])
        .env(SCENARIO, format!("{name}: {n}"))
        .output();
    let output = output.unwrap_or_else(|error| panic!("valgrind cannot be run: {error}"));
    let log = String::from_utf8_lossy(&output.stderr);
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{name}, {n}:\n{stdout}\n{log}");
    let collected = log.lines().find_map(|line| line.split_once("Collected : "));
    let (_, collected) = collected.unwrap_or_else(|| panic!("no count: {log}"));
    collected.trim().parse::<f64>().expect("a number") / REPEATS as f64
}

#[test]
#[ignore = "run under callgrind by the tests below"]
fn one_scenario() {
    let Ok(what) = env::var(SCENARIO) else { return };
    let (name, n) = what.rsplit_once(": ").expect("a name and a number");
    let scenario = scenarios().find(|scenario| scenario.0 == name).expect("a scenario");
    scenario.1(n.parse().expect("a number"));
}

#[test]
#[ignore = "needs valgrind and a release build"]
fn the_hot_paths_take_as_many_instructions_as_expected() {
    let mut text = String::new();
    for (name, _, _, sizes) in scenarios() {
        for (n, count) in sizes.iter().zip(&COUNTS[name]) {
            writeln!(text, "{name}: {n}: {count:.0}").expect("a string");
        }
    }
    if env::var_os("UPDATE_COUNTS").is_some() {
        return fs::write(EXPECTED, text).expect("a file that can be written");
    }
    let mut wrong = String::new();
    for (what, count) in text.lines().filter_map(|line| line.rsplit_once(": ")) {
        let before = EXPECTED_COUNTS.get(what).copied().unwrap_or(0.0);
        let ratio = count.parse::<f64>().expect("a number") / before;
        if (ratio - 1.0).abs() > TOLERANCE {
            writeln!(wrong, "{what}: {count}, {ratio:.2} times {before}").expect("a string");
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}UPDATE_COUNTS=1 accepts these counts");
}

#[test]
#[ignore = "needs valgrind and a release build"]
fn no_event_costs_more_than_it_has_to_when_there_are_more_of_something() {
    let mut wrong = String::new();
    for (name, _, growth, sizes) in scenarios() {
        let counts = &COUNTS[name];
        let grows = match (growth, &counts[..]) {
            (Growth::None, [few, many]) => *many > (1.0 + TOLERANCE) * few,
            (Growth::Linear, [.., half, all]) => *all > (2.0 + TOLERANCE) * half,
            _ => panic!("{name} has not as many sizes as it needs"),
        };
        if grows {
            writeln!(wrong, "{name}: {sizes:?} take {counts:.0?}").expect("a string");
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}instructions for one event: they grow too fast");
}
