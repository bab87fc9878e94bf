//! A waiting room: players meet at a table in the lobby, choose sides and press "ready". After a
//! countdown they go to a room of their own, and are back at the same table when it is over.
//!
//! `server.rs` keeps [`Tables`] in its state, implements [`WaitingRoom`], and calls its methods in
//! four hooks; README.md has the lines. A player is at one table at most. Its host opened it, or is
//! the next one if they leave. A player who is neither in the lobby nor in the table's room is
//! away, and loses the place after a while.

use std::collections::BTreeMap;
use std::time::Duration;

use cluster::{
    Answer, Lobby, LobbyContext, Player, PlayerId, Refusal, Room, RoomId, RoomManager, RoomOf,
    Timer, ok, refuse, reply,
};
use rand::RngExt as _;

/// Changes within this time are sent as one event.
const TELL_AFTER: Duration = Duration::from_millis(50);
/// Players at a table: the lobby sends no more to a room together.
const MAX_PLAYERS: usize = 32;
/// Tables in a list, and players whom a table remembers as kicked.
const MAX_LISTED: usize = 50;
/// The letters of a code: without vowels, so without words. Eight of them cannot be guessed.
const LETTERS: &[u8] = b"BCDFGHJKLMNPQRSTVWXZ";

cluster::messages! {
    /// What a page asks: `cluster.lobby.request("table", { ready: true })`.
    pub enum TableRequest {
        /// Opens a table, which others join by its code or, if it is listed, from the list.
        Open { listed: bool },
        Join { code: String },
        /// Answered with the listed tables that have a free place: `TableView[]`.
        List,
        Leave,
        Side(usize),
        Ready(bool),
        /// Of the host, as all that follow, and between games. Everyone who is here goes, ready or
        /// not.
        Start,
        Kick(PlayerId),
        /// Makes another player the host.
        PassOn(PlayerId),
        Close,
    }

    /// A table, as the pages of its players see it.
    pub struct TableView {
        pub code: String,
        pub host: PlayerId,
        /// In the order of arrival.
        pub seats: Vec<SeatView>,
        /// Seconds until the room opens, while the countdown runs.
        pub starts_in: Option<u32>,
        /// The room is open.
        pub playing: bool,
        /// Why no room could be opened.
        pub problem: Option<String>,
    }

    /// A player at a table: `playing` in its room, `away` if they are not in the lobby either.
    pub struct SeatView {
        pub id: PlayerId,
        pub name: String,
        pub side: usize,
        pub ready: bool,
        pub playing: bool,
        pub away: bool,
    }
}

/// What a table needs before its players go.
pub struct Rules {
    /// The most players of each side: `vec![4, 4]` for two teams, `vec![8]` without sides.
    pub sides: Vec<usize>,
    /// The fewest players of each side.
    pub fewest: usize,
    /// Seconds from the moment when everybody is ready.
    pub countdown: u32,
    /// How long the place of a player who is away is kept.
    pub grace: Duration,
}

type PlayerOf<R> = Player<<R as Room>::Profile>;

/// A lobby with a waiting room for rooms of the kind `R`.
pub trait WaitingRoom<R: RoomOf<Self>>: RoomManager<R> {
    /// The tables in the lobby's state.
    fn tables(&mut self) -> &mut Tables<R>;

    /// The rules of a table whose rooms have these options.
    fn rules(options: &R::Options) -> Rules;

    /// What the room gets with this player's seat, such as their side.
    fn join_options(seat: &Seat<R>) -> R::JoinOptions;

    /// The event for a player whose table has changed; `None`: they are at none.
    fn table_event(table: Option<&Table<R>>) -> Self::Event;

