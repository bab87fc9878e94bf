//! Transfers from room to room; and second windows.

use std::time::Instant;

use cluster::testing::{Client, LobbyProcess, TestPlayer};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::common::start_game;

/// Ann and Bob are in one room; there is a second room, and a boss in the lobby.
struct Story {
    cluster: LobbyProcess,
    boss: TestPlayer,
    ann: TestPlayer,
    anns: Client,
    bobs: Client,
    here: Value,
    there: Value,
}

impl Story {
    async fn begin(flags: &[&str], there: Value) -> Story {
        let cluster = start_game(flags).await;
        let mut boss = cluster.player("Boss").await;
        let (mut ann, mut bob) = (cluster.player("Ann").await, cluster.player("Bob").await);
        let mut anns = ann.enter("create", json!({})).await;
        let here = anns.event("joined").await["room"].take();
        let mut bobs = bob.enter("join", json!({ "room": here })).await;
        bobs.event("joined").await;
        anns.event("player_joined").await;
        let there = boss.ask("open", there).await.expect("a room");
        while boss.lobby().event("ready").await["room"] != there {}
        Story { cluster, boss, ann, anns, bobs, here, there }
    }

    /// Ann asks the room to transfer Ann to the other one.
    async fn wants_to_go(&mut self) {
        self.anns.ask("send_to_room", json!({ "room": self.there })).await.expect("the room tries");
    }

    /// Ann was not transferred, is told why, and keeps the seat.
    async fn stays(&mut self, code: &str) {
        let refused = self.anns.event("refused").await;
        assert_eq!((&refused["event"], &refused["code"]), (&json!("reroute"), &json!(code)));
        self.still_here().await;
    }

    async fn still_here(&mut self) {
        assert_eq!(self.anns.ask("echo", json!({ "n": 1 })).await, Ok(json!(1)));
        assert_eq!(self.seat().await, self.here);
        assert!(!self.bobs.unheard().contains(&"player_left"));
        let census = self.bobs.ask("census", json!({})).await.expect("a census");
        assert_eq!((&census["joins"], &census["leaves"]), (&json!(2), &json!({})));
    }

    async fn seat(&mut self) -> Value {
        let asked = json!({ "player": self.ann.you["id"] });
        self.boss.ask("seat_of", asked).await.expect("registered")
    }

    /// The seats that are taken in the other room.
    async fn players_there(&mut self) -> Value {
        self.boss.ask("about", json!({ "room": self.there })).await.expect("a room")["players"]
            .take()
    }
}

#[tokio::test]
async fn a_room_transfers_a_player_to_another() {
    let mut story = Story::begin(&[], json!({})).await;
    story.wants_to_go().await;
    let reroute = story.anns.event("reroute").await;
    let path = format!("/rooms/{}/socket.io", story.there.as_str().unwrap());
    assert_eq!((&reroute["to"], &reroute["path"]), (&json!("room"), &json!(path)));
    assert!(story.anns.end().await, "the first room disconnects");
    let mut after = Client::redeem(&story.ann.route(reroute)).await.expect("a good ticket");
    let joined = after.event("joined").await;
    assert_eq!((&joined["room"], &joined["players"]), (&story.there, &json!([story.ann.you])));
    let left = json!({ "player": story.ann.you, "reason": { "code": "moved" } });
    assert_eq!(story.bobs.event("player_left").await, left);
    assert_eq!(story.seat().await, story.there);
    // And back again, rerouted by the lobby.
    let back = json!({ "players": [story.ann.you], "room": story.here });
    story.boss.ask("send_there", back).await.expect("tried");
    let mut again = story.ann.follow(&mut after).await;
    assert_eq!(again.event("joined").await["room"], story.here);
    again.leave().await;
    let returned = story.ann.back().await["returned"].take();
    assert_eq!(
        returned,
        json!({ "room": story.here, "reason": { "code": "left" } }),
        "moves are no news"
    );
}

#[tokio::test]
async fn if_the_other_room_is_full_the_player_stays() {
    let mut story = Story::begin(&[], json!({ "capacity": 1 })).await;
    let mut cid = story.cluster.player("Cid").await;
    cid.seat("join", json!({ "room": story.there })).await;
    story.wants_to_go().await;
    story.stays("room_full").await;
}

