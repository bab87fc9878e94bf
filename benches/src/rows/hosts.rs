//! What rooms cost their lobby: those that it runs itself, and those on hosts.

use std::time::Duration;

use tokio::time::sleep;

use super::Plan;
use crate::client::Crowd;
use crate::processes::{private_kib, processor_time};
use crate::programs::System::{Cluster, Hosts};
use crate::report::Figure;
use crate::servers::{Server, idle};

/// In each room.
const PLAYERS: usize = 8;

/// The lobby's own process: with one room, while others fill, and while their players stay there.
pub async fn lobby(plan: &Plan) -> anyhow::Result<Vec<Figure>> {
    let (rooms, time) = (plan.count(250), plan.time(Duration::from_secs(10)));
    let filled = format!("{rooms} rooms of {PLAYERS} players");
    let mut one = Figure::less("lobby with one room, CPU of a second", "ms");
    let mut full = Figure::less(format!("lobby with {filled}, CPU of a second"), "ms");
    let mut visit = Figure::less("CPU of the lobby for a visit, until in a room", "ms");
    let mut memory = Figure::less(format!("lobby, memory of a room of {PLAYERS}"), "KiB");
    for turn in plan.turns(&[Cluster, Hosts]) {
        for system in turn {
            let mut server = Server::start(&plan.programs, system, 0, &idle(false)).await?;
            let mut crowd = Crowd::new();
            // The first room also pays for what is made once.
            let room = server.open(&idle(false)).await?;
            server.fill(&room, PLAYERS, &mut crowd).await?;
            let lobby = server.pid();
            let second = async || {
                let used = processor_time(&[lobby]);
                sleep(time).await;
                (processor_time(&[lobby]) - used).as_secs_f64() * 1e3 / time.as_secs_f64()
            };
            one.add(system, second().await);
            let (used, before) = (processor_time(&[lobby]), private_kib(lobby)?);
            for _ in 0..rooms {
                let room = server.open(&idle(false)).await?;
                server.fill(&room, PLAYERS, &mut crowd).await?;
            }
            let used = processor_time(&[lobby]) - used;
            visit.add(system, used.as_secs_f64() * 1e3 / (rooms * PLAYERS) as f64);
            memory.add(system, (private_kib(lobby)? - before) / rooms as f64);
            full.add(system, second().await);
        }
    }
    Ok(vec![one, visit, full, memory])
}