    /// A request of a player's page. Call it in `on_request`.
    fn table_request(
        &mut self,
        lobby: &LobbyContext<Self>,
        from: &PlayerOf<R>,
        request: TableRequest,
    ) -> Answer {
        match request {
            TableRequest::Open { listed } => {
                return self.open_table(lobby, from, listed, R::Options::default());
            }
            TableRequest::Join { code } => return self.join_table(lobby, from, &code),
            TableRequest::List => return reply(self.tables().list(Self::rules)),
            _ => {}
        }
        let table = self.tables().of(from).ok_or(Refusal::NOT_ALLOWED)?;
        let (code, is_host) = (table.code.clone(), table.host == from.id);
        table.problem = None;
        match request {
            TableRequest::Leave => self.leave_table(lobby, from),
            TableRequest::Side(side) => {
                let most = Self::rules(&table.options).sides.get(side).copied();
                if table.on_side(side).count() >= most.unwrap_or(0) {
                    return Err(refuse("side_full", "This side is full."));
                }
                let seat = table.seat_mut(&from.id)?;
                (seat.side, seat.ready) = (side, false);
            }
            TableRequest::Ready(ready) => table.seat_mut(&from.id)?.ready = ready,
            _ if !is_host => return Err(refuse("not_host", "Only the host can do this.")),
            _ if table.room.is_some() => {
                return Err(refuse("playing", "Wait until the game is over."));
            }
            TableRequest::PassOn(player) => {
                table.host = table.seat_mut(&player)?.player.id.clone();
            }
            TableRequest::Kick(player) => {
                let player = table.seat_mut(&player)?.player.clone();
                table.kicked.insert(0, player.id.clone());
                table.kicked.truncate(MAX_LISTED);
                self.leave_table(lobby, &player);
            }
            TableRequest::Close => {
                let seats: Vec<_> = table.seats.iter().map(|seat| seat.player.clone()).collect();
                seats.iter().for_each(|player| self.leave_table(lobby, player));
            }
            _ => self.start(lobby, &code)?,
        }
        self.settle(lobby, &code);
        ok()
    }

    /// Opens a table for a player, who leaves any other, and answers with its code. Its rooms get
    /// these options; [`TableRequest::Open`] has the default.
    fn open_table(
        &mut self,
        lobby: &LobbyContext<Self>,
        host: &PlayerOf<R>,
        listed: bool,
        options: R::Options,
    ) -> Answer {
        let letter = |_| char::from(LETTERS[rand::rng().random_range(0..LETTERS.len())]);
        let code: String = (0..8).map(letter).collect();
        let table = Table {
            code: code.clone(),
            listed,
            host: host.id.clone(),
            options,
            seats: vec![],
            room: None,
            kicked: vec![],
            countdown: None,
            telling: false,
            problem: None,
        };
        self.tables().by_code.insert(code.clone(), table);
        let answer = self.join_table(lobby, host, &code);
        self.settle(lobby, &code); // removes it, if its rules have no place
        answer
    }

    /// Seats a player, who leaves any other table, on the side with the fewest players. Answers
    /// with the code.
    fn join_table(
        &mut self,
        lobby: &LobbyContext<Self>,
        player: &PlayerOf<R>,
        code: &str,
    ) -> Answer {
        let code = code.trim().to_uppercase();
        let table = self.tables().by_code.get(&code);
        let table = table.filter(|table| !table.kicked.contains(&player.id));
        let table = table.ok_or_else(|| refuse("no_such_table", "There is no such table."))?;
        if table.seat(&player.id).is_none() {
            let side = table.free_side(&Self::rules(&table.options));
            let side = side.ok_or_else(|| refuse("table_full", "The table is full."))?;
            self.leave_table(lobby, player);
            let (ready, playing, is_here) = (false, false, true);
            let seat = Seat { player: player.clone(), side, ready, playing, is_here, grace: None };
            self.tables().by_code.entry(code.clone()).and_modify(|table| table.seats.push(seat));
        }
        self.settle(lobby, &code);
        reply(code)
    }

    /// Takes a player from their table, if they are at one.
    fn leave_table(&mut self, lobby: &LobbyContext<Self>, player: &PlayerOf<R>) {
        let Some(table) = self.tables().of(player) else { return };
        let code = table.code.clone();
        let left = table.seats.extract_if(.., |seat| seat.player.id == player.id);
        left.filter_map(|seat| seat.grace).for_each(|timer| lobby.cancel(timer));
        // It begins anew, if those who stay are ready.
        table.stop_countdown(lobby);
        lobby.send(player, Self::table_event(None));
        self.settle(lobby, &code);
    }

    /// A player has come or gone. Call it in `on_arrive`, before `send_back`, and in `on_leave`;
    /// also in `on_player_left`, if your rooms stay open when somebody is lost there.
    fn table_presence(&mut self, lobby: &LobbyContext<Self>, player: &PlayerOf<R>) {
        if let Some(table) = self.tables().of(player) {
            let code = table.code.clone();
            if let Ok(seat) = table.seat_mut(&player.id) {
                seat.player = player.clone(); // with a new name or profile
            }
            self.settle(lobby, &code);
        }
        // A page that returns may still show a table that they are at no longer.
        let table = self.tables().of(player);
        lobby.send(player, Self::table_event(table.as_deref()));
    }

