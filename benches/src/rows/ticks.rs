//! Rooms that send to all their players again and again.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Plan;
use crate::client::Crowd;
use crate::programs::System;
use crate::programs::System::{Bare, Cluster, Colyseus, Floor, Node};
use crate::report::{Figure, percentile};
use crate::servers::{Server, ticking};

/// The processor time of a server that sends 200 bytes to 200 players, 60 times a second.
pub async fn broadcast(plan: &Plan) -> anyhow::Result<Vec<Figure>> {
    let (players, time) = (plan.count(200), plan.time(Duration::from_secs(4)));
    let mut figures = Vec::new();
    for (volatile, systems) in
        [(false, &[Cluster, Node, Colyseus, Bare, Floor][..]), (true, &[Cluster, Node, Bare][..])]
    {
        let how = if volatile { ", volatile" } else { "" };
        let title = format!("broadcast to {players} at 60 Hz{how}, CPU of a million deliveries");
        let mut figure = Figure::less(title, "s");
        let options = ticking(60, 200, volatile);
        for turn in plan.turns(systems) {
            for system in turn {
                let mut server = Server::start(&plan.programs, system, 0, &options).await?;
                let room = server.open(&options).await?;
                let mut crowd = Crowd::new();
                server.fill(&room, players, &mut crowd).await?;
                let (used, heard) = (server.processor_time(), crowd.frames());
                sleep(time).await;
                let (used, heard) = (server.processor_time() - used, crowd.frames() - heard);
                figure.add(system, used.as_secs_f64() * 1e6 / heard as f64);
            }
        }
        figures.push(figure);
    }
    Ok(figures)
}

/// Rooms of four players at 60 Hz: the processor time of a tick, and how late ticks are.
pub async fn tick(plan: &Plan) -> anyhow::Result<Vec<Figure>> {
    let rooms = if plan.quick { 2 } else { 10 };
    let title = format!("tick of {PLAYERS} players, {rooms} rooms at 60 Hz, CPU");
    let mut cpu = Figure::less(title, "µs");
    for turn in plan.turns(&[Cluster, Node, Floor]) {
        for system in turn {
            let ticks = run(plan, system, if system == Floor { 1 } else { rooms }).await?;
            cpu.add(system, ticks.cpu.as_secs_f64() * 1e6 / ticks.count);
        }
    }
    let rooms = plan.count(120);
    let title = |what| format!("tick, {rooms} rooms at 60 Hz, due to {what}, p99");
    let mut sent = Figure::less(title("sent"), "ms");
    let mut arrived = Figure::less(title("arrived"), "ms");
    for turn in plan.turns(&[Cluster, Node]) {
        for system in turn {
            let ticks = run(plan, system, rooms).await?;
            sent.add(system, ticks.sent_p99);
            arrived.add(system, ticks.arrived_p99);
        }
    }
    Ok(vec![cpu, sent, arrived])
}

struct Ticks {
    count: f64,
    cpu: Duration,
    sent_p99: f64,
    arrived_p99: f64,
}

const PLAYERS: usize = 4;

async fn run(plan: &Plan, system: System, rooms: usize) -> anyhow::Result<Ticks> {
    let options = ticking(60, 200, false);
    let mut bare = options.clone();
    bare["one_thread"] = true.into(); // as rooms have one
    let mut server = Server::start(&plan.programs, system, 0, &bare).await?;
    let (mut crowd, mut ticks) = Crowd::with_ticks();
    for _ in 0..rooms {
        let room = server.open(&options).await?;
        server.fill(&room, PLAYERS, &mut crowd).await?;
    }
    // What has piled up while the last rooms were started.
    let start = Instant::now();
    while start.elapsed() < plan.time(Duration::from_secs(1)) {
        while ticks.try_recv().is_ok() {}
        sleep(Duration::from_millis(20)).await;
    }
    while ticks.try_recv().is_ok() {}
    let used = server.processor_time();
    sleep(plan.time(Duration::from_secs(5))).await;
    let cpu = server.processor_time() - used;
    let (mut sent, mut arrived) = (Vec::new(), Vec::new());
    while let Ok((until_sent, until_arrived)) = ticks.try_recv() {
        sent.push(until_sent as f64 / 1e3);
        arrived.push(until_arrived as f64 / 1e3);
    }
    Ok(Ticks {
        count: sent.len() as f64 / PLAYERS as f64,
        cpu,
        sent_p99: percentile(sent, 99),
        arrived_p99: percentile(arrived, 99),
    })
}