#[tokio::test]
async fn if_the_other_room_is_locked_the_player_stays() {
    let mut story = Story::begin(&[], json!({})).await;
    let lock = json!({ "room": story.there, "locked": true });
    story.boss.ask("lock", lock).await.expect("a room");
    story.wants_to_go().await;
    story.stays("room_locked").await;
}

#[tokio::test]
async fn if_the_other_room_does_not_exist_the_player_stays() {
    let mut story = Story::begin(&[], json!({})).await;
    story.there = json!("99");
    story.wants_to_go().await;
    story.stays("no_such_room").await;
    // No room has an id of this length; it does not fit into a frame.
    story.there = json!("9".repeat(65_490));
    story.wants_to_go().await;
    story.stays("no_such_room").await;
}

#[tokio::test]
async fn if_the_other_room_refuses_the_player_stays() {
    let mut story = Story::begin(&[], json!({ "options": { "banned": "Ann" } })).await;
    story.wants_to_go().await;
    story.stays("banned").await;
    assert_eq!(story.players_there().await, 0);
}

#[tokio::test]
async fn if_the_other_room_dies_before_answering_the_player_stays() {
    let mut story = Story::begin(&[], json!({})).await;
    story.cluster.signal_room(&story.there, Signal::STOP).await;
    story.wants_to_go().await;
    while story.players_there().await != 1 {}
    story.cluster.signal_room(&story.there, Signal::KILL).await;
    story.stays("room_gone").await;
}

#[tokio::test]
async fn if_their_room_dies_during_a_transfer_the_player_goes_on_from_the_lobby() {
    let mut story = Story::begin(&[], json!({})).await;
    story.cluster.signal_room(&story.there, Signal::STOP).await;
    story.wants_to_go().await;
    while story.players_there().await != 1 {}
    story.cluster.signal_room(&story.here, Signal::KILL).await;
    assert!(!story.anns.end().await);
    story.ann.back().await;
    story.cluster.signal_room(&story.there, Signal::CONT).await;
    let reroute = story.ann.rerouted().await;
    assert_eq!(reroute["room"], story.there);
    let mut after = story.ann.take(&reroute).await;
    assert_eq!(after.event("joined").await["room"], story.there);
    assert_eq!(after.ask("echo", json!({ "n": 1 })).await, Ok(json!(1)));
}

#[tokio::test]
async fn a_cancelled_transfer_leaves_the_player_in_place() {
    let mut story = Story::begin(&[], json!({})).await;
    story.cluster.signal_room(&story.there, Signal::STOP).await;
    story.wants_to_go().await;
    while story.players_there().await != 1 {}
    let back = json!({ "players": [story.ann.you], "room": story.here });
    story.boss.ask("send_there", back).await.expect("tried");
    assert_eq!(story.anns.ask("echo", json!({ "n": 1 })).await, Ok(json!(1)));
    story.cluster.signal_room(&story.there, Signal::CONT).await;
    while story.players_there().await != 0 {}
    story.still_here().await;
    assert!(!story.anns.unheard().contains(&"reroute"));
}

#[tokio::test]
async fn a_player_who_asks_for_two_rooms_joins_only_the_second() {
    let cluster = start_game(&[]).await;
    let (mut ann, mut boss) = (cluster.player("Ann").await, cluster.player("Boss").await);
    let slow = boss.ask("open", json!({})).await.expect("a room");
    let quick = boss.ask("open", json!({})).await.expect("a room");
    boss.lobby().event("ready").await;
    boss.lobby().event("ready").await;
    cluster.signal_room(&slow, Signal::STOP).await;
    ann.lobby().emit("join", json!({ "room": slow }));
    let reroute = ann.seat("join", json!({ "room": quick })).await;
    assert_eq!(reroute["room"], quick);
    let mut room = Client::redeem(&reroute).await.expect("a good ticket");
    room.event("joined").await;
    // Ann is in the lobby as well; the late answer of the slow room must not reroute Ann.
    cluster.signal_room(&slow, Signal::CONT).await;
    assert_eq!(ann.lobby().event("refused").await["event"], "join");
    boss.ask_until("about", json!({ "room": slow }), |room| room["players"] == 0).await;
    ann.ask("list", json!({})).await.expect("nothing comes after this");
    assert!(!ann.lobby().unheard().contains(&"reroute"), "{:?}", ann.lobby().unheard());
    assert_eq!(room.ask("echo", json!({ "n": 1 })).await, Ok(json!(1)));
}