    /// A room has ended. Call it in `on_room_exit`.
    fn table_room_exit(&mut self, lobby: &LobbyContext<Self>, room: &RoomId) {
        let mut tables = self.tables().by_code.values_mut();
        if let Some(table) = tables.find(|table| table.room.as_ref() == Some(room)) {
            table.room = None;
            let code = table.code.clone();
            self.settle(lobby, &code);
        }
    }

    /// Brings a table up to date after any change, also one of your own. Its players are told soon.
    fn settle(&mut self, lobby: &LobbyContext<Self>, code: &str) {
        let Some(table) = self.tables().by_code.get_mut(code) else { return };
        let rules = Self::rules(&table.options);
        for seat in &mut table.seats {
            seat.is_here = lobby.is_here(&seat.player);
            seat.playing = table.room.is_some() && lobby.seat_of(&seat.player) == table.room;
            seat.ready &= seat.is_here;
            if !seat.is_away() {
                if let Some(timer) = seat.grace.take() {
                    lobby.cancel(timer);
                }
            } else if seat.grace.is_none() {
                let player = seat.player.clone();
                let leave = move |server: &mut Self, lobby: &LobbyContext<Self>| {
                    server.leave_table(lobby, &player);
                };
                seat.grace = Some(lobby.after(rules.grace, leave));
            }
        }
        // Also if the room is still open: everyone has come back, or was refused there.
        if table.seats.iter().all(|seat| !seat.playing)
            && let Some(room) = table.room.take()
        {
            let _ = lobby.close(&room, "The game is over.");
        }
        if table.seat(&table.host).is_none() {
            let next = table.seats.iter().find(|seat| !seat.is_away()).or(table.seats.first());
            let Some(next) = next else { return drop(self.tables().by_code.remove(code)) };
            table.host = next.player.id.clone();
        }
        let all_ready = table.room.is_none() && table.seats.iter().all(|seat| seat.ready);
        if !all_ready || !table.has_enough(&rules) {
            table.stop_countdown(lobby);
        } else if table.countdown.is_none() {
            self.count_down(lobby, code, rules.countdown);
        }
        self.tell_soon(lobby, code);
    }

    #[doc(hidden)]
    fn count_down(&mut self, lobby: &LobbyContext<Self>, code: &str, left: u32) {
        let Some(table) = self.tables().by_code.get_mut(code) else { return };
        let next = code.to_owned();
        let step = move |server: &mut Self, lobby: &LobbyContext<Self>| match left {
            0 => {
                let _ = server.start(lobby, &next); // its players see the problem
                server.settle(lobby, &next);
            }
            left => server.count_down(lobby, &next, left - 1),
        };
        let wait = Duration::from_secs(left.min(1).into());
        table.countdown = Some((left, lobby.after(wait, step)));
        self.tell_soon(lobby, code);
    }

    /// Opens a room, and sends everyone there who is here.
    #[doc(hidden)]
    fn start(&mut self, lobby: &LobbyContext<Self>, code: &str) -> Result<(), Refusal> {
        let table = self.tables().by_code.get_mut(code).ok_or(Refusal::NOT_ALLOWED)?;
        if !table.has_enough(&Self::rules(&table.options)) {
            return Err(refuse("too_few_players", "A side has too few players."));
        }
        table.stop_countdown(lobby);
        table.seats.iter_mut().for_each(|seat| seat.ready = false);
        let here = table.seats.iter().filter(|seat| seat.is_here);
        let players: Vec<_> = here.map(|seat| seat.player.clone()).collect();
        let host = table.seat(&table.host).map(|seat| &seat.player);
        // A private room is in no list: nobody else goes there.
        let room = lobby.create_private::<R>(host, players.len(), table.options.clone());
        let room = room.inspect_err(|refusal| table.problem = Some(refusal.to_string()))?;
        table.room = Some(room.clone());
        let options = |player: &PlayerOf<R>| {
            table.seat(&player.id).map(Self::join_options).unwrap_or_default()
        };
        let (code, opened) = (code.to_owned(), room.clone());
        lobby.reroute_with::<R>(&players, &room, options, move |server, lobby, sent| {
            let _ = lobby.lock(&opened, true); // its code lets nobody in
            if let (Err(refusal), Some(table)) = (sent, server.tables().by_code.get_mut(&code)) {
                table.problem = Some(refusal.to_string());
            }
            server.settle(lobby, &code);
        });
        Ok(())
    }

