//! Scenarios of the lobby: its event handler, driven by a [`TestLobby`], whose own work is not
//! counted.

use std::time::Duration;

use serde_json::json;

use crate::testing::TestLobby;
use crate::testing::counts::Growth::{Linear, None};
use crate::testing::counts::{REPEATS, Scenario, measure};
use crate::types::{Answer, Player, PlayerId, Refusal, RoomId, ok};
use crate::{Defaults, Lobby, LobbyContext, Room, RoomContext, RoomManager};

const FEW_MANY: &[usize] = &[50, 200];
const DOUBLED: &[usize] = &[100, 200];

pub(super) const SCENARIOS: &[Scenario] = &[
    ("lobby: register, n players", register, None, FEW_MANY),
    ("lobby: connect, n players", |n| connect(with_players(n)), None, FEW_MANY),
    ("lobby: connect, n rooms", |n| connect(with_rooms(n, false).0), None, FEW_MANY),
    ("lobby: connect, n logged out", |n| connect(with_logouts(n)), None, FEW_MANY),
    ("lobby: connect, n are banned", |n| connect(with_bans(n)), None, FEW_MANY),
    ("lobby: request, n players", |n| request(with_players(n)), None, FEW_MANY),
    ("lobby: request, n rooms", |n| request(with_rooms(n, false).0), None, FEW_MANY),
    ("lobby: broadcast, n players", broadcast, Linear, DOUBLED),
    // `pick` looks through all rooms.
    ("lobby: play, n rooms", play, Linear, DOUBLED),
    ("lobby: join and leave, n rooms", join, None, FEW_MANY),
    ("lobby: join and leave, n in the room", join_crowd, None, FEW_MANY),
    ("lobby: join by code, n private rooms", join_by_code, None, FEW_MANY),
    // It counts the rooms of the host, some 20 ns for each. The process that follows takes 2 ms.
    ("lobby: create and close, n rooms", create, Linear, DOUBLED),
    ("lobby: message of a room, n rooms", room_message, None, FEW_MANY),
    ("lobby: room list of 20, n watchers", |n| list(20, n), Linear, &[50, 100]),
    ("lobby: room list of n, 10 watchers", |n| list(n, 10), Linear, DOUBLED),
];

crate::messages! {
    enum Ask { Hello }
    enum Said { Line(String) }
    #[derive(Default)] struct Score(u32);
}

struct Table;

impl Room for Table {
    crate::room_types! {
        type ToLobby = Score;
        type Listing = Score;
    }

    async fn on_open(_: (), _: &RoomContext<Self>) -> Result<Self, Refusal> {
        Ok(Table)
    }
}

#[derive(Default)]
struct Server;

impl Lobby for Server {
    crate::lobby_types! {
        type Request = Ask;
        type Event = Said;
    }

    fn on_request(&mut self, _: &LobbyContext<Self>, _: &Player, _: Ask) -> Answer {
        ok()
    }
}

impl RoomManager<Table> for Server {
    fn on_room_message(&mut self, _: &LobbyContext<Self>, _: &crate::RoomInfo<Table>, _: Score) {}
}

crate::kinds!(Server: Table = "table");

type CountedLobby = TestLobby<Server>;

fn start() -> CountedLobby {
    let defaults = Defaults { name: "counted", port: 0, seats: 1000 };
    let flags = ["--max-rooms", "10000"];
    CountedLobby::start_with(defaults, &flags).expect("a lobby")
}

fn name(n: usize) -> String {
    format!("Player {n}")
}

fn with_players(n: usize) -> CountedLobby {
    let mut lobby = start();
    (0..n).for_each(|n| drop(lobby.player(&name(n))));
    lobby
}

fn create_room(lobby: &mut CountedLobby, private: bool) -> RoomId {
    let room = lobby.call(|_, lobby| match private {
        true => lobby.create_private::<Table>(Option::None, Option::None, ()),
        false => lobby.create::<Table>(Option::None, Option::None, ()),
    });
    room.expect("a room")
}

fn with_rooms(n: usize, private: bool) -> (CountedLobby, Vec<RoomId>) {
    let mut lobby = start();
    let rooms = (0..n).map(|_| create_room(&mut lobby, private)).collect();
    (lobby, rooms)
}