#[tokio::test]
async fn asking_twice_for_one_room_is_not_refused() {
    let cluster = start_game(&[]).await;
    let mut ann = cluster.player("Ann").await;
    let room = ann.ask("open", json!({ "capacity": 1 })).await.expect("a room");
    ann.lobby().event("ready").await;
    cluster.signal_room(&room, Signal::STOP).await;
    // As a double click does.
    ann.lobby().emit("join", json!({ "room": room }));
    ann.lobby().emit("join", json!({ "room": room }));
    ann.ask("list", json!({})).await.expect("the lobby has heard it");
    cluster.signal_room(&room, Signal::CONT).await;
    let reroute = ann.rerouted().await;
    assert!(!ann.lobby().unheard().contains(&"refused"), "{:?}", ann.lobby().unheard());
    ann.take(&reroute).await.event("joined").await;
}

#[tokio::test]
async fn a_redirect_loop_between_rooms_is_stopped() {
    let cluster = start_game(&[]).await;
    let mut boss = cluster.player("Boss").await;
    let mut ann = cluster.player("Ann").await;
    let mut rooms = Vec::new();
    let mut guards = Vec::new();
    for name in ["East", "West"] {
        let mut guard = cluster.player(name).await.enter("create", json!({})).await;
        rooms.push(guard.event("joined").await["room"].take());
        guards.push(guard);
    }
    for (at, guard) in guards.iter_mut().enumerate() {
        guard.ask("pass_on", json!({ "room": rooms[1 - at] })).await.expect("the room tries");
    }
    let began = Instant::now();
    let mut room = ann.enter("join", json!({ "room": rooms[0] })).await;
    let mut hops = 0;
    let refused = loop {
        room.event("joined").await;
        // Either a transfer, or the end of the loop.
        match room.either("reroute", "refused").await {
            (name, reroute) if name == "reroute" => {
                hops += 1;
                room = Client::redeem(&ann.route(reroute)).await.expect("a good ticket");
            }
            (_, refused) => break refused,
        }
    };
    assert_eq!((&refused["event"], &refused["code"]), (&json!("reroute"), &json!("reroute_loop")));
    // Ten at once, and one more each second.
    assert!((10..=11 + began.elapsed().as_secs()).contains(&hops), "{hops}");
    // Ann stays, with one seat in this room and none in others.
    assert_eq!(room.ask("echo", json!({ "n": 1 })).await, Ok(json!(1)));
    let here = room.ask("about", json!({})).await.expect("the room")["id"].take();
    let seat = boss.ask("seat_of", json!({ "player": ann.you["id"] })).await;
    assert_eq!(seat, Ok(here));
    for (at, guard) in guards.iter_mut().enumerate() {
        let inside = guard.ask("about", json!({})).await.expect("a room")["players"].clone();
        let count = inside.as_array().map(Vec::len);
        let about = json!({ "room": rooms[at] });
        boss.ask_until("about", about, |room| room["players"] == json!(count)).await;
    }
    room.leave().await;
    assert_eq!(ann.back().await["returned"]["reason"], json!({ "code": "left" }));
    let lobby = ann.ask("seat_of", json!({})).await;
    assert_eq!(lobby, Ok(Value::Null), "no seat is left");
}

#[tokio::test]
async fn a_player_who_has_just_joined_is_transferred_from_their_room() {
    let mut story = Story::begin(&[], json!({})).await;
    story.bobs.ask("pass_on", json!({ "room": story.there })).await.expect("passed on");
    // The player is in the room before the lobby sees that the page has disconnected from it.
    let mut cid = story.cluster.player("Cid").await;
    let seat = cid.seat("join", json!({ "room": story.here })).await;
    let mut room = Client::redeem(&seat).await.expect("a good ticket");
    let mut after = cid.follow(&mut room).await;
    assert_eq!(after.event("joined").await["room"], story.there);
    assert!(!room.unheard().contains(&"refused"), "{:?}", room.unheard());
}