    #[doc(hidden)]
    fn tell_soon(&mut self, lobby: &LobbyContext<Self>, code: &str) {
        let Some(table) = self.tables().by_code.get_mut(code) else { return };
        if !std::mem::replace(&mut table.telling, true) {
            let code = code.to_owned();
            lobby.after(TELL_AFTER, move |server, lobby| {
                let Some(table) = server.tables().by_code.get_mut(&code) else { return };
                table.telling = false;
                let players = table.seats.iter().map(|seat| &seat.player);
                lobby.send_to(players, Self::table_event(Some(table)));
            });
        }
    }
}

/// All tables, in the lobby's state.
pub struct Tables<R: Room> {
    by_code: BTreeMap<String, Table<R>>,
}

pub struct Table<R: Room> {
    pub code: String,
    pub listed: bool,
    pub host: PlayerId,
    /// What its rooms are created with. After a change, call [`WaitingRoom::settle`].
    pub options: R::Options,
    /// In the order of arrival.
    pub seats: Vec<Seat<R>>,
    /// The room in which they play.
    pub room: Option<RoomId>,
    kicked: Vec<PlayerId>,
    /// Seconds left, and the next step.
    countdown: Option<(u32, Timer)>,
    /// An event is due.
    telling: bool,
    problem: Option<String>,
}

pub struct Seat<R: Room> {
    pub player: PlayerOf<R>,
    /// From 0.
    pub side: usize,
    pub ready: bool,
    playing: bool,
    is_here: bool,
    /// Takes the place of a player who is away.
    grace: Option<Timer>,
}

impl<R: Room> Default for Tables<R> {
    fn default() -> Self {
        Tables { by_code: BTreeMap::new() }
    }
}

impl<R: Room> Tables<R> {
    /// The table of a player.
    pub fn of(&mut self, player: &PlayerOf<R>) -> Option<&mut Table<R>> {
        self.by_code.values_mut().find(|table| table.seat(&player.id).is_some())
    }

    /// The listed tables with a free place.
    fn list(&self, rules: impl Fn(&R::Options) -> Rules) -> Vec<TableView> {
        let has_free = |table: &&Table<R>| table.free_side(&rules(&table.options)).is_some();
        let tables = self.by_code.values().filter(|table| table.listed).filter(has_free);
        tables.take(MAX_LISTED).map(Table::view).collect()
    }
}

impl<R: Room> Table<R> {
    pub fn view(&self) -> TableView {
        let seats = self.seats.iter().map(|seat| SeatView {
            id: seat.player.id.clone(),
            name: seat.player.name.clone(),
            side: seat.side,
            ready: seat.ready,
            playing: seat.playing,
            away: seat.is_away(),
        });
        TableView {
            code: self.code.clone(),
            host: self.host.clone(),
            seats: seats.collect(),
            starts_in: self.countdown.map(|(left, _)| left),
            playing: self.room.is_some(),
            problem: self.problem.clone(),
        }
    }

    pub fn seat(&self, player: &PlayerId) -> Option<&Seat<R>> {
        self.seats.iter().find(|seat| seat.player.id == *player)
    }

    fn seat_mut(&mut self, player: &PlayerId) -> Result<&mut Seat<R>, Refusal> {
        self.seats.iter_mut().find(|seat| seat.player.id == *player).ok_or(Refusal::NOT_ALLOWED)
    }

    fn stop_countdown<L: Lobby>(&mut self, lobby: &LobbyContext<L>) {
        if let Some((_, timer)) = self.countdown.take() {
            lobby.cancel(timer);
        }
    }

    fn on_side(&self, side: usize) -> impl Iterator<Item = &Seat<R>> {
        self.seats.iter().filter(move |seat| seat.side == side)
    }

    /// Of the sides with a free place, the one with the fewest players.
    fn free_side(&self, rules: &Rules) -> Option<usize> {
        let free = |side: &usize| self.on_side(*side).count() < rules.sides[*side];
        let sides = (0..rules.sides.len()).filter(free);
        let side = sides.min_by_key(|side| self.on_side(*side).count());
        side.filter(|_| self.seats.len() < MAX_PLAYERS)
    }

    /// Whether enough players are here.
    fn has_enough(&self, rules: &Rules) -> bool {
        let here = |side| self.on_side(side).filter(|seat| seat.is_here).count();
        (0..rules.sides.len()).all(|side| here(side) >= rules.fewest)
    }
}

impl<R: Room> Seat<R> {
    fn is_away(&self) -> bool {
        !self.is_here && !self.playing
    }
}

#[cfg(test)]
mod tests {
    use cluster::testing::TestLobby;
    use cluster::{Arrival, Defaults, Exit, RoomContext, RoomInfo};
    use serde_json::{Value, json};

