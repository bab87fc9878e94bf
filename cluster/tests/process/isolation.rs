//! Isolation: a faulty room harms neither the lobby nor other rooms.

use cluster::testing::{Client, LobbyProcess, TestPlayer, soon};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::common::{NO_RATE_LIMITS, start_game, start_game_with};

/// Ann and Bob are in different rooms; a boss in the lobby is told how they end.
struct Story {
    cluster: LobbyProcess,
    boss: TestPlayer,
    ann: TestPlayer,
    anns: Client,
    bobs: Client,
    room: Value,
}

impl Story {
    async fn begin(flags: &[&str]) -> Story {
        let cluster = start_game(flags).await;
        let (boss, mut ann) = (cluster.player("Boss").await, cluster.player("Ann").await);
        let mut anns = ann.enter("create", json!({})).await;
        let room = anns.event("joined").await["room"].take();
        let bobs = cluster.player("Bob").await.enter("create", json!({})).await;
        Story { cluster, boss, ann, anns, bobs, room }
    }

    /// Ann's room ends and Ann is told why; Bob's room runs on. Returns the text for the operator.
    async fn crashes(&mut self) -> String {
        let exited = json!({ "room": self.room, "how": "crashed", "winner": null });
        assert_eq!(self.boss.lobby().event("exited").await, exited);
        let returned = json!({ "room": self.room, "reason": { "code": "crashed" } });
        assert_eq!(self.ann.back().await["returned"], returned);
        self.others_play().await;
        let line = self.cluster.logged("room crashed").await;
        line["what"].as_str().expect("a text").to_owned()
    }

    async fn others_play(&mut self) {
        assert_eq!(self.bobs.ask("echo", json!({ "n": 1 })).await, Ok(json!(1)));
        assert_eq!(self.boss.ask("seat_of", json!({})).await, Ok(Value::Null));
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_room_over_its_memory_limit_crashes_alone() {
    // Allocating takes time and must not be mistaken for a hang.
    let flags = ["--room-memory", "128m", "--heartbeat-timeout", "60s"];
    let mut story = Story::begin(&flags).await;
    story.anns.emit("hog", json!({}));
    let what = story.crashes().await;
    assert!(what.starts_with("aborted: memory allocation of "), "{what}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn child_processes_of_a_room_inherit_its_memory_limit_and_oom_score() {
    let mut story = Story::begin(&["--room-memory", "128m"]).await;
    let limits = story.anns.ask("limits_of_others", json!({})).await.expect("a shell");
    assert_eq!(limits, "131072\n500\n");
}

#[tokio::test]
async fn a_room_that_aborts_crashes_alone() {
    let mut story = Story::begin(&[]).await;
    story.anns.emit("abort", json!({}));
    assert!(story.crashes().await.starts_with("aborted: "));
}

#[tokio::test]
async fn a_room_that_segfaults_crashes_alone() {
    let mut story = Story::begin(&[]).await;
    story.anns.emit("segfault", json!({}));
    assert_eq!(story.crashes().await, "killed by signal 11");
}

#[tokio::test]
async fn a_room_that_overflows_its_stack_crashes_alone() {
    let mut story = Story::begin(&[]).await;
    story.anns.emit("overflow", json!({}));
    let what = story.crashes().await;
    assert!(what.starts_with("aborted: ") && what.contains("stack overflow"), "{what}");
}

#[tokio::test]
async fn a_room_that_misses_the_ready_timeout_is_killed_and_a_slow_one_is_not() {
    let cluster = start_game(&["--ready-timeout", "2s"]).await;
    let mut ann = cluster.player("Ann").await;
    let late = json!({ "options": { "opening": { "late": { "ms": 3_000 } } } });
    assert_eq!(ann.ask("create", late).await, Err("no_room".into()));
    assert_eq!(ann.lobby().event("exited").await["how"], "never became ready");
    assert_eq!(cluster.count("room ready"), 0);
    let in_time = json!({ "options": { "opening": { "late": { "ms": 500 } } } });
    ann.enter("create", in_time).await;
}

#[tokio::test]
async fn invalid_frames_on_its_channel_end_only_the_room_itself() {
    for (fault, how) in [
        ("garbage", "crashed"),
        ("unknown", "crashed"),
        ("oversized", "crashed"),
        ("endless", "crashed"),
        ("half", "hung"),
        ("end", "crashed"),
    ] {
        let fault = format!("channel: {fault}");
        let environment = [("FAULTY", &*fault), ("FAULTY_ROOM", "1")];
        let flags = ["--pool", "0", "--heartbeat", "500ms", "--heartbeat-timeout", "2s"];
        let cluster = start_game_with(&flags, &environment).await;
        let (mut ann, mut boss) = (cluster.player("Ann").await, cluster.player("Boss").await);
        let room = boss.ask("open", json!({})).await.expect("a room");
        let mut bobs = cluster.player("Bob").await.enter("create", json!({})).await;
        assert_eq!(ann.ask("join", json!({ "room": room })).await, Err("room_gone".into()));
        let exited = json!({ "room": room, "how": how, "winner": null });
        assert_eq!(boss.lobby().event("exited").await, exited, "{fault}");
        assert_eq!(bobs.ask("echo", json!({ "n": 1 })).await, Ok(json!(1)), "{fault}");
        assert_eq!(ann.ask("seat_of", json!({})).await, Ok(Value::Null));
    }
}

#[tokio::test]
async fn a_room_that_does_not_read_its_channel_is_killed_when_its_queue_is_full() {
    // A long timeout, so that the full queue is noticed before the missing heartbeats.
    let patient = ["--heartbeat-timeout", "60s"];
    for (times, bytes) in [(5_000, 10), (160, 60_000)] {
        let mut story = Story::begin(&patient).await;
        story.cluster.signal_room(&story.room, Signal::STOP).await;
        let told = json!({ "room": story.room, "times": times, "bytes": bytes });
        story.boss.ask("tell_much", told).await.expect("it is not the lobby's fault");
        let exited = json!({ "room": story.room, "how": "hung", "winner": null });
        assert_eq!(story.boss.lobby().event("exited").await, exited);
        story.cluster.logged("room hung and was killed").await;
        assert_eq!(story.cluster.count("a room does not read its channel"), 1, "said once");
        story.others_play().await;
    }
}

#[tokio::test]
async fn a_room_that_reads_its_channel_receives_large_bursts() {
    let flags = [&["--heartbeat-timeout", "60s"], &NO_RATE_LIMITS[..]].concat();
    let cluster = start_game(&flags).await;
    let (mut ann, mut boss) = (cluster.player("Ann").await, cluster.player("Boss").await);
    let room = boss.ask("open", json!({})).await.expect("a room");
    let told = json!({ "room": room, "times": 100, "bytes": 60_000 });
    boss.ask("tell_much", told).await.expect("its room");
    // Until it has read half of that, it gets no players.
    let join =
        async { while ann.ask("join", json!({ "room": room })).await == Err("too_fast".into()) {} };
    soon("a room that can take players", join).await;
    ann.rerouted().await;
    assert_eq!(cluster.count("a room does not read its channel"), 0);
}
