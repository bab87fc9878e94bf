//! Five hundred players in fifty rooms play while faults are injected, and the checks after each
//! fault.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cluster::testing::{LobbyProcess, TestPlayer, eventually, pid, soon};
use futures_util::future::join_all;
use rustix::process::Pid;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use crate::common::start_game_with;
use crate::faults::background_player::{BackInLobby, BackgroundPlayer, Shared};
use crate::faults::baseline::Baseline;

/// Warm rooms in the pool.
const WARM: usize = 2;
const ROOMS: usize = 50;
const PLAYERS: usize = 10;
/// The lobby's flags: empty rooms stay open, and one player, the boss, opens all of them.
const FLAGS: [&str; 14] = [
    "--max-rooms",
    "100",
    "--max-rooms-per-player",
    "1000",
    "--max-rooms-per-address",
    "1000",
    "--pool",
    "2", // as WARM
    "--empty-timeout",
    "10m",
    "--header-timeout",
    "3s",
    "--connect-timeout",
    "3s",
];

pub fn flags<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&FLAGS, more].concat()
}

pub struct FaultTest {
    pub cluster: LobbyProcess,
    /// Stays in the lobby.
    pub boss: TestPlayer,
    groups: Vec<Group>,
    shared: Arc<Shared>,
    failure: watch::Receiver<Option<String>>,
    back: mpsc::UnboundedReceiver<BackInLobby>,
    /// Notes on the current fault, printed at its end.
    pub notes: Vec<String>,
}

/// Plays two rounds without faults, so that the lobby's memory has grown as much as it does for so
/// many players, and a third with faults. Then the lobby must hold the same resources as before.
pub async fn run_with_faults(more: &[&str], faults: impl AsyncFnOnce(&mut FaultTest)) {
    // Without the log that is kept for the page, which would grow with the faults; and with one
    // arena, as memory that each thread keeps for itself is no leak.
    let flags = flags(&[&["--dev=false"], more].concat());
    let cluster = start_game_with(&flags, &[("MALLOC_ARENA_MAX", "1")]).await;
    let first = Baseline::of(&cluster, WARM).await;
    let cluster = FaultTest::begin(cluster).await.end().await;
    let cluster = FaultTest::begin(cluster).await.end().await;
    first.is_reached(&cluster).await;
    let before = Baseline::of(&cluster, WARM).await;
    let mut test = FaultTest::begin(cluster).await;
    faults(&mut test).await;
    let cluster = test.end().await;
    first.is_reached(&cluster).await;
    let after = Baseline::of(&cluster, WARM).await;
    let grown = after.memory as f64 / before.memory as f64;
    println!(
        "the lobby: {first:?}, after two rounds {before:?}, after all faults {after:?}, {grown:.3}"
    );
    assert!(grown <= 1.05, "within five hundredths: {grown:.3}");
}

/// The players of one room.
pub struct Group {
    pub room: Value,
    players: Vec<BackgroundPlayer>,
}

impl Group {
    /// One of the players emits an event.
    pub fn emit(&self, event: &str, data: Value) {
        self.players[0].emit(event, data);
    }

    /// One of the players asks the room.
    pub async fn ask(&self, event: &str, data: Value) -> Value {
        self.players[0].ask(event, data).await
    }

    /// The room's process.
    pub async fn process(&self) -> Pid {
        pid(&self.ask("pid", json!({})).await)
    }

    pub fn misbehave(&self, how: &str) {
        self.emit("misbehave", json!(how));
    }

    /// The room's players by its own count, and by its joins and leaves.
    async fn count(&self) -> (usize, u64) {
        let about = self.ask("about", json!({})).await;
        let census = self.ask("census", json!({})).await;
        let leaves = census["leaves"].as_object().expect("reasons").values();
        let leaves: u64 = leaves.filter_map(Value::as_u64).sum();
        let players = about["players"].as_array().expect("players").len();
        (players, census["joins"].as_u64().expect("a number") - leaves)
    }
}

