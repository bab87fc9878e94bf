//! One room: dots race for coins. The first with enough wins; the next round follows a pause.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use cluster::{Answer, LeaveReason, Player, PlayerId, Refusal, Room, RoomContext, ok};
use rand::RngExt as _;

use crate::messages::{Dot, Options, Results, RoomEvent, RoomRequest, ToLobby};

const SPEED: f32 = 0.5; // widths of the arena per second
const REACH: f32 = 0.04; // widths of the arena from a dot to a coin that it takes
const PAUSE: f32 = 10.0; // seconds between two rounds, unless everyone is ready sooner
const GRACE: Duration = Duration::from_secs(10); // for players who lost the connection

pub struct Arena {
    options: Options,
    dots: BTreeMap<PlayerId, Dot>,
    coin: (f32, f32),
    results: Option<Results>, // between two rounds
}

impl Room for Arena {
    cluster::room_types! {
        type Options = Options;
        type Request = RoomRequest;
        type Event = RoomEvent;
        type ToLobby = ToLobby;
    }

    // HOOK: the room opens.
    async fn on_open(options: Options, room: &RoomContext<Self>) -> Result<Self, Refusal> {
        room.set_tick_rate(30);
        Ok(Arena { options, dots: BTreeMap::new(), coin: somewhere(room), results: None })
    }

    // HOOK: a player has joined.
    fn on_join(&mut self, room: &RoomContext<Self>, player: &Player) {
        let is_free = |number: &u32| self.dots.values().all(|dot| dot.number != *number);
        let number = (1..).find(is_free).expect("fewer players than numbers");
        let (Player { id, name, .. }, (x, y)) = (player.clone(), somewhere(room));
        let dot = Dot { id, name, number, x, y, direction: [0.0, 0.0], score: 0, ready: false };
        self.dots.insert(player.id.clone(), dot);
    }

    // HOOK: a request of a player.
    fn on_request(&mut self, _: &RoomContext<Self>, from: &Player, request: RoomRequest) -> Answer {
        let Some(dot) = self.dots.get_mut(&from.id) else { return ok() };
        match request {
            RoomRequest::Steer { x, y } => dot.direction = [x, y],
            RoomRequest::PlayAgain => dot.ready = self.results.is_some(),
        }
        ok()
    }

    // HOOK: a player lost the connection. Their dot stops, and waits for them.
    fn on_disconnect(&mut self, _: &RoomContext<Self>, player: &Player) -> Option<Duration> {
        self.dots.entry(player.id.clone()).and_modify(|dot| dot.direction = [0.0, 0.0]);
        Some(GRACE)
    }

    // HOOK: a player has left.
    fn on_leave(&mut self, _: &RoomContext<Self>, player: &Player, _reason: LeaveReason) {
        self.dots.remove(&player.id);
    }

    // HOOK: a tick, as often as `set_tick_rate` says.
    fn on_tick(&mut self, room: &RoomContext<Self>, dt: Duration) {
        let (dt, all_ready) = (dt.as_secs_f32(), self.dots.values().all(|dot| dot.ready));
        match &mut self.results {
            None => self.race(room, dt),
            Some(results) if !all_ready && results.seconds > dt => results.seconds -= dt,
            Some(_) => self.begin_round(room),
        }
        let dots = self.dots.values().cloned().collect();
        let (coin, goal, results) = (self.coin, self.options.goal, self.results.clone());
        room.broadcast_volatile(RoomEvent::State { dots, coin, goal, results });
    }
}

impl Arena {
    /// Moves the dots. One that reaches the coin takes it.
    fn race(&mut self, room: &RoomContext<Self>, dt: f32) {
        for dot in self.dots.values_mut() {
            let [x, y] = dot.direction.map(|part| part.clamp(-1.0, 1.0));
            let step = SPEED * dt / x.hypot(y).max(1.0); // a diagonal is not faster
            dot.x = (dot.x + x * step).clamp(0.0, 1.0);
            dot.y = (dot.y + y * step).clamp(0.0, 1.0);
            if (dot.x - self.coin.0).hypot(dot.y - self.coin.1) < REACH {
                dot.score += 1;
                self.coin = somewhere(room);
                let (name, score) = (dot.name.clone(), dot.score);
                room.broadcast(RoomEvent::Scored { player: dot.id.clone(), score });
                if score >= self.options.goal {
                    let _ = room.tell_lobby(ToLobby::Won { name });
                    return self.end_round();
                }
                let _ = room.tell_lobby(ToLobby::Scored { name, score });
            }
        }
    }

    fn end_round(&mut self) {
        let mut scores: Vec<_> = self.dots.values().cloned().collect();
        scores.sort_by_key(|dot| Reverse(dot.score));
        self.results = Some(Results { scores, seconds: PAUSE });
    }

    fn begin_round(&mut self, room: &RoomContext<Self>) {
        self.dots.values_mut().for_each(|dot| (dot.score, dot.ready) = (0, false));
        (self.coin, self.results) = (somewhere(room), None);
    }
}

fn somewhere(room: &RoomContext<Arena>) -> (f32, f32) {
    let mut random = room.random();
    (random.random_range(0.1..0.9), random.random_range(0.1..0.9))
}
