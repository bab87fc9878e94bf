//! Hosts that are found by NATS.

use cluster::testing::{Signal, TestFolder, eventually};

use super::nats::{Lobby, Nats, assert_undisturbed, host, in_a_room};
use crate::common::hosts::HostProcess;

#[tokio::test]
async fn hosts_that_tell_nats_where_they_are_are_found_and_stay_while_it_is_away() {
    let (mut nats, folder) = (Nats::start(1).await, TestFolder::new());
    let lease = nats.urls();
    let first = host(&folder, &["--lease", &lease]).await;
    let lobby = Lobby::start(&folder, "a", &lease, "nats").await;
    let has_logged = async |message: &str, count: usize| {
        eventually(message, || (lobby.count(message) >= count).then_some(())).await;
    };
    lobby.is_active().await;
    let (_, mut anns) = in_a_room(&lobby, &first, "Ann").await;

    let second = HostProcess::start(&folder, "h2", &["--lease", &lease]).await;
    has_logged("host linked", 2).await;
    second.signal(Signal::KILL);
    has_logged("host lost", 1).await;

    nats.kill_all();
    let failed = "cannot reach a host; trying again";
    has_logged(failed, lobby.count(failed) + 1).await;
    assert_undisturbed(&mut anns).await;
    let (_, mut bobs) = in_a_room(&lobby, &first, "Bob").await;
    assert_undisturbed(&mut bobs).await;

    // The same name at another address.
    nats.start_all().await;
    let _next = HostProcess::start(&folder, "h2", &["--lease", &lease]).await;
    has_logged("host linked", 3).await;
    assert_undisturbed(&mut anns).await;
    assert_eq!(first.count("lobby linked"), 1);
}