#[tokio::test]
async fn joining_in_another_window_replaces_the_first() {
    let mut story = Story::begin(&[], json!({})).await;
    // The lobby reroutes this window to Ann's room; it joins another room instead.
    story.ann.back().await;
    story.ann.rerouted().await;
    let mut after = story.ann.enter("join", json!({ "room": story.there })).await;
    assert_eq!(after.event("joined").await["room"], story.there);
    let refused = story.anns.event("refused").await;
    assert_eq!((&refused["event"], &refused["code"]), (&json!("connect"), &json!("replaced")));
    let left = json!({ "player": story.ann.you, "reason": { "code": "moved" } });
    assert_eq!(story.bobs.event("player_left").await, left);
    assert_eq!(story.seat().await, story.there);
}

#[tokio::test]
async fn two_windows_that_register_as_the_same_player_are_one() {
    let cluster = start_game(&[]).await;
    let form = json!({ "name": "Ann", "id": "ann" });
    let mut first = cluster.player_as(form.clone()).await;
    let mut second = cluster.player_as(form).await;
    assert_eq!(first.lobby().event("refused").await["code"], "replaced");
    let hooks = second.ask("hooks", json!({})).await;
    let all = ["on_start", "on_arrive Ann new", "on_leave Ann", "on_arrive Ann new"];
    assert_eq!(hooks, Ok(json!(all)));
}

#[tokio::test]
async fn notices_of_a_room_about_a_player_who_moved_on_are_ignored() {
    let mut story = Story::begin(&[], json!({})).await;
    let third = story.boss.ask("open", json!({})).await.expect("a room");
    while story.boss.lobby().event("ready").await["room"] != third {}
    // Ann's room is busy while another window joins another room; then it transfers Ann to
    // a third.
    story.ann.back().await;
    story.ann.rerouted().await;
    story.cluster.signal_room(&story.here, Signal::STOP).await;
    story.bobs.emit("send_to_room", json!({ "room": third, "player": story.ann.you["id"] }));
    let mut after = story.ann.enter("join", json!({ "room": story.there })).await;
    after.event("joined").await;
    story.cluster.signal_room(&story.here, Signal::CONT).await;
    assert_eq!(story.anns.event("refused").await["code"], "replaced");
    story.bobs.ask("echo", json!({ "n": 1 })).await.expect("still there");
    story.boss.ask("list", json!({})).await.expect("the lobby has heard it");
    assert_eq!(story.seat().await, story.there);
    assert_eq!(after.ask("echo", json!({ "n": 1 })).await, Ok(json!(1)));
}

#[tokio::test]
async fn an_absent_player_is_transferred_when_they_return() {
    let cluster = start_game(&[]).await;
    let (mut ann, mut bob) = (cluster.player("Ann").await, cluster.player("Bob").await);
    let options = json!({ "options": { "grace_ms": 60_000 } });
    let mut anns = ann.enter("create", options).await;
    let here = anns.event("joined").await["room"].take();
    let bobs = bob.enter("join", json!({ "room": here })).await;
    anns.event("player_joined").await;
    drop(bobs);
    anns.event("player_disconnected").await;
    let about = anns.ask("about", json!({})).await.expect("the room");
    assert_eq!((&about["here"], &about["players"]), (&json!(["Ann"]), &json!(["Ann", "Bob"])));
    let there = cluster.player("Boss").await.ask("open", json!({})).await.expect("a room");
    let send = json!({ "room": there, "player": bob.you["id"] });
    anns.ask("send_to_room", send).await.expect("tried");
    let left = json!({ "player": bob.you, "reason": { "code": "moved" } });
    assert_eq!(anns.event("player_left").await, left);
    bob.back().await;
    let reroute = bob.rerouted().await;
    assert_eq!(reroute["room"], there);
    bob.take(&reroute).await.event("joined").await;
}

#[tokio::test]
async fn a_player_transferred_to_their_own_room_stays_and_may_leave() {
    let cluster = start_game(&[]).await;
    let (mut ann, mut boss) = (cluster.player("Ann").await, cluster.player("Boss").await);
    let mut room = ann.enter("create", json!({})).await;
    let id = room.event("joined").await["room"].take();
    for _ in 0..12 {
        let there = json!({ "players": [ann.you], "room": id });
        boss.ask("send_there", there).await.expect("the lobby may");
    }
    assert_eq!(room.ask("echo", json!({ "n": 1 })).await, Ok(json!(1)));
    assert!(!room.unheard().contains(&"reroute"), "{:?}", room.unheard());
    room.leave().await;
    boss.ask_until("seat_of", json!({ "player": ann.you["id"] }), Value::is_null).await;
}
