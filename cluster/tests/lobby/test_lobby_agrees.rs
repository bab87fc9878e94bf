//! `TestLobby` and the real thing agree: the same script, played in the test lobby and then with a
//! lobby's process, rooms and connections, leads to the same calls of hooks in the same order, the
//! same answers, and the same events for each player.
//!
//! Each step ends when all that follows from it has happened. What is expected of the real lobby is
//! what the test lobby did.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use cluster::testing::{Client, LobbyProcess, Sent, TestLobby, TestPlayer, soon};
use cluster::{Defaults, Exit, LeaveReason, Place, Player, PlayerId, RoomId, refuse};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::common::{NO_RATE_LIMITS, start_game_with};
use crate::game::mirrored::{Listing, Mirror, MirrorRoom, Profile};

/// Is always in the lobby.
const BOSS: &str = "BOSS";
/// As both have it: rooms are not closed because they are empty.
const FLAGS: [&str; 4] = ["--stop-timeout", "3s", "--empty-timeout", "1h"];
const DEFAULTS: Defaults = Defaults { name: "game", port: 0, seats: 3 };
/// In the test lobby, longer than all short times of the script.
const STEP: Duration = Duration::from_secs(5);
/// A time in milliseconds that never ends within a script.
const LONG: u64 = 3_600_000;
const SHORT: u64 = 30;
const PATIENCE: Duration = Duration::from_secs(15);
/// Stands for the code of the room whose number follows.
const CODE: &str = "CODE ";

