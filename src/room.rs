//! One room: an arena of dots that race for coins. Edit the hooks; the loop in `cluster/room_loop.rs`
//! calls them one at a time.

use std::{collections::BTreeMap, time::Duration};

use cluster::{Answer, Ctx, Leave, Player, PlayerId, Refusal, Room, done};
use rand::RngExt as _;

use crate::messages::{Dot, Options, Outcome, RoomEvent, RoomRequest, ToLobby, ToRoom};

/// Ticks in a second.
const RATE: u32 = 30;
/// Arenas in a second.
const SPEED: f32 = 0.5;
/// A dot takes a coin that is nearer than this.
const REACH: f32 = 0.04;

pub struct Arena {
    options: Options,
    dots: BTreeMap<PlayerId, Moving>,
    coin: (f32, f32),
}

struct Moving {
    dot: Dot,
    way: (f32, f32),
}

impl Room for Arena {
    type Options = Options;
    type Request = RoomRequest;
    type Event = RoomEvent;
    type Outcome = Outcome;
    type FromLobby = ToRoom;
    type ToLobby = ToLobby;

    // HOOK: the room begins.
    async fn on_open(options: Options, room: &Ctx<Self>) -> Result<Self, Refusal> {
        room.tick_rate(RATE);
        Ok(Arena { options, dots: BTreeMap::new(), coin: somewhere(room) })
    }

    // HOOK: a player is here.
    fn on_join(&mut self, room: &Ctx<Self>, player: &Player) {
        let (x, y) = somewhere(room);
        let dot = Dot { id: player.id.clone(), x, y, score: 0 };
        self.dots.insert(player.id.clone(), Moving { dot, way: (0.0, 0.0) });
    }

    // HOOK: a player asks something.
    fn on_message(&mut self, _: &Ctx<Self>, from: &Player, request: RoomRequest) -> Answer {
        let RoomRequest::Steer { x, y } = request;
        if let Some(moving) = self.dots.get_mut(&from.id) {
            moving.way = (x.clamp(-1.0, 1.0), y.clamp(-1.0, 1.0));
        }
        done()
    }

    // HOOK: a player is gone.
    fn on_leave(&mut self, _: &Ctx<Self>, player: &Player, _why: Leave) {
        self.dots.remove(&player.id);
    }

    // HOOK: what happens by itself.
    fn on_tick(&mut self, room: &Ctx<Self>, dt: Duration) {
        let step = SPEED * dt.as_secs_f32();
        for Moving { dot, way } in self.dots.values_mut() {
            dot.x = (dot.x + way.0 * step).clamp(0.0, 1.0);
            dot.y = (dot.y + way.1 * step).clamp(0.0, 1.0);
            if (dot.x - self.coin.0).hypot(dot.y - self.coin.1) < REACH {
                dot.score += 1;
                self.coin = somewhere(room);
                room.broadcast(RoomEvent::Scored { player: dot.id.clone(), score: dot.score });
                let name = name_of(room, &dot.id);
                if dot.score >= self.options.goal {
                    room.close(Outcome { winner: name });
                } else {
                    room.tell_lobby(ToLobby::Leader { name, score: dot.score });
                }
            }
        }
        let dots = self.dots.values().map(|moving| moving.dot.clone()).collect();
        room.broadcast_volatile(RoomEvent::State { dots, coin: self.coin });
    }
}

fn somewhere(room: &Ctx<Arena>) -> (f32, f32) {
    let mut random = room.random();
    (random.random_range(0.1..0.9), random.random_range(0.1..0.9))
}

fn name_of(room: &Ctx<Arena>, id: &PlayerId) -> String {
    room.players().iter().find(|player| player.id == *id).map_or("?".into(), |p| p.name.clone())
}