fn with_logouts(n: usize) -> CountedLobby {
    let mut lobby = start();
    for n in 0..n {
        let player = lobby.player(&name(n));
        lobby.logout(&player).expect("a logout");
    }
    lobby
}

fn with_bans(n: usize) -> CountedLobby {
    let mut lobby = start();
    for n in 0..n {
        lobby.call(|_, lobby| lobby.ban(PlayerId(name(n)), "no"));
    }
    lobby
}

fn register(n: usize) {
    let mut lobby = with_players(n);
    (0..REPEATS).for_each(|_| drop(measure(|| lobby.player("Guest"))));
}

fn connect(mut lobby: CountedLobby) {
    let guest = lobby.player("Guest");
    for _ in 0..REPEATS {
        lobby.disconnect(&guest);
        measure(|| lobby.connect(&guest)).expect("a connection");
    }
}

fn request(mut lobby: CountedLobby) {
    let guest = lobby.player("Guest");
    (0..REPEATS).for_each(|_| drop(measure(|| lobby.ask(&guest, "hello", json!({})))));
}

fn broadcast(n: usize) {
    let mut lobby = with_players(n);
    for _ in 0..REPEATS {
        measure(|| lobby.call(|_, lobby| lobby.broadcast(Said::Line("hello".to_owned()))));
    }
}

fn play(n: usize) {
    let (mut lobby, _) = with_rooms(n, false);
    let guest = lobby.player("Guest");
    for _ in 0..REPEATS {
        measure(|| lobby.ask(&guest, "play", json!({}))).expect("a room");
        lobby.enter(&guest);
        lobby.leave(&guest, crate::LeaveReason::Left);
    }
}

/// A guest joins, enters, leaves, and is back in the lobby.
fn visit(lobby: &mut CountedLobby, guest: &Player, how: &serde_json::Value) {
    for _ in 0..REPEATS {
        measure(|| {
            lobby.ask(guest, "join", how.clone()).expect("a seat");
            lobby.enter(guest);
            lobby.leave(guest, crate::LeaveReason::Left);
        });
    }
}

fn join(n: usize) {
    let (mut lobby, rooms) = with_rooms(n, false);
    let guest = lobby.player("Guest");
    visit(&mut lobby, &guest, &json!({ "room": rooms[0] }));
}

fn join_crowd(n: usize) {
    let (mut lobby, rooms) = with_rooms(1, false);
    let how = json!({ "room": rooms[0] });
    for n in 0..n {
        let player = lobby.player(&name(n));
        lobby.ask(&player, "join", how.clone()).expect("a seat");
        lobby.enter(&player);
    }
    let guest = lobby.player("Guest");
    visit(&mut lobby, &guest, &how);
}

fn join_by_code(n: usize) {
    let (mut lobby, rooms) = with_rooms(n, true);
    let guest = lobby.player("Guest");
    let code = lobby.lobby().room::<Table>(&rooms[n / 2]).expect("a room").code;
    visit(&mut lobby, &guest, &json!({ "code": code }));
}

fn create(n: usize) {
    let (mut lobby, _) = with_rooms(n, false);
    for _ in 0..REPEATS {
        measure(|| {
            let room = create_room(&mut lobby, false);
            lobby.end(&room, crate::Exit::Finished);
        });
    }
}

fn room_message(n: usize) {
    let (mut lobby, rooms) = with_rooms(n, false);
    (0..REPEATS).for_each(|_| measure(|| lobby.tell_lobby::<Table>(&rooms[0], Score(1))));
}

/// One of the rooms changes, and everyone who watches the list is told.
fn list(rooms: usize, watchers: usize) {
    let (mut lobby, rooms) = with_rooms(rooms, false);
    for n in 0..watchers {
        let player = lobby.player(&name(n));
        lobby.ask(&player, "watch_rooms", json!({})).expect("the list");
    }
    lobby.advance(Duration::from_secs(1));
    for n in 0..REPEATS {
        lobby.set_listing::<Table>(&rooms[0], Score(n as u32 + 1));
        measure(|| lobby.advance(Duration::from_secs(1)));
    }
}
