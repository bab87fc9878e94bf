//! One room with many players.

use std::time::Duration;

use super::Plan;
use crate::client::Crowd;
use crate::processes::{private_kib, processor_time};
use crate::programs::System;
use crate::programs::System::{Bare, Cluster, Colyseus, Floor, Hosts, Node, Relayed};
use crate::report::Figure;
use crate::servers::{Room, Server, idle};

/// Players, and whether nobody is told who joins.
const FILLS: [(usize, bool); 3] = [(125, false), (1000, false), (1000, true)];

/// A room fills: the processor time of a join, and the memory of a connection. Of the room's
/// process alone, if it has one.
pub async fn fill(plan: &Plan) -> anyhow::Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (players, quiet) in FILLS {
        let players = plan.count(players);
        let how = if quiet { "announced to nobody" } else { "announced to all" };
        let mut joins =
            Figure::less(format!("CPU of a join, a room that fills to {players}, {how}"), "ms");
        let mut memory =
            Figure::less(format!("memory of a connection, in a room of {players}, {how}"), "KiB");
        for turn in plan.turns(&[Cluster, Node, Colyseus]) {
            for system in turn {
                let mut server = Server::start(&plan.programs, system, 0, &idle(false)).await?;
                let room = server.open(&idle(quiet)).await?;
                server.settle().await?;
                let (used, before) = (processor_time(&[room.pid]), private_kib(room.pid)?);
                let mut crowd = Crowd::new();
                server.fill(&room, players, &mut crowd).await?;
                server.settle().await?;
                let used = processor_time(&[room.pid]) - used;
                joins.add(system, used.as_secs_f64() * 1e3 / players as f64);
                memory.add(system, (private_kib(room.pid)? - before) / players as f64);
            }
        }
        figures.push(joins);
        // So few show little but what is made once.
        if players > plan.count(125) {
            figures.push(memory);
        }
    }
    Ok(figures)
}

/// Round trips: each player sends one request after the other.
pub async fn echo(plan: &Plan) -> anyhow::Result<Vec<Figure>> {
    let time = plan.time(Duration::from_secs(2));
    let systems = [Cluster, Relayed, Hosts, Node, Colyseus, Bare, Floor];
    let mut figures = Vec::new();
    for players in [100, 1000] {
        let players = plan.count(players);
        let mut figure = Figure::more(format!("echo, {players} clients"), "k/s");
        let mut open = Vec::new();
        for system in systems.into_iter().filter(|system| plan.programs.has(*system)) {
            open.push((system, Hall::open(plan, system, players).await?));
        }
        let mut held = Hall::open(plan, Cluster, players).await?;
        let (leaver, _) = held.server.join(Some(&held.room)).await?;
        drop(leaver);
        held.server.settle().await?;
        let mut with_seat =
            Figure::more(format!("the same, {players} clients, a seat held for one more"), "k/s");
        for turn in plan.turns(&systems) {
            for system in turn {
                let (_, hall) = open.iter_mut().find(|(of, _)| *of == system).expect("opened");
                figure.add(system, hall.crowd.echo_for(time).await? / 1e3);
            }
            with_seat.add(Cluster, held.crowd.echo_for(time).await? / 1e3);
        }
        figures.extend([figure, with_seat]);
    }
    Ok(figures)
}

/// A server with one room and its players.
struct Hall {
    server: Server,
    room: Room,
    crowd: Crowd,
}

impl Hall {
    async fn open(plan: &Plan, system: System, players: usize) -> anyhow::Result<Hall> {
        let mut server = Server::start(&plan.programs, system, 0, &idle(true)).await?;
        let room = server.open(&idle(true)).await?;
        let mut crowd = Crowd::new();
        server.fill(&room, players, &mut crowd).await?;
        server.settle().await?;
        Ok(Hall { server, room, crowd })
    }
}
