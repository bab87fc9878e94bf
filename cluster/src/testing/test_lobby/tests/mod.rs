//! A lobby that notes its hooks, and what happens to its players; `rooms.rs` has what happens to its
//! rooms.

use std::time::Duration;

use serde_json::{Value, json};

mod rooms;

use super::*;
use crate::lobby::{Arrival, Identity, Lobby, Registration, RoomInfo, RoomManager};
use crate::room::{Room, RoomContext};
use crate::types::{Answer, Exit, LeaveReason, Player, deferred, ok, refuse, reply};

const DEFAULTS: Defaults = Defaults { name: "test", port: 0, seats: 2 };
const SECOND: Duration = Duration::from_secs(1);

crate::messages! {
    enum Ask {
        Open { title: String },
        Send { player: String, room: RoomId },
        Square { n: u64 },
        Later { seconds: u32 },
        Close { room: RoomId },
        Kick { player: String },
        Tell { room: RoomId, text: String },
        Hello,
        Panic,
    }

    enum News {
        Line(String),
        Welcome { text: String },
    }

    #[derive(Default, PartialEq)]
    struct Options {
        title: String,
    }

    #[derive(Default, PartialEq)]
    struct Profile {
        level: u8,
    }

    #[derive(PartialEq)]
    enum ToRoom {
        Text(String),
        /// The room cannot read what the lobby writes.
        Lopsided(#[serde(serialize_with = "as_text")] u8),
    }
}

fn as_text<S: serde::Serializer>(n: &u8, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&n.to_string())
}

struct Game;

impl Room for Game {
    crate::room_types! {
        type Options = Options;
        type Profile = Profile;
        type Listing = Options;
        type FromLobby = ToRoom;
        type ToLobby = String;
    }

    async fn on_open(_: Options, _: &RoomContext<Self>) -> Result<Self, Refusal> {
        unreachable!("the test plays the rooms")
    }
}

#[derive(Default)]
struct Server {
    hooks: Vec<String>,
}

crate::kinds!(Server: Game = "game");

impl Lobby for Server {
    crate::lobby_types! {
        type Profile = Profile;
        type Account = u32;
        type Request = Ask;
        type Event = News;
    }

    async fn on_start(&mut self, lobby: &LobbyContext<Self>) -> Result<(), Refusal> {
        if lobby.settings().max_rooms == 13 {
            return Err(refuse("unlucky", "Not with 13 rooms."));
        }
        self.hooks.push("on_start".to_owned());
        Ok(())
    }

    async fn on_register(form: Registration) -> Result<Identity<Self>, Refusal> {
        if form.more.contains_key("slow") {
            tokio::task::yield_now().await;
        }
        let level = form.headers.get("x-level").map_or(1, |level| level.len() as u8);
        let address = form.address.map_or(String::new(), |address| format!(" of {address}"));
        let identity: Identity<Self> = Identity::new(&form.name)?;
        let name = identity.name.clone() + &address;
        let identity = match form.more.get("id") {
            Some(id) => Identity::with_id(PlayerId(id.to_string()), name),
            None => Identity::with_id(PlayerId(form.name.clone()), name),
        };
        Ok(Identity { profile: Profile { level }, account: 7, ..identity })
    }

    fn on_request(
        &mut self,
        lobby: &LobbyContext<Self>,
        from: &Player<Profile>,
        ask: Ask,
    ) -> Answer {
        match ask {
            Ask::Open { title } => reply(lobby.create::<Game>(from, None, Options { title })?),
            Ask::Send { player, room } => {
                let to = lobby.players().into_iter().find(|(to, _)| to.id.0 == player);
                let (player, _) = to.ok_or(Refusal::NOT_IN_ROOM)?;
                lobby.reroute_then(&player, &room, |server, _, sent| {
                    server.hooks.push(format!("sent {sent:?}"));
                });
                ok()
            }
            Ask::Square { n } => {
                let (tell, answer) = tokio::sync::oneshot::channel();
                lobby.compute(move |_| n * n, |_, _, square| _ = tell.send(square));
                deferred(async { answer.await.expect("a call").map_err(|_| Refusal::INTERNAL) })
            }
            Ask::Later { seconds } => {
                lobby.after(seconds * SECOND, |_, lobby| {
                    lobby.broadcast(News::Line("now".to_owned()));
                });
                ok()
            }
            Ask::Close { room } => lobby.close(&room, "Enough.").and_then(|()| ok()),
            Ask::Kick { player } => {
                lobby.kick(PlayerId(player), "Please be kind.");
                ok()
            }
            Ask::Tell { room, text } => {
                lobby.tell::<Game>(&room, ToRoom::Text(text)).and_then(|()| ok())
            }
            Ask::Hello => {
                lobby.send(from, News::Welcome { text: "hello".to_owned() });
                ok()
            }
            Ask::Panic => panic!("as asked"),
        }
    }

