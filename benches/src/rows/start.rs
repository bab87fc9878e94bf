//! The start of rooms.

use std::process::{Child, Command};
use std::time::Instant;

use anyhow::ensure;
use serde_json::json;

use super::Plan;
use crate::processes::private_kib;
use crate::programs::System::{Also, Cluster, Colyseus, Floor, Hosts, Node, Relayed};
use crate::report::{Figure, median};
use crate::servers::{Server, idle};

/// From spawned, as the log says, to ready; and from the request for it, which includes the spawn.
/// The floor: a process that does nothing, from spawn to reaped.
pub async fn start(plan: &Plan) -> anyhow::Result<Vec<Figure>> {
    let mut figure = Figure::less("room, spawned to ready, p50", "ms");
    let mut whole = Figure::less("room, asked for to ready, p50", "ms");
    for turn in plan.turns(&[Cluster, Also, Node, Floor]) {
        for system in turn {
            if system == Floor {
                let run = || {
                    let start = Instant::now();
                    ensure!(Command::new(&plan.programs.nothing).status()?.success());
                    Ok(start.elapsed().as_secs_f64() * 1e3)
                };
                let times = (0..plan.count(50)).map(|_| run()).collect::<anyhow::Result<Vec<_>>>();
                whole.add(system, median(times?));
                continue;
            }
            let count = if system == Node { plan.count(5) } else { plan.count(50) };
            let mut server = Server::start(&plan.programs, system, 0, &idle(false)).await?;
            let mut asked = Vec::new();
            for _ in 0..count {
                server.open(&idle(false)).await?;
                asked.push((server.starts(1)[0].1 - server.asked.get()) * 1e3);
            }
            whole.add(system, median(asked));
            let starts = server.starts(count);
            let times = starts.iter().map(|(spawned, ready)| (ready - spawned) * 1e3);
            figure.add(system, median(times));
        }
    }
    Ok(vec![figure, whole])
}

/// Rooms that are asked for at once, until the last is ready.
pub async fn burst(plan: &Plan) -> anyhow::Result<Vec<Figure>> {
    let count = if plan.quick { 5 } else { 50 };
    let mut figure = Figure::less(format!("{count} rooms at once"), "ms");
    for turn in plan.turns(&[Cluster, Also, Node, Floor]) {
        for system in turn {
            if system == Floor {
                let start = Instant::now();
                let spawn = |_| Command::new(&plan.programs.nothing).spawn();
                let processes = (0..count).map(spawn).collect::<Result<Vec<Child>, _>>()?;
                for mut process in processes {
                    process.wait()?;
                }
                figure.add(system, start.elapsed().as_secs_f64() * 1e3);
                continue;
            }
            let server = Server::start(&plan.programs, system, 0, &idle(false)).await?;
            let (mut host, _) = server.register().await?;
            for _ in 0..count {
                // With an acknowledgement, which nobody waits for.
                host.send(format!("420{}", json!(["open", idle(false)]))).await?;
            }
            server.wait_for_rooms(count)?;
            let starts = server.starts(count);
            let first = starts.iter().map(|(spawned, _)| *spawned).fold(f64::INFINITY, f64::min);
            let last = starts.iter().map(|(_, ready)| *ready).fold(0.0, f64::max);
            figure.add(system, (last - first) * 1e3);
        }
    }
    Ok(vec![figure])
}

/// From asking for a new room to being in it.
pub async fn join(plan: &Plan) -> anyhow::Result<Vec<Figure>> {
    let mut figures = vec![
        Figure::less("asked to joined, a fresh room, p50", "ms"),
        Figure::less("asked to joined, from a pool of 8, p50", "ms"),
    ];
    for (figure, pool) in figures.iter_mut().zip([0, 8]) {
        for turn in plan.turns(&[Cluster, Also, Relayed, Hosts, Node, Colyseus]) {
            // Colyseus has no processes to keep.
            for system in turn.into_iter().filter(|system| pool == 0 || *system != Colyseus) {
                let count = if system == Node { plan.count(8) } else { plan.count(50) };
                let server = Server::start(&plan.programs, system, pool, &idle(false)).await?;
                let (mut players, mut times) = (Vec::new(), Vec::new());
                for _ in 0..count {
                    let (conn, time) = server.join(None).await?;
                    times.push(time.as_secs_f64() * 1e3);
                    players.push(conn);
                    server.settle().await?;
                }
                figure.add(system, median(times));
            }
        }
    }
    Ok(figures)
}

/// The private memory of a room without players.
pub async fn idle_memory(plan: &Plan) -> anyhow::Result<Vec<Figure>> {
    let mut figure = Figure::less("private memory of an idle room", "KiB");
    for turn in plan.turns(&[Cluster, Also, Node]) {
        for system in turn {
            let mut server = Server::start(&plan.programs, system, 0, &idle(false)).await?;
            let mut memory = Vec::new();
            for _ in 0..5 {
                let room = server.open(&idle(false)).await?;
                server.settle().await?;
                memory.push(private_kib(room.pid)?);
            }
            figure.add(system, median(memory));
        }
    }
    Ok(vec![figure])
}
