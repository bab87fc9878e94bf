//! Connections to the lobby.

use futures_util::future::try_join_all;
use tokio::time::Instant;

use super::Plan;
use crate::client::Crowd;
use crate::processes::private_kib;
use crate::programs::System::{Bare, Cluster, Floor, Node};
use crate::report::Figure;
use crate::servers::{Server, idle};

/// The memory of a registered player's connection.
pub async fn in_the_lobby(plan: &Plan) -> anyhow::Result<Vec<Figure>> {
    let mut figure = Figure::less("memory of a connection in the lobby", "KiB");
    let count = plan.count(1000);
    for turn in plan.turns(&[Cluster, Node, Bare, Floor]) {
        for system in turn {
            let server = Server::start(&plan.programs, system, 0, &idle(false)).await?;
            let mut crowd = Crowd::new();
            // The first ones also pay for what is made once.
            for _ in 0..count / 10 {
                crowd.add(server.register().await?.0);
            }
            server.settle().await?;
            let before = private_kib(server.pid())?;
            for _ in 0..count {
                crowd.add(server.register().await?.0);
            }
            server.settle().await?;
            figure.add(system, (private_kib(server.pid())? - before) / count as f64);
        }
    }
    Ok(vec![figure])
}

/// Connections of players who have a token, 32 at a time, each closed when it is welcome.
pub async fn connect(plan: &Plan) -> anyhow::Result<Vec<Figure>> {
    let mut figure = Figure::more("connections with a token (bare: without)", "a second");
    let count = plan.count(4000);
    for turn in plan.turns(&[Cluster, Node, Bare, Floor]) {
        for system in turn {
            let server = Server::start(&plan.programs, system, 0, &idle(false)).await?;
            let mut tokens = Vec::new();
            for _ in 0..count.min(500) {
                tokens.push(server.register().await?.1);
            }
            server.settle().await?;
            let (start, at_once) = (Instant::now(), count.min(32));
            let visits = (0..at_once).map(async |visitor| {
                let theirs = tokens.iter().skip(visitor).step_by(at_once).cycle();
                for token in theirs.take(count / at_once) {
                    server.visit(Some(&**token).filter(|token| !token.is_empty())).await?;
                }
                anyhow::Ok(())
            });
            try_join_all(visits).await?;
            let done = count / at_once * at_once;
            figure.add(system, done as f64 / start.elapsed().as_secs_f64());
        }
    }
    Ok(vec![figure])
}
