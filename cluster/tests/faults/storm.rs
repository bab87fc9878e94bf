//! Five hundred players in fifty rooms, who play while faults are injected, and what must be so
//! after each.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use cluster::testing::{TestLobby, TestPlayer, eventually, pid, soon};
use futures_util::future::join_all;
use rustix::process::Pid;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use crate::{
    common::start_game_with,
    faults::{
        baseline::Baseline,
        guest::{Back, Guest, World},
    },
};

/// Rooms that wait in the pool.
const WARM: usize = 2;
const ROOMS: usize = 50;
const PLAYERS: usize = 10;
/// What every storm's lobby is started with: rooms stay when they are empty, and one boss opens
/// all.
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

pub struct Storm {
    pub cluster: TestLobby,
    /// Stays in the lobby.
    pub boss: TestPlayer,
    crews: Vec<Crew>,
    world: Arc<World>,
    harm: watch::Receiver<Option<String>>,
    back: mpsc::UnboundedReceiver<Back>,
    /// What is printed of the fault that goes on.
    pub notes: Vec<String>,
}

/// A lobby in which two storms pass without faults, so that its memory has grown as it does for so
/// many players, and a third one with these: after that it holds what it held before.
pub async fn changing_weather(more: &[&str], faults: impl AsyncFnOnce(&mut Storm)) {
    // The log that is kept for the page would hold what the faults have written; and memory that
    // many threads have each put aside for themselves is no leak.
    let flags = flags(&[&["--dev=false"], more].concat());
    let cluster = start_game_with(&flags, &[("MALLOC_ARENA_MAX", "1")]).await;
    let first = Baseline::of(&cluster, WARM).await;
    let cluster = Storm::begin(cluster).await.end().await;
    let cluster = Storm::begin(cluster).await.end().await;
    first.is_reached(&cluster).await;
    let before = Baseline::of(&cluster, WARM).await;
    let mut storm = Storm::begin(cluster).await;
    faults(&mut storm).await;
    let cluster = storm.end().await;
    first.is_reached(&cluster).await;
    let after = Baseline::of(&cluster, WARM).await;
    let grown = after.memory as f64 / before.memory as f64;
    println!(
        "the lobby: {first:?}, after two storms {before:?}, after all faults {after:?}, {grown:.3}"
    );
    assert!(grown <= 1.05, "within five hundredths: {grown:.3}");
}

/// The players of one room.
pub struct Crew {
    pub room: Value,
    guests: Vec<Guest>,
}

impl Crew {
    /// One of them says this to the room.
    pub fn emit(&self, event: &str, data: Value) {
        self.guests[0].emit(event, data);
    }

    /// One of them asks the room.
    pub async fn ask(&self, event: &str, data: Value) -> Value {
        self.guests[0].ask(event, data).await
    }

    /// The room's process.
    pub async fn process(&self) -> Pid {
        pid(&self.ask("pid", json!({})).await)
    }

    pub fn misbehave(&self, how: &str) {
        self.emit("misbehave", json!(how));
    }

    /// The room's players by its own count, and by how many came and went.
    async fn count(&self) -> (usize, u64) {
        let about = self.ask("about", json!({})).await;
        let census = self.ask("census", json!({})).await;
        let leaves = census["leaves"].as_object().expect("reasons").values();
        let leaves: u64 = leaves.filter_map(Value::as_u64).sum();
        let players = about["players"].as_array().expect("players").len();
        (players, census["joins"].as_u64().expect("a number") - leaves)
    }
}

