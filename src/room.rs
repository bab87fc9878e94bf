//! One room: an arena of dots that race for coins. The room calls the hooks one at a time.

use std::collections::BTreeMap;
use std::time::Duration;

use cluster::{Answer, LeaveReason, Player, PlayerId, Refusal, Room, RoomContext, ok};
use rand::RngExt as _;

use crate::messages::{Dot, Options, RoomEvent, RoomRequest, ToLobby};

/// Ticks per second.
const RATE: u32 = 30;
/// Widths of the arena per second.
const SPEED: f32 = 0.5;
/// A dot takes a coin that is nearer than this, in widths of the arena.
const REACH: f32 = 0.04;

pub struct Arena {
    options: Options,
    dots: BTreeMap<PlayerId, Moving>,
    coin: (f32, f32),
}

struct Moving {
    dot: Dot,
    direction: (f32, f32),
}

impl Room for Arena {
    type Options = Options;
    type Request = RoomRequest;
    type Event = RoomEvent;
    type ToLobby = ToLobby;
    cluster::unused!(FromLobby);

    // HOOK: the room opens.
    async fn on_open(options: Options, room: &RoomContext<Self>) -> Result<Self, Refusal> {
        room.set_tick_rate(RATE);
        Ok(Arena { options, dots: BTreeMap::new(), coin: somewhere(room) })
    }

    // HOOK: a player has joined.
    fn on_join(&mut self, room: &RoomContext<Self>, player: &Player) {
        let (x, y) = somewhere(room);
        let dot = Dot { id: player.id.clone(), x, y, score: 0 };
        self.dots.insert(player.id.clone(), Moving { dot, direction: (0.0, 0.0) });
    }

    // HOOK: a request of a player.
    fn on_message(&mut self, _: &RoomContext<Self>, from: &Player, request: RoomRequest) -> Answer {
        let RoomRequest::Steer { x, y } = request;
        if let Some(moving) = self.dots.get_mut(&from.id) {
            moving.direction = (x.clamp(-1.0, 1.0), y.clamp(-1.0, 1.0));
        }
        ok()
    }

    // HOOK: a player has left.
    fn on_leave(&mut self, _: &RoomContext<Self>, player: &Player, _reason: LeaveReason) {
        self.dots.remove(&player.id);
    }

    // HOOK: a tick, as often as `set_tick_rate` says.
    fn on_tick(&mut self, room: &RoomContext<Self>, dt: Duration) {
        let step = SPEED * dt.as_secs_f32();
        for Moving { dot, direction } in self.dots.values_mut() {
            dot.x = (dot.x + direction.0 * step).clamp(0.0, 1.0);
            dot.y = (dot.y + direction.1 * step).clamp(0.0, 1.0);
            if (dot.x - self.coin.0).hypot(dot.y - self.coin.1) < REACH {
                dot.score += 1;
                self.coin = somewhere(room);
                room.broadcast(RoomEvent::Scored { player: dot.id.clone(), score: dot.score });
                let name = name_of(room, &dot.id);
                if dot.score >= self.options.goal {
                    room.tell_lobby(ToLobby::Won { name });
                    room.close();
                    break;
                } else {
                    room.tell_lobby(ToLobby::Scored { name, score: dot.score });
                }
            }
        }
        let dots = self.dots.values().map(|moving| moving.dot.clone()).collect();
        room.broadcast_volatile(RoomEvent::State { dots, coin: self.coin });
    }
}

fn somewhere(room: &RoomContext<Arena>) -> (f32, f32) {
    let mut random = room.random();
    (random.random_range(0.1..0.9), random.random_range(0.1..0.9))
}

fn name_of(room: &RoomContext<Arena>, id: &PlayerId) -> String {
    room.players().iter().find(|player| player.id == *id).map_or("?".into(), |p| p.name.clone())
}