    fn on_arrive(
        &mut self,
        lobby: &LobbyContext<Self>,
        player: &Player<Profile>,
        how: Arrival<Self>,
    ) {
        let Arrival { account, returned, seat } = how;
        let returned = returned.map(|(_, reason)| reason.to_string());
        self.hooks.push(format!("on_arrive {} {account:?} {returned:?} {seat:?}", player.name));
        lobby.send_back(player);
    }

    fn on_leave(&mut self, _: &LobbyContext<Self>, player: &Player<Profile>) {
        self.hooks.push(format!("on_leave {}", player.name));
    }

    fn on_watch_players(
        &mut self,
        _: &LobbyContext<Self>,
        from: &Player<Profile>,
    ) -> Result<(), Refusal> {
        if from.name == "Eve" { Err(Refusal::NOT_ALLOWED) } else { Ok(()) }
    }

    fn on_stop(&mut self, _: &LobbyContext<Self>) {
        self.hooks.push("on_stop".to_owned());
    }
}

impl RoomManager<Game> for Server {
    fn on_room_ready(&mut self, _: &LobbyContext<Self>, room: &RoomInfo<Game>) {
        self.hooks.push(format!("on_room_ready {}", room.id));
    }

    fn on_room_message(&mut self, _: &LobbyContext<Self>, room: &RoomInfo<Game>, text: String) {
        self.hooks.push(format!("on_room_message {} {text}", room.id));
    }

    fn on_player_joined(
        &mut self,
        _: &LobbyContext<Self>,
        room: &RoomInfo<Game>,
        player: &Player<Profile>,
    ) {
        self.hooks.push(format!("on_player_joined {} {}", room.id, player.name));
    }

    fn on_player_left(
        &mut self,
        _: &LobbyContext<Self>,
        room: &RoomInfo<Game>,
        player: &Player<Profile>,
        reason: LeaveReason,
    ) {
        self.hooks.push(format!("on_player_left {} {} {reason}", room.id, player.name));
    }

    fn on_room_exit(&mut self, _: &LobbyContext<Self>, room: &RoomInfo<Game>, exit: Exit) {
        self.hooks.push(format!("on_room_exit {} {exit}", room.id));
    }
}

fn start() -> (TestLobby<Server>, Player<Profile>) {
    let mut lobby = TestLobby::<Server>::start(DEFAULTS);
    let ann = lobby.player("Ann");
    lobby.state().hooks.clear();
    (lobby, ann)
}

fn hooks(lobby: &mut TestLobby<Server>) -> Vec<String> {
    std::mem::take(&mut lobby.state().hooks)
}

fn names(sent: &[Sent]) -> Vec<&str> {
    sent.iter().map(|sent| &*sent.event).collect()
}