impl Storm {
    /// Breaks out in this cluster.
    pub async fn begin(cluster: TestLobby) -> Storm {
        let begun = Instant::now();
        let (harm, harmed) = watch::channel(None);
        let (back, backs) = mpsc::unbounded_channel();
        let (url, lobbies, trips) = (cluster.url.clone(), AtomicU64::new(1), Mutex::default());
        let world = Arc::new(World { url, harm, back, lobbies, trips });
        let boss = cluster.player("Boss").await;
        let (crews, notes) = (Vec::new(), Vec::new());
        let mut storm = Storm { cluster, boss, crews, world, harm: harmed, back: backs, notes };
        for n in 0..ROOMS {
            let names = (0..PLAYERS).map(|m| format!("Guest {n}.{m}"));
            let guests = names.map(async |name| Guest::register(storm.world.clone(), &name).await);
            let guests = join_all(guests).await;
            let room = storm.open(json!({})).await;
            guests.iter().for_each(|guest| guest.join(&room));
            storm.crews.push(Crew { room, guests });
        }
        storm.is_unharmed().await;
        println!("{} players in {ROOMS} rooms after {:.1?}", ROOMS * PLAYERS, begun.elapsed());
        storm
    }

    /// Opens a room for a crew.
    pub async fn open(&mut self, mut options: Value) -> Value {
        options["quiet"] = json!(true);
        let new = json!({ "capacity": 2 * PLAYERS, "options": options });
        self.boss.ask("open", new).await.expect("a room")
    }

    /// Lets this happen, and checks that nobody else noticed. `must` says what has to come of it.
    pub async fn fault(&mut self, must: &str, inject: impl AsyncFnOnce(&mut Storm)) {
        self.world.trips.lock().unwrap().clear();
        let (begun, mut harm) = (Instant::now(), self.harm.clone());
        let injected = async {
            inject(self).await;
            self.is_unharmed().await;
        };
        tokio::select! {
            () = injected => {}
            why = harm.wait_for(Option::is_some) => panic!("{must}: {:?}", why.expect("the storm goes on")),
        }
        let notes = self.notes.drain(..).map(|note| format!("; {note}")).collect::<String>();
        let trips = self.trips();
        println!("{:>5.1} s  {must} ({trips}{notes})", begun.elapsed().as_secs_f64());
    }

    /// Of the answers since the fault began.
    fn trips(&self) -> String {
        let mut trips = self.world.trips.lock().unwrap().clone();
        trips.sort();
        let ms = |part: usize| trips.get(trips.len() * part / 1000).map_or(0, Duration::as_millis);
        let worst = trips.last().map_or(0, Duration::as_millis);
        format!("answers p50 {} p99 {} worst {worst} ms", ms(500), ms(990))
    }

    /// A room that is not one of the next to be victims, and its players.
    pub fn crew(&self) -> &Crew {
        &self.crews[ROOMS / 2]
    }

    /// Another such one.
    pub fn last_crew(&self) -> &Crew {
        &self.crews[ROOMS - 10]
    }

    /// A room and its players to whom something will happen. Each time others.
    pub fn victims(&mut self) -> Crew {
        let crew = self.crews.remove(0);
        crew.guests.iter().for_each(|guest| guest.may_fall(true));
        crew
    }

    /// The same with a room of this kind.
    pub async fn victims_in(&mut self, options: Value) -> Crew {
        let crew = self.victims();
        self.boss.ask("close", json!({ "room": crew.room })).await.expect("its room");
        self.are_back(crew, "closed", options).await;
        let crew = self.crews.pop().expect("they have just joined");
        let joined = || crew.guests.iter().all(|guest| guest.answers() > 0).then_some(());
        eventually("they play again", joined).await;
        crew.guests.iter().for_each(|guest| guest.may_fall(true));
        crew
    }

    /// All of them are in the lobby and were told this reason; they join a new room with these
    /// options.
    pub async fn are_back(&mut self, crew: Crew, reason: &str, options: Value) {
        let begun = Instant::now();
        let mut missing: HashSet<String> =
            crew.guests.iter().map(|guest| guest.you["id"].to_string()).collect();
        let mut last = begun;
        while !missing.is_empty() {
            let back = soon("the victims are back", self.back.recv()).await.expect("they live");
            assert!(missing.remove(&back.id.to_string()), "one of the victims: {back:?}");
            assert_eq!(back.returned, json!({ "room": crew.room, "reason": { "code": reason } }));
            last = back.at;
        }
        self.notes.push(format!("all back after {:.2?}", last.duration_since(begun)));
        self.seat_again(crew, options).await;
    }

