//! A panic in a hook of a room: it ends the room in order, or only the hook, by setting.

use cluster::testing::{Client, LobbyProcess, TestPlayer, eventually};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::common::start_game;

/// The hooks of a room that can panic while Ann is in it.
const HOOKS: [&str; 16] = [
    "on_request",
    "on_binary",
    "on_admit",
    "snapshot",
    "on_join",
    "on_disconnect",
    "on_reconnect",
    "on_leave",
    "on_tick",
    "on_lobby_message",
    "on_drain",
    "timer",
    "compute",
    "spawn",
    "future",
    "later",
];

/// A room in which Ann is and a hook panics because of Eve.
struct Story {
    cluster: LobbyProcess,
    boss: TestPlayer,
    ann: TestPlayer,
    anns: Client,
    eve: TestPlayer,
    /// She stays until somebody has seen what comes of it.
    eves: Option<Client>,
    room: Value,
}

impl Story {
    async fn begin(hook: &str, flags: &[&str]) -> Story {
        let cluster = start_game(&[flags, &["--stop-timeout", "60s"]].concat()).await;
        let (boss, mut ann) = (cluster.player("Boss").await, cluster.player("Ann").await);
        let options = json!({ "panics": hook, "grace_ms": 60_000 });
        let mut anns = ann.enter("create", json!({ "options": options })).await;
        let room = anns.event("joined").await["room"].take();
        let eve = cluster.player("Eve").await;
        Story { cluster, boss, ann, anns, eve, eves: None, room }
    }

    /// Does what calls the hook. What Eve was answered, if she waits for it.
    async fn provoke(&mut self, hook: &str) -> Option<Value> {
        let room = json!({ "room": self.room });
        match hook {
            "on_admit" => return Some(self.eve.lobby().ask_raw(json!(["join", room])).await),
            "on_lobby_message" => {
                let told = json!({ "room": self.room, "text": "hello" });
                self.boss.ask("tell", told).await.expect("its room");
                return None;
            }
            "on_drain" => {
                self.boss.ask("close", room).await.expect("its room");
                return None;
            }
            _ => {}
        }
        let mut eves = self.eve.enter("join", room).await;
        match hook {
            "on_leave" | "on_disconnect" => {
                if hook == "on_leave" {
                    eves.leave().await;
                }
                return None;
            }
            "on_request" => return Some(eves.ask_raw(json!(["panic", {}])).await),
            "on_binary" => return Some(eves.ask_binary(b"bytes").await),
            "later" => return Some(eves.ask_raw(json!(["panic_later", { "from": hook }])).await),
            "timer" | "compute" | "spawn" | "future" => {
                eves.emit("panic_later", json!({ "from": hook }));
            }
            "on_tick" => eves.emit("tick_rate", json!({ "hz": 10 })),
            "on_reconnect" => {
                drop(eves);
                self.anns.event("player_disconnected").await;
                // On arrival she is sent back by herself.
                self.eve.back().await;
                let reroute = self.eve.rerouted().await;
                eves = self.eve.take(&reroute).await;
            }
            "on_join" | "snapshot" => {}
            _ => panic!("nobody has said how to call {hook}"),
        }
        self.eves = Some(eves);
        None
    }
}

/// What the log calls the hook.
fn in_the_log(hook: &str) -> &str {
    match hook {
        "compute" | "spawn" | "future" | "later" => "spawned work",
        _ => hook,
    }
}

#[tokio::test]
async fn a_panic_in_any_hook_may_end_only_the_hook() {
    for hook in HOOKS {
        let mut story = Story::begin(hook, &["--on-room-panic", "continue"]).await;
        let answer = story.provoke(hook).await;
        if let Some(answer) = answer {
            assert_eq!(answer["error"]["code"], "internal", "{hook}");
        }
        let text = format!("a hook panicked hook=\"{}\" panic=\"as asked\"", in_the_log(hook));
        let line = story.cluster.logged(&text).await;
        assert_eq!((&line["room"], &line["level"]), (&story.room, &json!("ERROR")));
        assert_eq!(story.anns.ask("echo", json!({ "n": 1 })).await, Ok(json!(1)), "{hook}");
        assert_eq!(story.cluster.count("room crashed"), 0);
    }
}

#[tokio::test]
async fn a_panic_in_any_hook_ends_the_room_and_everybody_knows_why() {
    for hook in HOOKS {
        let mut story = Story::begin(hook, &[]).await;
        story.provoke(hook).await;
        let reroute = json!({ "to": "lobby", "reason": { "code": "crashed" } });
        assert_eq!(story.anns.event("reroute").await, reroute, "{hook}");
        assert!(story.anns.end().await, "the room hangs up in order");
        let returned = json!({ "room": story.room, "reason": { "code": "crashed" } });
        assert_eq!(story.ann.back().await["returned"], returned, "{hook}");
        let exited = json!({ "room": story.room, "how": "crashed", "winner": null });
        assert_eq!(story.boss.lobby().event("exited").await, exited);
        let line = story.cluster.logged("room crashed").await;
        assert_eq!(line["what"], format!("{} panicked: as asked", in_the_log(hook)));
        assert_eq!(story.boss.ask("list", json!({})).await, Ok(json!([])));
    }
}

#[tokio::test]
async fn a_panic_in_the_last_hook_is_a_crash_or_none() {
    for (flags, how) in [(&[][..], "crashed"), (&["--on-room-panic", "continue"][..], "finished")] {
        let mut story = Story::begin("on_dispose", flags).await;
        story.anns.emit("finish", json!({ "winner": "Ann" }));
        assert_eq!(story.boss.lobby().event("exited").await["how"], how);
    }
}

#[tokio::test]
async fn a_panic_counts_also_while_a_computation_goes_on() {
    let mut story = Story::begin("", &[]).await;
    story.anns.emit("compute", json!({ "n": 1, "ms": 60_000 }));
    story.anns.emit("panic", json!({}));
    assert_eq!(story.boss.lobby().event("exited").await["how"], "crashed");
}

#[tokio::test]
async fn why_a_room_could_not_open_is_in_the_log() {
    let cluster = start_game(&[]).await;
    let mut ann = cluster.player("Ann").await;
    let refused = ann.ask("create", json!({ "options": { "opening": "panic" } })).await;
    assert_eq!(refused, Err("room_gone".into()));
    let line = cluster.logged("room crashed").await;
    assert_eq!(line["what"], "on_open panicked: as asked");
}

#[tokio::test]
async fn a_future_of_the_lobby_that_panics_harms_nobody() {
    let mut cluster = start_game(&[]).await;
    let mut ann = cluster.player("Ann").await;
    ann.ask("panic_later", json!({ "from": "future" })).await.expect("given away");
    let refused = ann.ask("panic_later", json!({ "from": "later" })).await;
    assert_eq!(refused, Err("internal".into()));
    eventually("both are in the log", || (cluster.count("a hook panicked") == 2).then_some(()))
        .await;
    ann.enter("create", json!({})).await;
    cluster.signal(Signal::TERM);
    assert_eq!(cluster.ended().await.code(), Some(0));
}