#[test]
fn a_player_who_plays_is_rerouted_enters_and_returns() {
    let (mut lobby, ann) = start();
    let room = RoomId("1".to_owned());
    assert_eq!(lobby.ask(&ann, "play", json!({})), Ok(json!({ "room": room })));
    assert_eq!(hooks(&mut lobby), ["on_room_ready 1"]);
    assert_eq!(lobby.rerouted(&ann), Some(room.clone()));
    assert_eq!(lobby.enter(&ann), room);
    assert_eq!(hooks(&mut lobby), ["on_player_joined 1 Ann", "on_leave Ann"]);
    assert_eq!(lobby.lobby().find(&ann), Some(crate::Place::Room(room.clone())));
    assert_eq!(lobby.rerouted(&ann), None);
    lobby.leave(&ann, LeaveReason::Sent("Well played.".to_owned()));
    let came_back =
        ["on_player_left 1 Ann Well played.", "on_arrive Ann None Some(\"Well played.\") None"];
    assert_eq!(hooks(&mut lobby), came_back);
    let returned = json!({ "room": room, "reason": { "code": "sent", "message": "Well played." } });
    assert_eq!(lobby.last(&ann, "welcome").expect("a welcome")["returned"], returned);
    assert_eq!(names(&lobby.sent(&ann)), ["welcome", "reroute", "reroute", "welcome"]);
    assert!(lobby.sent(&ann).is_empty());
}

#[test]
fn a_registration_may_be_slow_or_refused_and_has_an_address_and_headers() {
    let (mut lobby, _) = start();
    assert_eq!(lobby.register(json!({ "name": "" })), Err(Refusal::BAD_NAME));
    let bob = lobby.register(json!({ "name": "Bob", "slow": true })).expect("a player");
    let headers = [("x-level".parse().unwrap(), "xxx".parse().unwrap())].into_iter().collect();
    let address = Some("192.0.2.7".parse().unwrap());
    let eve = lobby.register_from(json!({ "name": "Eve" }), address, headers).expect("a player");
    assert_eq!((bob.name, eve.name), ("Bob".to_owned(), "Eve of 192.0.2.7".to_owned()));
    assert_eq!(eve.profile.level, 3);
    let arrived =
        ["on_arrive Bob Some(7) None None", "on_arrive Eve of 192.0.2.7 Some(7) None None"];
    assert_eq!(hooks(&mut lobby), arrived);
}

#[test]
fn who_registers_again_with_the_same_id_is_the_same_player_in_another_window() {
    let (mut lobby, ann) = start();
    let again = lobby.register(json!({ "name": "Ann" })).expect("the same");
    assert_eq!(again, ann);
    assert_eq!(hooks(&mut lobby), ["on_leave Ann", "on_arrive Ann Some(7) None None"]);
    assert_eq!(lobby.last(&ann, "refused").expect("replaced")["code"], "replaced");
    lobby.ask(&ann, "hello", json!({})).expect("the new window");
}

#[test]
fn a_page_reconnects_with_its_token_until_it_logs_out() {
    let (mut lobby, ann) = start();
    lobby.disconnect(&ann);
    lobby.connect(&ann).expect("a valid token");
    assert_eq!(hooks(&mut lobby), ["on_leave Ann", "on_arrive Ann None None None"]);
    lobby.logout(&ann).expect("a logout");
    assert_eq!(hooks(&mut lobby), ["on_leave Ann"]);
    assert_eq!(lobby.connect(&ann), Err(Refusal::BAD_TOKEN));
}

#[test]
fn a_kicked_player_gets_the_reason_as_the_answer_and_a_banned_one_stays_away() {
    let (mut lobby, ann) = start();
    let kicked = lobby.ask(&ann, "kick", json!({ "player": "Ann" }));
    assert_eq!(kicked, Err(refuse("kicked", "Please be kind.")));
    lobby.connect(&ann).expect("only kicked");
    lobby.ask(&ann, "play", json!({})).expect("a room");
    lobby.enter(&ann);
    lobby.call(|_, lobby| lobby.ban(&ann, "Enough."));
    assert_eq!(lobby.lobby().find(&ann), None, "their page came back, and was refused");
    assert_eq!(lobby.connect(&ann), Err(refuse("banned", "Enough.")));
}

