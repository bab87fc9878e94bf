//! The placeholders of this example: a hello, and hooks that log their calls. Delete this file with
//! them.

use std::time::Duration;

use app::messages::{Options, ToLobby, ToRoom};
use app::room::Game;
use cluster::testing::{LobbyProcess, Signal, TestRoom, eventually};
use serde_json::{Value, json};

async fn start(flags: &[&str]) -> LobbyProcess {
    LobbyProcess::start(env!("CARGO_BIN_EXE_server"), flags).await
}

#[test]
fn everyone_hears_hello_and_so_does_the_lobby() {
    let mut room = TestRoom::<Game>::open(Options::default(), 2, 7).expect("a room");
    let (ann, bob) = (room.join("Ann").expect("a seat"), room.join("Bob").expect("a seat"));
    room.emit(&ann, "hello", json!({})).expect("it is polite");
    let greeting = json!({ "text": "Ann says hello" });
    assert_eq!(room.last(&ann, "greeting"), Some(&greeting));
    assert_eq!(room.last(&bob, "greeting"), Some(&greeting));
    room.advance(Duration::from_millis(50)); // between two syncs
    assert_eq!(room.state(&bob).expect("a state")["hellos"], 1);
    let told = room.told_lobby();
    assert!(matches!(&told[..], [ToLobby::Hello { from }] if from == "Ann"), "{told:?}");
    room.tell(ToRoom::Hellos(1));
}

#[tokio::test]
async fn two_players_meet_and_hear_each_other() {
    let lobby = start(&["--seats", "2"]).await;
    let (mut ann, mut bob) = (lobby.player("Ann").await, lobby.player("Bob").await);
    let mut visitor = lobby.visitor().await;
    let mut anns = ann.enter("play", json!({})).await;
    let mut bobs = bob.enter("play", json!({})).await;
    let room = anns.event("joined").await["room"].take();
    assert_eq!(bobs.event("joined").await["room"], room);
    anns.ask("hello", json!({})).await.expect("it is polite");
    assert_eq!(bobs.event("greeting").await, json!({ "text": "Ann says hello" }));
    let news = format!("Ann says hello in {}", room.as_str().expect("an id"));
    assert_eq!(visitor.event("news").await, json!({ "text": news }));
    // The room's own number, which joining pages are sent as well; the lobby's is for all rooms.
    anns.event_where("room_state", |event| event["state"]["hellos"] == 1).await;
    let (status, hellos) = lobby.http("GET", "/hellos").await;
    assert!(status == 200 && hellos.ends_with("\r\n\r\n1"), "{hellos}");
}

/// All but `on_tick`: no rate is set.
#[tokio::test]
async fn every_hook_is_called_in_the_course_of_a_players_life() {
    let mut lobby = start(&[]).await;
    let mut ann = lobby.player("Ann").await;
    ann.ask("wave", json!({})).await.expect("it is polite");
    assert_eq!(ann.lobby().event("news").await, json!({ "text": "Ann waves" }));
    let _ = ann.ask("watch_players", json!({})).await; // refused, until you allow it
    let mut room = ann.enter("play", json!({})).await;
    called("lobby", "on_leave", 1, &lobby).await;
    called("lobby", "on_player_joined", 1, &lobby).await;
    room.ask("hello", json!({})).await.expect("it is polite");
    called("room", "on_lobby_message", 1, &lobby).await;
    assert_eq!(room.ask_binary(&[1, 2, 3]).await["error"]["code"], "unknown_event");

    // In another window: the lobby knows of her seat and reroutes her to it.
    ann.back().await;
    let reroute = ann.rerouted().await;
    let another = ann.take(&reroute).await;
    called("lobby", "on_leave", 2, &lobby).await;
    drop(another);
    called("room", "on_leave", 1, &lobby).await;
    ann.back().await;
    called("lobby", "on_arrive", 3, &lobby).await;

    lobby.signal(Signal::HUP);
    called("lobby", "on_room_adopted", 1, &lobby).await;
    lobby.signal(Signal::TERM);
    assert!(lobby.ended().await.success());
    called("lobby", "on_room_exit", 1, &lobby).await;
    called("room", "on_dispose", 1, &lobby).await;
    let by_the_lobby = "limits on_start routes cross_origin_routes on_register on_arrive on_request \
        on_watch_players pick on_room_ready on_leave on_player_joined on_room_message \
        on_player_left on_room_adopted on_stop on_room_exit";
    // A player leaves the lobby and joins the room at the same time.
    let called = in_order(hooks("lobby", &lobby));
    let called = called.replace("on_player_joined on_leave", "on_leave on_player_joined");
    assert_eq!(called, by_the_lobby);
    let by_the_room = "on_open on_admit state snapshot on_join on_request on_lobby_message on_binary \
        on_reconnect on_disconnect on_leave on_drain on_dispose";
    assert_eq!(in_order(hooks("room", &lobby)), by_the_room);
}

/// Waits until this hook has been called this many times.
async fn called(by: &str, name: &str, times: usize, lobby: &LobbyProcess) {
    let count = || hooks(by, lobby).iter().filter(|hook| *hook == name).count();
    eventually(name, || (count() >= times).then_some(())).await;
}

/// The hooks that the lobby or a room has logged.
fn hooks(by: &str, lobby: &LobbyProcess) -> Vec<String> {
    let hook = |line: Value| {
        let name = line["message"].as_str()?.split(' ').next()?.to_owned();
        let target = line["target"].as_str()?;
        // The lobby's log contains the rooms' output.
        let caller = if target.starts_with("app::") { "lobby" } else { "room" };
        let others = ["cross_origin_routes", "limits", "pick", "routes", "snapshot", "state"];
        let is_hook = name.starts_with("on_") || others.contains(&&*name);
        (is_hook && caller == by).then_some(name)
    };
    lobby.lines().into_iter().filter_map(hook).collect()
}

/// Each once, in the order of the first calls.
fn in_order(hooks: Vec<String>) -> String {
    let first = |at: &usize| !hooks[..*at].contains(&hooks[*at]);
    (0..hooks.len()).filter(first).map(|at| hooks[at].as_str()).collect::<Vec<_>>().join(" ")
}