    use super::*;

    const DEFAULTS: Defaults = Defaults { name: "tables", port: 0, seats: 8 };
    const SECOND: Duration = Duration::from_secs(1);

    cluster::messages! {
        enum Ask { Table(TableRequest) }
        enum News { Table(Option<TableView>) }
        #[derive(Default, PartialEq)]
        struct Side(usize);
    }

    struct Match;

    impl Room for Match {
        cluster::room_types! {
            type JoinOptions = Side;
        }

        async fn on_open(_: (), _: &RoomContext<Self>) -> Result<Self, Refusal> {
            Ok(Match)
        }
    }

    #[derive(Default)]
    struct Server {
        tables: Tables<Match>,
    }

    impl Lobby for Server {
        cluster::lobby_types! {
            type Request = Ask;
            type Event = News;
        }

        fn on_request(&mut self, lobby: &LobbyContext<Self>, from: &Player, ask: Ask) -> Answer {
            let Ask::Table(request) = ask;
            self.table_request(lobby, from, request)
        }

        fn on_arrive(&mut self, lobby: &LobbyContext<Self>, player: &Player, _: Arrival<Self>) {
            self.table_presence(lobby, player);
            lobby.send_back(player);
        }

        fn on_leave(&mut self, lobby: &LobbyContext<Self>, player: &Player) {
            self.table_presence(lobby, player);
        }
    }

    cluster::kinds!(Server: Match = "match");

    impl RoomManager<Match> for Server {
        fn on_room_exit(&mut self, lobby: &LobbyContext<Self>, room: &RoomInfo<Match>, _: Exit) {
            self.table_room_exit(lobby, &room.id);
        }
    }

    impl WaitingRoom<Match> for Server {
        fn tables(&mut self) -> &mut Tables<Match> {
            &mut self.tables
        }

        fn rules((): &()) -> Rules {
            Rules { sides: vec![1, 1], fewest: 1, countdown: 3, grace: 10 * SECOND }
        }

        fn join_options(seat: &Seat<Match>) -> Side {
            Side(seat.side)
        }

        fn table_event(table: Option<&Table<Match>>) -> News {
            News::Table(table.map(Table::view))
        }
    }

    /// Two players at one table, on different sides.
    fn table() -> (TestLobby<Server>, [Player; 2]) {
        let mut lobby = TestLobby::<Server>::start(DEFAULTS);
        let players = ["Ann", "Bob"].map(|name| lobby.player(name));
        let code = ask(&mut lobby, &players[0], json!({ "open": { "listed": true } }));
        ask(&mut lobby, &players[1], json!({ "join": { "code": code } }));
        (lobby, players)
    }

    fn ask(lobby: &mut TestLobby<Server>, from: &Player, request: Value) -> Value {
        lobby.ask(from, "table", request).expect("an answer")
    }

    #[test]
    fn two_sides_are_ready_count_down_play_and_are_back_to_play_again() {
        let (mut lobby, [ann, bob]) = table();
        for _ in 0..2 {
            ask(&mut lobby, &ann, json!({ "ready": true }));
            ask(&mut lobby, &bob, json!({ "ready": true }));
            lobby.advance(SECOND + 2 * TELL_AFTER);
            assert_eq!(lobby.last(&ann, "table").expect("a table")["starts_in"], 2);
            lobby.advance(3 * SECOND);
            let room = lobby.enter(&ann);
            assert_eq!(lobby.enter(&bob), room);
            assert_eq!(lobby.join_options::<Match>(&room, &ann), Some(Side(0)));
            assert_eq!(lobby.join_options::<Match>(&room, &bob), Some(Side(1)));
            lobby.end(&room, Exit::Finished);
            lobby.advance(SECOND);
            let seats = &lobby.last(&bob, "table").expect("a table")["seats"];
            assert_eq!(seats.as_array().expect("seats").len(), 2, "both are back: {seats}");
        }
    }

    #[test]
    fn the_countdown_stops_if_somebody_is_not_ready_any_more() {
        let (mut lobby, [ann, bob]) = table();
        ask(&mut lobby, &ann, json!({ "ready": true }));
        ask(&mut lobby, &bob, json!({ "ready": true }));
        lobby.advance(2 * SECOND);
        ask(&mut lobby, &bob, json!({ "ready": false }));
        lobby.advance(10 * SECOND);
        assert_eq!(lobby.last(&ann, "table").expect("a table")["starts_in"], json!(null));
        assert!(lobby.rooms().is_empty());
    }
}