    async fn seat_again(&mut self, crew: Crew, options: Value) {
        let room = self.open(options).await;
        crew.guests.iter().for_each(|guest| guest.join(&room));
        self.crews.push(Crew { room, ..crew });
    }

    /// Nothing has happened to them; they go on.
    pub fn go_on(&mut self, crew: Crew) {
        crew.guests.iter().for_each(|guest| guest.may_fall(false));
        self.crews.push(crew);
    }

    /// All five hundred play, in the same lobby; it counts seats as the rooms do, and has no other
    /// rooms.
    pub async fn is_unharmed(&mut self) {
        let answers = |crew: &Crew| crew.guests.iter().map(Guest::answers).collect::<Vec<_>>();
        let before: Vec<_> = self.crews.iter().map(answers).collect();
        // The first of two may have been on its way already.
        let all_play = || {
            let now = self.crews.iter().map(answers);
            now.zip(&before)
                .all(|(now, before)| now.iter().zip(before).all(|(now, before)| *now >= before + 2))
        };
        eventually("everyone plays", || all_play().then_some(())).await;
        // One who has just left may still be leaving.
        let count = async |crew: &Crew| while crew.count().await != (PLAYERS, PLAYERS as u64) {};
        soon("ten in each room", join_all(self.crews.iter().map(count))).await;
        let rooms: HashSet<String> = self.crews.iter().map(|crew| crew.room.to_string()).collect();
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

    /// Starts the lobby again, after it has ended.
    pub async fn start_again(self) -> Storm {
        self.world.lobbies.fetch_add(1, Relaxed);
        let cluster = self.cluster.again().await;
        assert_eq!(cluster.url, self.world.url, "the same command");
        let boss = cluster.player("Boss").await;
        Storm { cluster, boss, ..self }
    }

    /// Everyone has found the newest lobby; what their rooms told them before they ended.
    pub async fn everyone_is_back(&mut self) -> Vec<Option<String>> {
        let newest = self.world.lobbies.load(Relaxed);
        let mut told = HashMap::new();
        let mut arrived = 0;
        while arrived < ROOMS * PLAYERS {
            let back = soon("everyone is back", self.back.recv()).await.expect("they live");
            arrived += usize::from(back.lobby == newest);
            // The player may have been in the old one for a moment.
            told.entry(back.id.to_string()).or_insert(back.told);
        }
        told.into_values().collect()
    }

    /// From now on anything may happen to everyone.
    pub fn everyone_may_fall(&self) {
        let guests = self.crews.iter().flat_map(|crew| &crew.guests);
        guests.for_each(|guest| guest.may_fall(true));
    }

    /// After all rooms are gone.
    pub async fn everyone_joins_again(&mut self) {
        for crew in std::mem::take(&mut self.crews) {
            self.seat_again(crew, json!({})).await;
        }
        self.is_unharmed().await;
    }

    /// The rooms close, and everyone goes to the lobby and away.
    pub async fn end(mut self) -> TestLobby {
        self.everyone_may_fall();
        for crew in &self.crews {
            self.boss.ask("close", json!({ "room": crew.room })).await.expect("its room");
        }
        let told = self.everyone_is_back().await;
        assert!(told.iter().all(|told| told.as_deref() == Some("closed")), "{told:?}");
        self.crews.clear();
        self.boss.ask_until("list", json!({}), |list| *list == json!([])).await;
        self.boss.lobby.take().expect("in the lobby").leave().await;
        assert_eq!(*self.harm.borrow(), None);
        self.cluster
    }
}
