//! The lists of rooms and of players that pages watch.

use std::mem;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::rooms::SeatPlace;
use crate::socketio::ConnId;
use crate::testing::test_lobby::tests::server::{Game, Options};
use crate::types::Exit;

/// More than are sent a change at a time.
const PLAYERS: usize = 24;

struct Pages {
    lobby: TestLobby<Server>,
    players: Vec<Player<Profile>>,
    /// The connections that watch a list.
    watching: Vec<(usize, ConnId, &'static str)>,
}

impl Pages {
    fn start() -> Self {
        let flags = ["--max-rooms-per-player", "99", "--max-rooms", "99"];
        let mut lobby = TestLobby::<Server>::start_with(DEFAULTS, &flags).expect("a lobby");
        let players = (0..PLAYERS).map(|n| lobby.player(&format!("P{n}"))).collect();
        Pages { lobby, players, watching: vec![] }
    }

    fn watch(&mut self, player: usize, list: &'static str) {
        let Some(conn) = self.lobby.page(&self.players[player].id).conn else { return };
        let asked = self.lobby.ask(&self.players[player], &format!("watch_{list}"), json!({}));
        asked.expect("anyone may");
        self.watching.push((player, conn, list));
    }

    fn unwatch(&mut self, player: usize, list: &'static str) {
        if self.lobby.page(&self.players[player].id).conn.is_some() {
            let event = format!("unwatch_{list}");
            self.lobby.ask(&self.players[player], &event, json!({})).expect("anyone may");
            self.watching.retain(|(other, _, watched)| (*other, *watched) != (player, list));
        }
    }

    /// One of the things that happen.
    fn step(&mut self, what: u8, player: Index, more: Index) {
        let at = player.index(PLAYERS);
        let one = self.players[at].clone();
        let other = &self.players[more.index(PLAYERS)].id;
        let lobby = &mut self.lobby;
        let (page, rooms) = (lobby.page(&one.id), lobby.rooms());
        let (in_lobby, in_room) = (page.conn.is_some(), page.room.is_some());
        let list = ["rooms", "players"][more.index(2)];
        let room = (!rooms.is_empty()).then(|| more.get(&rooms).clone());
        let title = more.index(3).to_string();
        match (what, room) {
            (0..=3, _) => self.watch(at, list),
            (4, _) => self.unwatch(at, list),
            (5..=9, _) => lobby.advance(Duration::from_millis(1 + more.index(60) as u64)),
            (10, _) => drop(lobby.call(|_, lobby| match more.index(2) {
                0 => lobby.create::<Game>(&one, None, Options { title }),
                _ => lobby.create_private::<Game>(&one, None, Options { title }),
            })),
            (11..=13, Some(room)) if in_lobby => {
                let _ = lobby.ask(&one, "join", json!({ "room": room }));
            }
            (14..=16, _) => {
                let routed = lobby.rerouted(&one).map(|room| (room, SeatPlace::Expected));
                let places = lobby.context.rooms.borrow().places_of(&one.id);
                if routed.is_some_and(|routed| places.contains(&routed)) {
                    lobby.enter(&one);
                }
            }
            (17, _) if in_room => lobby.leave(&one, LeaveReason::Left),
            (18, _) if in_room => {
                lobby.drop_player(&one, [None, Some(SECOND)][more.index(2)]);
            }
            (19, Some(room)) if in_room => lobby.send_to_room(&one, &room),
            (20, _) if in_lobby => lobby.disconnect(&one),
            (20 | 21, _) if !in_room => {
                drop(lobby.connect(&one));
                // The lobby may wait for the exit of their room, to tell them why they left it.
                lobby.advance(SECOND / 4);
            }
            (22, Some(room)) => lobby.set_listing::<Game>(&room, Options { title }),
            (23, Some(room)) => lobby.lock_room(&room, more.index(2) == 0),
            (24, Some(room)) => {
                lobby.call(|_, lobby| lobby.lock(&room, more.index(2) == 0)).expect("it exists");
            }
            (25, Some(room)) => lobby.end(&room, Exit::Finished),
            (26, _) => lobby.call(|_, lobby| lobby.kick(other, "Please be kind.")),
            (27, _) => {
                let profile = Profile { level: more.index(9) as u8 };
                lobby.call(|_, lobby| lobby.set_profile(other, profile)).expect("a small one");
            }
            _ => {}
        }
    }

    /// What the lobby knows: its rooms and its players.
    fn known(&self) -> [Value; 2] {
        let context = &self.lobby.context;
        let ids = context.rooms.borrow().ids();
        let rooms = ids.iter().filter_map(|id| context.rooms.borrow().find(id));
        let rooms = rooms.filter(|room| room.code.is_none()).map(|room| json!(room)).collect();
        let known = context.known_players().into_iter();
        [rooms, known.filter_map(|id| context.listed_player(&id)).collect()]
    }

    /// Each page that watches shows what the lobby knows, once nothing has changed for a second:
    /// a seat may have expired just now.
    fn check(&mut self) {
        let mut known = self.known();
        loop {
            self.lobby.advance(SECOND);
            let before = mem::replace(&mut known, self.known());
            if before == known {
                break;
            }
        }
        let [rooms, players] = known;
        for (player, conn, list) in &self.watching {
            let page = self.lobby.page(&self.players[*player].id);
            if page.conn == Some(*conn) {
                let shown = page.sent.iter().rev().find(|sent| sent.event == *list);
                let mut shown = shown.expect("the list").data.clone();
                if *list == "players" {
                    let shown = shown.as_array_mut().expect("a list");
                    shown.sort_by_key(|entry| entry["id"].to_string());
                }
                assert_eq!(&shown, if *list == "rooms" { &rooms } else { &players }, "{list}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 24, ..Default::default() })]

    #[test]
    fn a_page_that_watches_ends_with_the_list_of_the_lobby(
        steps in vec((0..28_u8, any::<Index>(), any::<Index>()), 1..200),
    ) {
        let mut pages = Pages::start();
        for player in 0..PLAYERS - 4 {
            pages.watch(player, "rooms");
            pages.watch(player, "players");
        }
        steps.into_iter().for_each(|(what, player, more)| pages.step(what, player, more));
        pages.check();
    }
}

#[test]
fn a_change_is_sent_to_some_watchers_at_a_time_and_not_to_those_who_have_it() {
    let mut pages = Pages::start();
    (1..PLAYERS).for_each(|player| pages.watch(player, "rooms"));
    let ann = pages.players[0].clone();
    pages.lobby.ask(&ann, "open", json!({ "title": "" })).expect("a room");
    let lists = |pages: &Pages, player: usize| {
        let page = pages.lobby.page(&pages.players[player].id);
        page.sent.iter().filter(|sent| sent.event == "rooms").count()
    };
    let changes = |pages: &Pages| (1..PLAYERS).filter(|player| lists(pages, *player) == 2).count();
    while changes(&pages) == 0 {
        pages.lobby.advance(Duration::from_millis(1));
    }
    assert_eq!(changes(&pages), 16);
    pages.watch(0, "rooms");
    pages.unwatch(PLAYERS - 1, "rooms");
    pages.watch(PLAYERS - 1, "rooms");
    pages.lobby.advance(SECOND);
    assert_eq!(changes(&pages), PLAYERS - 1, "each has two lists");
    assert_eq!(lists(&pages, 0), 1, "they came when it had changed");
    pages.check();
}
