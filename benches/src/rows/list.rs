//! The list of rooms, which changes while a thousand players watch it.

use std::time::Duration;

use anyhow::ensure;
use serde_json::Value;
use tokio::time::{Instant, interval};

use super::Plan;
use crate::client::Crowd;
use crate::processes::processor_time;
use crate::programs::System::{Cluster, Node};
use crate::report::{Figure, percentile};
use crate::servers::{Server, idle};

/// Changes of the list a second.
const CHANGES: u32 = 5;
/// Between two requests of somebody else.
const REQUESTS: Duration = Duration::from_millis(5);

pub async fn list(plan: &Plan) -> anyhow::Result<Vec<Figure>> {
    let (rooms, watchers) = (if plan.quick { 2 } else { 20 }, plan.count(1000));
    let of = format!("list of {rooms} rooms, {watchers} watchers");
    let mut cpu = Figure::less(format!("{of}: lobby's CPU of a change, for each watcher"), "µs");
    let mut others = Figure::less(format!("{of}: another request, p99"), "ms");
    for turn in plan.turns(&[Cluster, Node]) {
        for system in turn {
            let mut server = Server::start(&plan.programs, system, 0, &idle(false)).await?;
            let mut room = server.open(&idle(false)).await?;
            for _ in 1..rooms {
                room = server.open(&idle(false)).await?;
            }
            let mut crowd = Crowd::new();
            for _ in 0..watchers {
                let mut conn = server.visit(None).await?;
                conn.emit("watch_rooms", Value::Null).await?;
                conn.event("rooms").await?;
                crowd.add(conn);
            }
            // These are not read all the time: an earlier one would miss its pings.
            let (mut player, _) = server.join(Some(&room)).await?;
            let (mut other, _) = server.register().await?;
            server.settle().await?;

            let lobby = [server.pid()];
            let (used, heard) = (processor_time(&lobby), crowd.frames());

            let end = Instant::now() + plan.time(Duration::from_secs(4));
            let changes = async {
                let (mut each, mut changes) = (interval(Duration::from_secs(1) / CHANGES), 0);
                while each.tick().await < end {
                    changes += 1;
                    player.ask("score", changes.into()).await?;
                }
                anyhow::Ok(changes)
            };
            let requests = async {
                let (mut each, mut times) = (interval(REQUESTS), Vec::new());
                loop {
                    // When it was due, not when the one before it let it.
                    let due = each.tick().await;
                    if due >= end {
                        return anyhow::Ok(times);
                    }
                    other.ask("nothing", Value::Null).await?;
                    times.push(due.elapsed().as_secs_f64() * 1e3);
                }
            };
            let (changed, times) = tokio::join!(changes, requests);
            let used = processor_time(&lobby) - used;
            ensure!(crowd.frames() > heard, "the watchers were not told");
            cpu.add(system, used.as_secs_f64() * 1e6 / f64::from(changed? * watchers as u32));
            others.add(system, percentile(times?, 99));
        }
    }
    Ok(vec![cpu, others])
}
