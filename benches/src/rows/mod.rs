//! What is measured: each row alternates between the systems, round by round.

use std::time::Duration;

use crate::programs::{Programs, System};
use crate::report::Figure;

mod build;
mod connections;
mod hosts;
mod list;
mod rooms;
mod start;
mod ticks;

/// How a run is measured.
pub struct Plan {
    pub programs: Programs,
    pub rounds: usize,
    /// Only whether everything runs: a hundredth of the load.
    pub quick: bool,
}

/// The names of the rows, for `--only`.
pub const ROWS: [&str; 12] = [
    "start",
    "burst",
    "join",
    "idle",
    "lobby",
    "fill",
    "echo",
    "broadcast",
    "tick",
    "list",
    "connect",
    "hosts",
];
/// The row that builds a project, and is measured once.
pub const BUILD: &str = "build";

pub async fn measure(row: &str, plan: &Plan) -> anyhow::Result<Vec<Figure>> {
    match row {
        "start" => start::start(plan).await,
        "burst" => start::burst(plan).await,
        "join" => start::join(plan).await,
        "idle" => start::idle_memory(plan).await,
        "lobby" => connections::in_the_lobby(plan).await,
        "connect" => connections::connect(plan).await,
        "fill" => rooms::fill(plan).await,
        "echo" => rooms::echo(plan).await,
        "broadcast" => ticks::broadcast(plan).await,
        "tick" => ticks::tick(plan).await,
        "list" => list::list(plan).await,
        "hosts" => hosts::lobby(plan).await,
        _ => build::build(plan),
    }
}

impl Plan {
    /// A load, or a little of it for `--quick`.
    fn count(&self, full: usize) -> usize {
        if self.quick { (full / 100).max(2) } else { full }
    }

    fn time(&self, full: Duration) -> Duration {
        if self.quick { Duration::from_millis(100) } else { full }
    }

    /// Those of these systems that are there, for each round in another order.
    fn turns(&self, systems: &[System]) -> Vec<Vec<System>> {
        let there: Vec<System> =
            systems.iter().copied().filter(|system| self.programs.has(*system)).collect();
        let turn = |round: usize| {
            let mut order = there.clone();
            order.rotate_left(round % there.len());
            order
        };
        (0..self.rounds).map(turn).collect()
    }
}
