//! Rooms that die, hang or never open: players are told, seats are freed, and other rooms run on.

use cluster::testing::{Client, LobbyProcess, TestPlayer};
use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};

use crate::common::start_game;

/// A hung room is noticed within two seconds; a room that is not hung must never count as one.
const QUICK: [&str; 4] = ["--heartbeat", "200ms", "--heartbeat-timeout", "2s"];

/// Ann is in a room; a boss in the lobby is told how it ends.
struct Story {
    cluster: LobbyProcess,
    boss: TestPlayer,
    ann: TestPlayer,
    room: Value,
    client: Client,
}

impl Story {
    async fn begin(flags: &[&str]) -> Story {
        let cluster = start_game(flags).await;
        let (boss, mut ann) = (cluster.player("Boss").await, cluster.player("Ann").await);
        let mut client = ann.enter("create", json!({})).await;
        let room = client.event("joined").await["room"].take();
        Story { cluster, boss, ann, room, client }
    }

    async fn signal(&self, signal: Signal) {
        kill_process(self.cluster.process_of(&self.room).await, signal).expect("it runs");
    }

    /// Ann is disconnected, returns and is told why; seat and room are gone, and others can play.
    async fn ends(mut self, how: &str) {
        assert!(!self.client.end().await, "no room says that it dies");
        let returned = json!({ "room": self.room, "reason": { "code": how } });
        assert_eq!(self.ann.back().await["returned"], returned);
        assert_eq!(self.ann.ask("seat_of", json!({})).await, Ok(Value::Null));
        let exited = json!({ "room": self.room, "how": how, "winner": null });
        assert_eq!(self.boss.lobby().event("exited").await, exited);
        assert_eq!(self.boss.ask("list", json!({})).await, Ok(json!([])));
        self.ann.enter("create", json!({})).await;
    }
}

#[tokio::test]
async fn a_killed_room_has_crashed() {
    let story = Story::begin(&[]).await;
    story.signal(Signal::KILL).await;
    story.ends("crashed").await;
}

#[tokio::test]
async fn a_room_that_exits_by_itself_has_crashed() {
    let story = Story::begin(&[]).await;
    story.client.emit("exit", json!({}));
    story.ends("crashed").await;
}

#[tokio::test]
async fn a_room_in_an_endless_loop_is_hung() {
    let story = Story::begin(&QUICK).await;
    story.client.emit("spin", json!({}));
    story.ends("hung").await;
}

#[tokio::test]
async fn a_room_that_is_stopped_is_hung() {
    let story = Story::begin(&QUICK).await;
    story.signal(Signal::STOP).await;
    story.ends("hung").await;
}

#[tokio::test]
async fn a_busy_room_is_not_hung() {
    let mut story = Story::begin(&QUICK).await;
    // All hooks together take longer than the heartbeat timeout; no single hook does.
    (0..120).for_each(|_| story.client.emit("block", json!({ "ms": 30 })));
    assert_eq!(story.client.ask("echo", json!({ "n": 1 })).await, Ok(json!(1)));
}

#[tokio::test]
async fn a_room_that_dies_harms_no_other() {
    let mut story = Story::begin(&QUICK).await;
    let mut bob = story.cluster.player("Bob").await;
    let mut bobs = bob.enter("create", json!({})).await;
    story.client.emit("spin", json!({}));
    // The lobby and the other room answer while this one hangs and after it is gone.
    assert_eq!(story.boss.ask("seat_of", json!({})).await, Ok(Value::Null));
    assert_eq!(bobs.ask("echo", json!({ "n": 1 })).await, Ok(json!(1)));
    assert_eq!(story.boss.lobby().event("exited").await["room"], story.room);
    assert_eq!(bobs.ask("echo", json!({ "n": 2 })).await, Ok(json!(2)));
}

#[tokio::test]
async fn a_running_computation_does_not_delay_the_end_of_its_room() {
    let mut story = Story::begin(&[]).await;
    story.client.ask("compute", json!({ "n": 1, "ms": 60_000 })).await.expect("given away");
    story.client.emit("finish", json!({ "winner": "Ann" }));
    let exited = json!({ "room": story.room, "how": "finished", "winner": "Ann" });
    assert_eq!(story.boss.lobby().event("exited").await, exited);
}

/// Ann asks for a room that opens like this. Returns the refusal's code and how the room ended.
async fn opens(opening: &str, flags: &[&str]) -> (String, String) {
    let cluster = start_game(flags).await;
    let mut ann = cluster.player("Ann").await;
    let refused = ann.ask("create", json!({ "options": { "opening": opening } })).await;
    let exited = ann.lobby().event("exited").await;
    assert_eq!(ann.ask("seat_of", json!({})).await, Ok(Value::Null));
    assert_eq!(ann.ask("list", json!({})).await, Ok(json!([])));
    ann.enter("create", json!({})).await;
    (refused.expect_err("no room"), exited["how"].as_str().expect("a reason").to_owned())
}

#[tokio::test]
async fn a_request_for_a_room_that_never_becomes_ready_is_refused() {
    let (code, how) = opens("never", &["--ready-timeout", "2s"]).await;
    assert_eq!((&*code, &*how), ("no_room", "never became ready"));
}

#[tokio::test]
async fn a_request_for_a_room_that_hangs_in_on_open_is_refused() {
    // A long ready timeout, so that the missing heartbeats are noticed first.
    let flags = [&QUICK[..], &["--ready-timeout", "20s"]].concat();
    let (code, how) = opens("spin", &flags).await;
    assert_eq!((&*code, &*how), ("room_gone", "hung"));
}

#[tokio::test]
async fn a_request_for_a_room_that_panics_in_on_open_is_refused() {
    let (code, how) = opens("panic", &[]).await;
    assert_eq!((&*code, &*how), ("room_gone", "crashed"));
}

#[tokio::test]
async fn a_request_for_a_room_that_refuses_to_open_gets_its_refusal() {
    let cluster = start_game(&[]).await;
    let mut ann = cluster.player("Ann").await;
    let options = json!({ "opening": "refuse" });
    let answer = ann.lobby().ask_raw(json!(["create", { "options": options }])).await;
    assert_eq!(answer, json!({ "error": { "code": "no_mood", "message": "Not today." } }));
    assert_eq!(ann.lobby().event("exited").await["how"], "never became ready");
    // Without a request to answer, the refusal is sent as an event.
    ann.lobby().emit("create", json!({ "options": options }));
    let refused = json!({ "event": "create", "code": "no_mood", "message": "Not today." });
    assert_eq!(ann.lobby().event("refused").await, refused);
}