#[test]
fn a_page_that_is_back_before_the_lobby_knows_why_waits_a_moment() {
    let (mut lobby, ann) = start();
    lobby.ask(&ann, "play", json!({})).expect("a room");
    lobby.enter(&ann);
    hooks(&mut lobby);
    lobby.connect(&ann).expect("another window");
    assert!(hooks(&mut lobby).is_empty());
    lobby.advance(SECOND);
    assert_eq!(hooks(&mut lobby), [r#"on_arrive Ann None None Some(RoomId("1"))"#]);
}

#[test]
fn an_answer_may_be_the_result_of_a_computation() {
    let (mut lobby, ann) = start();
    assert_eq!(lobby.ask(&ann, "square", json!({ "n": 3 })), Ok(json!(9)));
}

#[test]
fn timers_fire_when_the_test_says_so() {
    let (mut lobby, ann) = start();
    lobby.ask(&ann, "later", json!({ "seconds": 3600 })).expect("a timer");
    lobby.advance(3599 * SECOND);
    assert_eq!(lobby.last(&ann, "line"), None);
    lobby.advance(SECOND);
    assert_eq!(lobby.last(&ann, "line"), Some(&json!("now")));
}

#[test]
fn requests_are_checked_as_in_the_lobby() {
    let (mut lobby, ann) = start();
    for (event, data, code) in [
        ("nonsense", json!({}), "unknown_event"),
        ("open", json!({ "title": 7 }), "bad_message"),
        ("open", json!({ "title": "x".repeat(70_000) }), "too_large"),
        ("join", json!({ "room": "99" }), "no_such_room"),
        ("play", json!({ "kind": "chess" }), "no_such_kind"),
    ] {
        let refused = lobby.ask(&ann, event, data).expect_err(event);
        assert_eq!(refused.code(), code, "{event}");
    }
    lobby.sent(&ann);
    lobby.emit(&ann, "open", json!({ "title": 7 }));
    assert_eq!(lobby.last(&ann, "refused").expect("an event")["code"], "bad_message");
}

#[test]
fn presence_is_sent_to_those_who_may_watch() {
    let (mut lobby, ann) = start();
    let eve = lobby.player("Eve");
    assert_eq!(lobby.ask(&eve, "watch_players", json!({})), Err(Refusal::NOT_ALLOWED));
    lobby.ask(&ann, "watch_players", json!({})).expect("the list");
    lobby.ask(&eve, "play", json!({})).expect("a room");
    lobby.enter(&eve);
    lobby.advance(SECOND);
    let list = lobby.last(&ann, "players").and_then(Value::as_array).expect("a list");
    let eve = list.iter().find(|player| player["name"] == "Eve").expect("Eve");
    assert_eq!([&eve["place"], &eve["room"]], ["room", "1"]);
}

#[test]
fn flags_and_on_start_decide_whether_a_lobby_starts() {
    let started = TestLobby::<Server>::start_with(DEFAULTS, &["--max-rooms", "1"]);
    let mut lobby = started.expect("a lobby");
    assert_eq!(hooks(&mut lobby), ["on_start"]);
    let ann = lobby.player("Ann");
    lobby.ask(&ann, "open", json!({ "title": "" })).expect("a room");
    let second = lobby.ask(&ann, "open", json!({ "title": "" })).expect_err("one is the limit");
    assert_eq!(second.code(), "no_room");
    let unlucky = TestLobby::<Server>::start_with(DEFAULTS, &["--max-rooms", "13"]);
    assert_eq!(unlucky.err(), Some(refuse("unlucky", "Not with 13 rooms.")));
}

#[test]
fn a_lobby_that_stops_closes_its_rooms() {
    let (mut lobby, ann) = start();
    lobby.ask(&ann, "play", json!({})).expect("a room");
    lobby.enter(&ann);
    hooks(&mut lobby);
    lobby.stop();
    assert_eq!(hooks(&mut lobby), ["on_stop"]);
    lobby.advance(2 * SECOND);
    assert!(lobby.rooms().is_empty());
    assert_eq!(lobby.ask(&ann, "play", json!({})), Err(Refusal::STOPPING));
}

#[test]
#[should_panic(expected = "as asked")]
fn a_panic_in_a_hook_fails_the_test() {
    let (mut lobby, ann) = start();
    let _ = lobby.ask(&ann, "panic", json!({}));
}