impl FaultTest {
    /// Lets the players join rooms of this cluster.
    pub async fn begin(cluster: LobbyProcess) -> FaultTest {
        let begun = Instant::now();
        let (failure, failed) = watch::channel(None);
        let (back, backs) = mpsc::unbounded_channel();
        let (url, lobbies, round_trips) =
            (cluster.url.clone(), AtomicU64::new(1), Mutex::default());
        let shared = Arc::new(Shared { url, failure, back, lobbies, round_trips });
        let boss = cluster.player("Boss").await;
        let (groups, notes) = (Vec::new(), Vec::new());
        let mut test =
            FaultTest { cluster, boss, groups, shared, failure: failed, back: backs, notes };
        for n in 0..ROOMS {
            let names = (0..PLAYERS).map(|m| format!("Player {n}.{m}"));
            let players = names
                .map(async |name| BackgroundPlayer::register(test.shared.clone(), &name).await);
            let players = join_all(players).await;
            let room = test.open(json!({})).await;
            players.iter().for_each(|player| player.join(&room));
            test.groups.push(Group { room, players });
        }
        test.everyone_plays().await;
        println!("{} players in {ROOMS} rooms after {:.1?}", ROOMS * PLAYERS, begun.elapsed());
        test
    }

    /// Opens a room for a group.
    pub async fn open(&mut self, mut options: Value) -> Value {
        options["quiet"] = json!(true);
        let new = json!({ "capacity": 2 * PLAYERS, "options": options });
        self.boss.ask("open", new).await.expect("a room")
    }

    /// Injects a fault, and checks that the other players play on. `must` is the expected outcome.
    pub async fn fault(&mut self, must: &str, inject: impl AsyncFnOnce(&mut FaultTest)) {
        self.shared.round_trips.lock().unwrap().clear();
        let (begun, mut failure) = (Instant::now(), self.failure.clone());
        let injected = async {
            inject(self).await;
            self.everyone_plays().await;
        };
        tokio::select! {
            () = injected => {}
            why = failure.wait_for(Option::is_some) => panic!("{must}: {:?}", why.expect("the test goes on")),
        }
        let notes = self.notes.drain(..).map(|note| format!("; {note}")).collect::<String>();
        let round_trips = self.round_trips();
        println!("{:>5.1} s  {must} ({round_trips}{notes})", begun.elapsed().as_secs_f64());
    }

    /// Statistics of the round trips since the fault began.
    fn round_trips(&self) -> String {
        let mut round_trips = self.shared.round_trips.lock().unwrap().clone();
        round_trips.sort();
        let ms = |part: usize| {
            round_trips.get(round_trips.len() * part / 1000).map_or(0, Duration::as_millis)
        };
        let worst = round_trips.last().map_or(0, Duration::as_millis);
        format!("answers p50 {} p99 {} worst {worst} ms", ms(500), ms(990))
    }

    /// A group that is not among the next victims.
    pub fn group(&self) -> &Group {
        &self.groups[ROOMS / 2]
    }

    /// Another one.
    pub fn last_group(&self) -> &Group {
        &self.groups[ROOMS - 10]
    }

    /// The next group to be hit by a fault.
    pub fn victims(&mut self) -> Group {
        let group = self.groups.remove(0);
        group.players.iter().for_each(|player| player.may_disconnect(true));
        group
    }

    /// The same with a room with these options.
    pub async fn victims_in(&mut self, options: Value) -> Group {
        let group = self.victims();
        self.boss.ask("close", json!({ "room": group.room })).await.expect("its room");
        self.are_back(group, "closed", options).await;
        let group = self.groups.pop().expect("they have just joined");
        let joined = || group.players.iter().all(|player| player.answers() > 0).then_some(());
        eventually("they play again", joined).await;
        group.players.iter().for_each(|player| player.may_disconnect(true));
        group
    }

    /// Waits until all of them are in the lobby and were told this reason. Then they join a new
    /// room with these options.
    pub async fn are_back(&mut self, group: Group, reason: &str, options: Value) {
        let begun = Instant::now();
        let mut missing: HashSet<String> =
            group.players.iter().map(|player| player.you["id"].to_string()).collect();
        let mut last = begun;
        while !missing.is_empty() {
            let back =
                soon("the victims are back", self.back.recv()).await.expect("their tasks run");
            assert!(missing.remove(&back.id.to_string()), "one of the victims: {back:?}");
            let returned = [&back.returned["room"], &back.returned["reason"]["code"]];
            assert_eq!(returned, [&group.room, &json!(reason)]);
            last = back.at;
        }
        self.notes.push(format!("all back after {:.2?}", last.duration_since(begun)));
        self.seat_again(group, options).await;
    }

