//! The recipe that restarts the lobby on save: the real tool in a generated project.

use cluster::testing::{Client, ProcessStat, TestPlayer, eventually, is_alive};
use serde_json::json;

use crate::watch::Watch;

#[tokio::test]
async fn a_saved_file_restarts_the_lobby() {
    let watch = Watch::start();
    let first = watch.lobby(1).await;
    let mut ann = TestPlayer::register(&watch.url, "Ann").await;
    let mut room = ann.enter("play", json!({})).await;
    assert_eq!(hello(&mut room).await, "Ann says hello");
    let rooms = ProcessStat::children(first);
    assert!(!rooms.is_empty());

    // A room's code.
    watch.edit("src/room.rs", "{} says hello", "{} says hi");
    let second = watch.lobby(2).await;
    let old = rooms.iter().map(|room| room.pid).chain([first]);
    old.for_each(|old| assert!(!is_alive(old), "the old lobby or a room of it still runs"));
    // Her token is still good.
    assert_eq!(ann.back().await["you"]["name"], "Ann");
    let mut room = ann.enter("play", json!({})).await;
    assert_eq!(hello(&mut room).await, "Ann says hi");

    // The page alone.
    watch.edit("static/index.html", "Who are you?", "And you are?");
    let third = watch.lobby(3).await;
    assert_ne!(third, second);

    // A mistake, and its correction.
    watch.edit("src/room.rs", "{} says hi", "{} {} says hi");
    watch.says("could not compile", 1).await;
    watch.edit("src/room.rs", "{} {} says hi", "{} says good day");
    let fourth = watch.lobby(4).await;
    let mut room = ann.back_into("play", json!({})).await;
    assert_eq!(hello(&mut room).await, "Ann says good day");

    drop(watch);
    eventually("the lobby's end", || (!is_alive(fourth)).then_some(())).await;
}

async fn hello(room: &mut Client) -> String {
    room.ask("hello", json!({})).await.expect("an answer");
    room.event("greeting").await["text"].as_str().expect("a text").to_owned()
}