#[derive(Debug, Clone)]
enum Step {
    Register(&'static str),
    /// A request of a player in the lobby, and its answer.
    Ask(&'static str, &'static str, Value),
    /// The same, and what is due soon afterwards.
    AskAndWait(&'static str, &'static str, Value),
    /// The same for a room that refuses to open, without an answer.
    AskRefused(&'static str, &'static str, Value),
    Enter(&'static str),
    /// A request of a player in a room.
    Act(&'static str, &'static str, Value),
    /// What the room has been told, and what came with the player's seat.
    Told(&'static str),
    /// A connection to a room is lost.
    Drop(&'static str),
    Disconnect(&'static str),
    Connect(&'static str),
    Logout(&'static str),
    /// Until what is due soon has happened.
    Wait,
}

use Step::*;

/// What came of a step.
#[derive(Debug, Clone, Default, PartialEq)]
struct Seen {
    answer: Value,
    hooks: Vec<String>,
    events: BTreeMap<String, Vec<Value>>,
}

#[test]
fn registrations_requests_and_messages_are_the_same_on_both() {
    agree(&[
        Register("ANN"),
        Register("EVE"),
        Register(""),
        Ask("ANN", "shout", json!({ "text": "hello" })),
        Ask("ANN", "nonsense", json!({})),
        Ask("ANN", "shout", json!({ "text": 7 })),
        Ask("ANN", "play", json!({ "kind": "chess" })),
        Ask("ANN", "join", json!({ "room": "99" })),
        Ask("ANN", "join", json!({ "code": "WRONG" })),
        Ask("EVE", "watch_players", json!({})),
        Ask("ANN", "watch_players", json!({})),
        Ask("ANN", "watch_rooms", json!({})),
        Ask("EVE", "open", json!({ "title": "Maze" })),
        Wait,
        Ask("EVE", "play", json!({})),
        Enter("EVE"),
        Act("EVE", "tell_lobby", json!({ "text": "hi" })),
        Ask("ANN", "tell", json!({ "room": "1", "text": "one" })),
        Ask("ANN", "tell_all", json!({ "text": "all" })),
        Ask("ANN", "tell", json!({ "room": "2", "text": "nobody" })),
        Told("EVE"),
        Act("EVE", "list", json!({ "title": "Level 2" })),
        Wait,
        Ask("ANN", "square_later", json!({ "n": 3 })),
        Ask("ANN", "square", json!({ "n": 4 })),
        AskAndWait("ANN", "after", json!({ "ms": SHORT })),
        Ask("ANN", "set_profile", json!({ "level": 7 })),
        Disconnect("ANN"),
        Connect("ANN"),
        Logout("ANN"),
        Register("ANN"),
        Ask(BOSS, "kick", json!({ "player": "ANN" })),
        Connect("ANN"),
        Ask(BOSS, "ban", json!({ "player": "ANN" })),
        Connect("ANN"),
        Ask(BOSS, "unban", json!({ "player": "ANN" })),
        Connect("ANN"),
    ]);
}

#[test]
fn seats_and_their_refusals_are_the_same_on_both() {
    agree(&[
        Register("ANN"),
        Register("BOB"),
        Register("EVE"),
        Ask("ANN", "play", json!({})),
        Enter("ANN"),
        Ask("BOB", "play_for_me", json!({})),
        Enter("BOB"),
        Act("ANN", "lock", json!({ "locked": true })),
        Act("ANN", "tell_lobby", json!({ "text": "locked" })),
        Ask("EVE", "join", json!({ "room": "1" })),
        Act("ANN", "lock", json!({ "locked": false })),
        Act("ANN", "refuse", json!({ "refuses": true })),
        Act("ANN", "tell_lobby", json!({ "text": "refuses" })),
        Ask("EVE", "join", json!({ "room": "1" })),
        Act("ANN", "refuse", json!({ "refuses": false })),
        Act("ANN", "tell_lobby", json!({ "text": "refuses nobody" })),
        Ask("EVE", "join_with", json!({ "room": "1", "side": 2 })),
        Ask("EVE", "join", json!({ "room": "1" })),
        Enter("EVE"),
        Told("EVE"),
        Ask(BOSS, "join", json!({ "room": "1" })),
        Ask(BOSS, "list", json!({})),
        Act("EVE", "leave_room", json!({})),
        Ask(BOSS, "lock", json!({ "room": "1", "locked": true })),
        Ask("EVE", "play", json!({})),
        Ask(BOSS, "where", json!({ "player": "EVE" })),
        Ask("EVE", "leave_room", json!({})),
        Ask(BOSS, "lock", json!({ "room": "1", "locked": false })),
        AskRefused("EVE", "create", json!({ "refuses": true })),
        Ask("EVE", "create", json!({ "title": "Hidden", "private": true })),
        Enter("EVE"),
        Ask(BOSS, "join", json!({ "room": "4" })),
        Act("BOB", "send_to_lobby", json!({ "reason": "won" })),
        Ask("BOB", "join", json!({ "code": format!("{CODE}4") })),
        Enter("BOB"),
        Act("EVE", "crash", json!({})),
        Ask("BOB", "create", json!({ "title": "Pair", "seats": 2 })),
        Enter("BOB"),
        Ask("EVE", "together", json!({ "room": "5", "with": ["ANN"] })),
        Ask("EVE", "join", json!({ "room": "5" })),
        Enter("EVE"),
        Act("BOB", "kick", json!({ "player": "EVE" })),
        Act("BOB", "finish", json!({})),
    ]);
}

#[test]
fn moves_lost_connections_and_ends_are_the_same_on_both() {
    agree(&[
        Register("ANN"),
        Register("BOB"),
        Register("EVE"),
        Ask("ANN", "create", json!({ "title": "First" })),
        Enter("ANN"),
        Ask("BOB", "create", json!({ "title": "Second", "grace_ms": LONG, "seats": 2 })),
        Enter("BOB"),
        Act("ANN", "send_to_room", json!({ "room": "2" })),
        Enter("ANN"),
        Ask("EVE", "join", json!({ "room": "1" })),
        Enter("EVE"),
        Act("EVE", "send_to_room", json!({ "room": "2" })),
        Act("EVE", "send_to_room", json!({ "room": "99" })),
        Ask(BOSS, "send_there", json!({ "room": "1", "players": ["ANN", "BOB"] })),
        Enter("ANN"),
        Enter("BOB"),
        Ask(BOSS, "send_there", json!({ "room": "2", "players": ["BOB"] })),
        Enter("BOB"),
        Drop("BOB"),
        Ask(BOSS, "where", json!({ "player": "BOB" })),
        Connect("BOB"),
        Enter("BOB"),
        Drop("BOB"),
        Ask(BOSS, "kick", json!({ "player": "BOB" })),
        Connect("BOB"),
        Drop("EVE"),
        Connect("EVE"),
        Ask("EVE", "create", json!({ "title": "Brief", "grace_ms": SHORT })),
        Enter("EVE"),
        Drop("EVE"),
        Wait,
        Connect("EVE"),
        Ask("EVE", "join", json!({ "room": "3" })),
        Enter("EVE"),
        Ask(BOSS, "close", json!({ "room": "3" })),
        Ask("BOB", "join", json!({ "room": "3" })),
        Wait,
        Ask(BOSS, "close", json!({ "room": "2" })),
        Act("ANN", "crash", json!({})),
        Ask(BOSS, "list", json!({})),
    ]);
}

fn agree(script: &[Step]) {
    let played = in_the_test_lobby(script);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let mut real = Real::start().await;
        for (number, (step, expected)) in script.iter().zip(&played).enumerate() {
            let seen = real.step(step, expected).await;
            assert_eq!(seen, *expected, "step {number}, {step:?}: real on the left");
        }
        real.hear_hooks().await;
        assert!(real.hooks.is_empty(), "further hooks: {:?}", real.hooks);
    });
}

/// What both can compare of an event. Lists are compared by themselves.
fn normal(event: &str, mut data: Value) -> Value {
    if let Some(data) = data.as_object_mut() {
        data.retain(|field, _| !["token", "ticket", "version", "path", "url"].contains(&&**field));
    }
    json!([event, data])
}

/// What `reroute_then` calls back may come before or after what the rooms that the players leave
/// report: it counts as the first.
#[allow(clippy::ptr_arg, reason = "a key of texts")]
fn is_room_s(hook: &String) -> bool {
    !hook.starts_with("sent ")
}

fn is_list(event: &str) -> bool {
    matches!(event, "rooms" | "players")
}

fn outcome<E: ToString>(answer: Result<Value, E>) -> Value {
    match answer {
        Ok(value) => json!({ "ok": value }),
        Err(refusal) => json!({ "error": refusal.to_string() }),
    }
}

// The test lobby.

struct Played {
    lobby: TestLobby<Mirror>,
    players: BTreeMap<String, Player<Profile>>,
    told: BTreeMap<RoomId, Vec<String>>,
}

fn in_the_test_lobby(script: &[Step]) -> Vec<Seen> {
    let mut lobby = TestLobby::start_with(DEFAULTS, &FLAGS).expect("a lobby");
    lobby.player("CLERK"); // who asks the real lobby for its hooks
    let boss = lobby.player(BOSS);
    lobby.sent(&boss);
    lobby.ask(&boss, "hooks", json!({})).expect("the hooks so far");
    let players = [(BOSS.to_owned(), boss)].into();
    let mut played = Played { lobby, players, told: BTreeMap::new() };
    script.iter().map(|step| played.step(step)).collect()
}

impl Played {
    fn step(&mut self, step: &Step) -> Seen {
        let answer = self.act(step);
        self.lobby.settle();
        let boss = self.players[BOSS].clone();
        let hooks = self.lobby.ask(&boss, "hooks", json!({})).expect("the hooks");
        let mut hooks: Vec<String> = serde_json::from_value(hooks).expect("texts");
        hooks.sort_by_key(is_room_s);
        let mut seen = Seen { answer, hooks, events: BTreeMap::new() };
        for (name, player) in &self.players {
            let mut sent = self.lobby.sent(player);
            if matches!(step, Register(who) if who == name) {
                sent.retain(|sent| sent.event != "welcome"); // the visitor's
            }
            let normal = |Sent { event, data, .. }| normal(&event, data);
            seen.events.insert(name.clone(), sent.into_iter().map(normal).collect());
        }
        seen
    }

    fn act(&mut self, step: &Step) -> Value {
        let who = |name: &str| self.players[name].clone();
        match step {
            Register(name) => match self.lobby.register(json!({ "name": name })) {
                Ok(player) => drop(self.players.insert((*name).to_owned(), player)),
                Err(refusal) => return json!(refusal.code()),
            },
            Ask(name, event, data) | AskAndWait(name, event, data) => {
                let data = self.with_code(data);
                let answer = self.lobby.ask(&self.players[*name], event, data);
                if let AskAndWait(..) = step {
                    self.lobby.advance(STEP);
                }
                return outcome(answer.map_err(|refusal| refusal.code().to_owned()));
            }
            AskRefused(name, event, data) => {
                self.lobby.hold_rooms(true);
                self.lobby.emit(&who(name), event, data.clone());
                self.lobby.hold_rooms(false);
                let room = self.lobby.rooms().pop().expect("a room");
                self.lobby.refuse_to_open(&room, refuse("not_now", "Not now."));
            }
            Enter(name) => drop(self.lobby.enter(&who(name))),
            Act(name, act, data) => self.in_room(&who(name), act, data),
            Told(name) => {
                let player = who(name);
                let room = self.room_of(&player);
                let texts = self.lobby.told::<MirrorRoom>(&room);
                let told = self.told.entry(room.clone()).or_default();
                told.extend(texts);
                let options = self.lobby.join_options::<MirrorRoom>(&room, &player);
                return json!([told, options.unwrap_or_default().side]);
            }
            Drop(name) => {
                let player = who(name);
                let room = self.room_of(&player);
                let info = self.lobby.lobby().room::<MirrorRoom>(&room).expect("a room");
                self.lobby.drop_player(&player, info.options.grace_ms.map(Duration::from_millis));
            }
            Disconnect(name) => self.lobby.disconnect(&who(name)),
            Connect(name) => drop(self.lobby.connect(&who(name))),
            Logout(name) => self.lobby.logout(&who(name)).expect("a logout"),
            Wait => self.lobby.advance(STEP),
        }
        Value::Null
    }

    fn in_room(&mut self, player: &Player<Profile>, act: &str, data: &Value) {
        let room = self.room_of(player);
        let text = |field: &str| data[field].as_str().expect("a text").to_owned();
        let truth = |field: &str| data[field].as_bool().expect("a truth");
        let lobby = &mut self.lobby;
        match act {
            "tell_lobby" => lobby.tell_lobby::<MirrorRoom>(&room, text("text")),
            "send_to_lobby" => lobby.leave(player, LeaveReason::Sent(text("reason"))),
            "send_to_room" => lobby.send_to_room(player, &RoomId(text("room"))),
            "kick" => {
                let other = self.players[&text("player")].clone();
                lobby.leave(&other, LeaveReason::Kicked("out".to_owned()));
            }
            "lock" => lobby.lock_room(&room, truth("locked")),
            "list" => lobby.set_listing::<MirrorRoom>(&room, Listing { title: text("title") }),
            "finish" => lobby.end(&room, Exit::Finished),
            "crash" => lobby.end(&room, Exit::Crashed("as asked".to_owned())),
            "refuse" => {
                let refusal = truth("refuses").then(|| refuse("not_you", "Not you."));
                lobby.refuse_joins(&room, refusal);
            }
            "leave_room" => lobby.leave(player, LeaveReason::Left),
            _ => panic!("{act}"),
        }
    }

    fn room_of(&self, player: &Player<Profile>) -> RoomId {
        match self.lobby.lobby().find(player) {
            Some(Place::Room(room)) => room,
            place => panic!("{} is in no room: {place:?}", player.name),
        }
    }

    fn with_code(&mut self, data: &Value) -> Value {
        let Some(room) = data["code"].as_str().and_then(|code| code.strip_prefix(CODE)) else {
            return data.clone();
        };
        let room = self.lobby.lobby().room::<MirrorRoom>(&RoomId(room.to_owned()));
        json!({ "code": room.expect("a room").code })
    }
}

// The real lobby.

struct Real {
    cluster: LobbyProcess,
    boss: Client,
    players: BTreeMap<String, RealPlayer>,
    /// The calls of hooks that were not expected yet.
    hooks: VecDeque<String>,
}

struct RealPlayer {
    player: TestPlayer,
    room: Option<Client>,
    /// The latest reroute to a room.
    route: Value,
    heard: Vec<Value>,
    /// The latest list of each name.
    lists: BTreeMap<String, Value>,
}

impl RealPlayer {
    /// Takes in what has arrived.
    async fn hear(&mut self) {
        for event in arrived(&mut self.room).await {
            // What the room itself refuses does not concern the lobby.
            if event[0] == "reroute" || event[1]["event"] == "reroute" {
                self.note(event);
            }
        }
        for event in arrived(&mut self.player.lobby).await {
            self.note(event);
        }
    }

    fn note(&mut self, mut event: Value) {
        let (name, data) = (event[0].as_str().expect("a name").to_owned(), event[1].take());
        if let ("welcome" | "profile_changed", Some(token)) = (&*name, data["token"].as_str()) {
            self.player.token = token.to_owned();
        }
        if name == "reroute" && data["to"] == "room" {
            self.route = self.player.route(data.clone());
        }
        match is_list(&name) {
            true => drop(self.lists.insert(name.clone(), normal(&name, data))),
            false => self.heard.push(normal(&name, data)),
        }
    }
}

async fn arrived(client: &mut Option<Client>) -> Vec<Value> {
    let Some(client) = client else { return vec![] };
    // Looks at all packets that are there, and finds nothing.
    let _ = timeout(Duration::ZERO, client.try_event("nothing")).await;
    client.take_events()
}

impl Real {
    async fn start() -> Real {
        let seats = DEFAULTS.seats.to_string();
        let flags = [&FLAGS[..], &NO_RATE_LIMITS, &["--dev=false", "--seats", &seats]].concat();
        let cluster = start_game_with(&flags, &[("MIRRORED", "1")]).await;
        let boss = cluster.visitor().await;
        let players = BTreeMap::new();
        let mut real = Real { cluster, boss, players, hooks: VecDeque::new() };
        real.boss.event("welcome").await;
        let you = real.boss.ask("register", json!({ "name": "CLERK" })).await;
        you.expect("an observer beside the players");
        real.register(BOSS).await;
        real.boss.ask("hooks", json!({})).await.expect("the hooks so far");
        real
    }

    async fn register(&mut self, name: &str) {
        let player = self.cluster.player_as(json!({ "name": name })).await;
        let (route, lists) = (Value::Null, BTreeMap::new());
        let player = RealPlayer { player, room: None, route, heard: Vec::new(), lists };
        self.players.insert(name.to_owned(), player);
    }

    fn player(&mut self, name: &str) -> &mut RealPlayer {
        self.players.get_mut(name).expect("a player")
    }

    async fn step(&mut self, step: &Step, expected: &Seen) -> Seen {
        let answer = self.act(step, expected).await;
        let mut seen = Seen { answer, ..Seen::default() };
        for hook in &expected.hooks {
            // Where the test lobby's page has returned by itself, this one does now.
            let name = hook.strip_prefix("on_arrive ").and_then(|rest| rest.split(' ').next());
            if let Some(name) = name.filter(|name| self.player(name).player.lobby.is_none()) {
                let name = name.to_owned();
                self.connect(&name).await;
            }
            seen.hooks.extend(self.next_hook().await);
        }
        seen.hooks.sort_by_key(is_room_s);
        let until = Instant::now() + PATIENCE;
        loop {
            seen.events = self.events(expected).await;
            if seen.events == expected.events || Instant::now() > until {
                break;
            }
            sleep(Duration::from_millis(5)).await;
        }
        self.players.values_mut().for_each(|player| player.heard.clear());
        seen
    }

    /// The events of each player in this step, and the latest lists where some are expected.
    async fn events(&mut self, expected: &Seen) -> BTreeMap<String, Vec<Value>> {
        let mut events = BTreeMap::new();
        for (name, player) in &mut self.players {
            player.hear().await;
            let mut heard: VecDeque<_> = player.heard.iter().cloned().collect();
            let wanted = expected.events.get(name).into_iter().flatten();
            let mut all = Vec::new();
            for event in wanted {
                let list = event[0].as_str().filter(|name| is_list(name));
                match list {
                    Some(list) => all.extend(player.lists.get(list).cloned()),
                    None => all.extend(heard.pop_front()),
                }
            }
            all.extend(heard);
            events.insert(name.clone(), all);
        }
        events
    }

    async fn next_hook(&mut self) -> Option<String> {
        let until = Instant::now() + PATIENCE;
        while self.hooks.is_empty() && Instant::now() < until {
            self.hear_hooks().await;
        }
        self.hooks.pop_front()
    }

    async fn hear_hooks(&mut self) {
        sleep(Duration::from_millis(2)).await;
        let hooks = self.boss.ask("hooks", json!({})).await.expect("the hooks");
        self.hooks.extend(serde_json::from_value::<Vec<String>>(hooks).expect("texts"));
    }

    async fn act(&mut self, step: &Step, expected: &Seen) -> Value {
        match step {
            Register("") => {
                let mut visitor = self.cluster.visitor().await;
                let refused = visitor.ask("register", json!({ "name": "" })).await;
                return json!(refused.expect_err("no name"));
            }
            Register(name) => self.register(name).await,
            Ask(name, event, data) | AskAndWait(name, event, data) => {
                let data = self.with_code(data).await;
                return outcome(self.player(name).player.ask(event, data).await);
            }
            AskRefused(name, event, data) => {
                self.player(name).player.lobby().emit(event, data.clone());
            }
            Enter(name) => self.enter(name).await,
            Act(name, act, data) => {
                self.player(name).room.as_ref().expect("a room").emit(act, data.clone());
            }
            Told(name) => {
                let room = self.player(name).room.as_mut().expect("a room");
                let wanted = |told: &Value| *told == expected.answer;
                room.ask_until("told", json!({}), wanted).await;
                return expected.answer.clone();
            }
            Drop(name) => {
                self.player(name).room = None;
                self.wait_for_place(name, |place| place[0] != "room").await;
            }
            Disconnect(name) => {
                self.player(name).player.lobby.take().expect("in the lobby").leave().await;
            }
            Connect(name) => self.connect(name).await,
            Logout(name) => {
                let token = self.player(name).player.token.clone();
                let mut visitor = self.cluster.visitor().await;
                let out = visitor.ask("logout", json!({ "token": token })).await;
                out.expect("a logout");
            }
            Wait => {}
        }
        Value::Null
    }

    /// The page connects to the room before it leaves the lobby.
    async fn enter(&mut self, name: &str) {
        let player = self.player(name);
        let route = std::mem::take(&mut player.route);
        let room = Client::redeem(&route).await.expect("a good ticket");
        player.hear().await;
        player.room = Some(room);
        let lobby = player.player.lobby.take();
        let there = json!(["room", route["room"]]);
        self.wait_for_place(name, |place| *place == there).await;
        if let Some(lobby) = lobby {
            lobby.leave().await;
        }
    }

    async fn wait_for_place(&mut self, name: &str, wanted: impl Fn(&Value) -> bool) {
        let player = json!({ "player": PlayerId(name.to_owned()) });
        self.boss.ask_until("where", player, wanted).await;
    }

    /// The page opens the lobby, after it has left its room.
    async fn connect(&mut self, name: &str) {
        let url = self.cluster.url.clone();
        let player = self.player(name);
        if let Some(room) = &mut player.room {
            soon("the end of the connection to the room", room.ended()).await;
        }
        player.hear().await;
        player.room = None;
        let auth = json!({ "token": player.player.token });
        player.player.lobby = Some(Client::connect(&url, auth).await.expect("a connection"));
    }

    async fn with_code(&mut self, data: &Value) -> Value {
        let Some(room) = data["code"].as_str().and_then(|code| code.strip_prefix(CODE)) else {
            return data.clone();
        };
        let code = self.boss.ask("code", json!({ "room": room })).await.expect("a code");
        json!({ "code": code })
    }
}
