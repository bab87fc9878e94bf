//! NATS dies, in part or as a whole: nothing that runs stops.

use std::env;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use cluster::testing::{Client, TestFolder, eventually};
use futures_util::FutureExt as _;

use super::nats::{Lobby, Nats, assert_undisturbed, host, in_a_room, wait};
use crate::common::hosts::HostProcess;

/// How long all of NATS is away: `AWAY=60` for a minute.
fn away() -> Vec<u64> {
    let longer = env::var("AWAY").ok().and_then(|seconds| seconds.parse().ok());
    [2, 9].into_iter().chain(longer).collect()
}

/// Two lobbies with a host, and a player in a room.
struct Pair {
    lobbies: [Lobby; 2],
    host: HostProcess,
    client: Client,
    /// Of their keys.
    _folder: Arc<TestFolder>,
}

impl Pair {
    async fn start(nats: &Nats) -> Pair {
        let folder = TestFolder::new();
        let host = host(&folder, &[]).await;
        let a = Lobby::start(&folder, "a", &nats.urls(), &host.link).await;
        a.is_active().await;
        let b = Lobby::start(&folder, "b", &nats.urls(), &host.link).await;
        let (_, client) = in_a_room(&a, &host, "Ann").await;
        Pair { lobbies: [a, b], host, client, _folder: folder }
    }

    /// One lobby is active, and takes joins; the other stands by or has been superseded.
    async fn goes_on(&mut self) {
        assert_undisturbed(&mut self.client).await;
        let joined = AssertUnwindSafe(self.joins()).catch_unwind().await;
        if joined.is_err() {
            self.joins().await; // the other lobby took over just then
        }
        assert_eq!(self.host.rooms().len().min(2), 2);
    }

    async fn joins(&mut self) {
        let lobbies = &mut self.lobbies;
        let active = || {
            let mut active = lobbies.iter_mut().filter_map(|lobby| {
                (lobby.runs() && lobby.count("lobby ready") > 0).then_some(lobby.url.clone())
            });
            let url = active.next()?;
            active.next().is_none().then_some(url)
        };
        let url = eventually("one active lobby", active).await;
        let lobby = self.lobbies.iter().find(|lobby| lobby.url == url).expect("it is one of them");
        let (_, mut client) = in_a_room(lobby, &self.host, "Bob").await;
        assert_undisturbed(&mut client).await;
    }
}

#[tokio::test]
async fn while_all_of_nats_is_away_rooms_and_joins_go_on_and_nobody_takes_over() {
    let mut nats = Nats::start(1).await;
    let mut pair = Pair::start(&nats).await;
    for seconds in away() {
        nats.kill_all();
        wait(seconds).await;
        pair.goes_on().await;
        nats.start_all().await;
        wait(6).await; // the standby could take over now
        pair.goes_on().await;
        assert_eq!(pair.lobbies[1].count("lobby ready"), 0, "after {seconds} s");
    }
}

#[tokio::test]
async fn when_the_leader_of_three_servers_dies_rooms_and_joins_go_on() {
    let mut nats = Nats::start(3).await;
    let mut pair = Pair::start(&nats).await;
    for nth in 0..3 {
        nats.kill(nth);
        for _ in 0..4 {
            wait(2).await;
            pair.goes_on().await;
        }
        nats.start_all().await;
        wait(3).await;
        pair.goes_on().await;
    }
}

#[tokio::test]
async fn when_nats_has_lost_its_data_rooms_and_joins_go_on() {
    let mut nats = Nats::start(1).await;
    let mut pair = Pair::start(&nats).await;
    nats.kill_all();
    nats.lose_data();
    nats.start_all().await;
    for _ in 0..5 {
        wait(2).await;
        pair.goes_on().await;
    }
}