    async fn seat_again(&mut self, group: Group, options: Value) {
        let room = self.open(options).await;
        group.players.iter().for_each(|player| player.join(&room));
        self.groups.push(Group { room, ..group });
    }

    /// The fault did not disconnect them; they play on.
    pub fn go_on(&mut self, group: Group) {
        group.players.iter().for_each(|player| player.may_disconnect(false));
        self.groups.push(group);
    }

    /// All players are answered, and lobby and rooms agree on seats and rooms.
    pub async fn everyone_plays(&mut self) {
        let answers =
            |group: &Group| group.players.iter().map(BackgroundPlayer::answers).collect::<Vec<_>>();
        let before: Vec<_> = self.groups.iter().map(answers).collect();
        // Two answers: the first may already have been under way.
        let all_play = || {
            let now = self.groups.iter().map(answers);
            now.zip(&before)
                .all(|(now, before)| now.iter().zip(before).all(|(now, before)| *now >= before + 2))
        };
        eventually("everyone plays", || all_play().then_some(())).await;
        // A player who has just left may still be counted.
        let count = async |group: &Group| while group.count().await != (PLAYERS, PLAYERS as u64) {};
        soon("ten in each room", join_all(self.groups.iter().map(count))).await;
        let rooms: HashSet<String> =
            self.groups.iter().map(|group| group.room.to_string()).collect();
        let is_right = |list: &Value| {
            let list = list.as_array().expect("rooms");
            let is_one = |room: &Value| {
                rooms.contains(&room["room"].to_string()) && room["players"] == PLAYERS
            };
            list.len() == rooms.len() && list.iter().all(is_one)
        };
        self.boss.ask_until("list", json!({}), is_right).await;
        assert_eq!(self.cluster.has_ended(), None, "the lobby runs");
    }

    /// Starts the lobby again after it has ended.
    pub async fn start_again(self) -> FaultTest {
        self.shared.lobbies.fetch_add(1, Relaxed);
        let cluster = self.cluster.again().await;
        assert_eq!(cluster.url, self.shared.url, "the same command");
        let boss = cluster.player("Boss").await;
        FaultTest { cluster, boss, ..self }
    }

    /// Waits until all players are in the newest lobby. Returns what their rooms told them.
    pub async fn everyone_is_back(&mut self) -> Vec<Option<String>> {
        let newest = self.shared.lobbies.load(Relaxed);
        let mut told = HashMap::new();
        let mut arrived = 0;
        while arrived < ROOMS * PLAYERS {
            let back = soon("everyone is back", self.back.recv()).await.expect("their tasks run");
            arrived += usize::from(back.lobby == newest);
            // The player may have been in the old one for a moment.
            told.entry(back.id.to_string()).or_insert(back.told);
        }
        told.into_values().collect()
    }

    /// From now on any player may lose their connection.
    pub fn everyone_may_disconnect(&self) {
        let players = self.groups.iter().flat_map(|group| &group.players);
        players.for_each(|player| player.may_disconnect(true));
    }

    /// All players join new rooms, after the old ones are gone.
    pub async fn everyone_joins_again(&mut self) {
        for group in std::mem::take(&mut self.groups) {
            self.seat_again(group, json!({})).await;
        }
        self.everyone_plays().await;
    }

    /// Closes the rooms and disconnects everyone.
    pub async fn end(mut self) -> LobbyProcess {
        self.everyone_may_disconnect();
        for group in &self.groups {
            self.boss.ask("close", json!({ "room": group.room })).await.expect("its room");
        }
        let told = self.everyone_is_back().await;
        assert!(told.iter().all(|told| told.as_deref() == Some("closed")), "{told:?}");
        self.groups.clear();
        self.boss.ask_until("list", json!({}), |list| *list == json!([])).await;
        self.boss.lobby.take().expect("in the lobby").leave().await;
        assert_eq!(*self.failure.borrow(), None);
        self.cluster
    }
}
