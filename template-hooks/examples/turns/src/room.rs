//! One room: two players and four in a row. Edit the hooks; the loop in `cluster/room_loop.rs` calls
//! them one at a time. `room/game.rs` keeps the state of the game, `room/board.rs` knows the rules.

pub mod board;
pub mod game;

use std::time::Duration;

use rand::RngExt as _;

use self::game::{FAREWELL, Game, Why};
use cluster::{Answer, Ctx, Leave, Player, Refusal, Room, done, refuse};

use crate::messages::{Options, Outcome, RoomEvent, RoomRequest, ToLobby, ToRoom};

/// For so long a player's seat is kept when his connection is lost. Then the other one wins.
const GRACE: Duration = Duration::from_secs(30);

pub struct Duel {
    game: Game,
}

impl Room for Duel {
    type Options = Options;
    type Request = RoomRequest;
    type Event = RoomEvent;
    type Outcome = Outcome;
    type FromLobby = ToRoom;
    type ToLobby = ToLobby;

    // HOOK: the room begins.
    async fn on_open(options: Options, room: &Ctx<Self>) -> Result<Self, Refusal> {
        // Each tick is a second less to wait.
        room.tick_rate(1);
        Ok(Duel { game: Game { seconds: options.patience, ..Game::default() } })
    }

    // HOOK: what does a player see who comes or returns?
    fn snapshot(&self, _: &Ctx<Self>, _: &Player) -> Option<RoomEvent> {
        Some(RoomEvent::Game(self.game.clone()))
    }

    // HOOK: a player is here.
    fn on_join(&mut self, room: &Ctx<Self>, player: &Player) {
        // A code is good for nothing any more when the one who waits has left.
        room.empty_timeout(Some(Duration::ZERO));
        self.game.add(player);
        if self.game.has_begun() {
            room.lock(true);
            self.game.begin(room.random().random_range(0..2));
        }
        room.sync();
    }

    // HOOK: a player asks something.
    fn on_message(&mut self, room: &Ctx<Self>, from: &Player, request: RoomRequest) -> Answer {
        let side = self.game.side_of(from);
        match request {
            RoomRequest::Play { column } => self.game.play(side, column)?,
            RoomRequest::Rematch if room.is_full() => self.game.rematch(side)?,
            RoomRequest::Rematch => return Err(refuse("no_opponent", "You are alone here.")),
        }
        room.sync();
        done()
    }

    // HOOK: a player's connection is lost.
    fn on_drop(&mut self, _: &Ctx<Self>, _: &Player) -> Option<Duration> {
        Some(GRACE)
    }

    // HOOK: a player is gone.
    fn on_leave(&mut self, room: &Ctx<Self>, player: &Player, why: Leave) {
        let why = match why {
            // Both go, because the room ends.
            Leave::Finished | Leave::Closed(_) => return,
            Leave::Dropped => Why::Away,
            _ => Why::Left,
        };
        if !self.game.has_begun() {
            return self.game.sides.clear();
        }
        self.game.forfeit(self.game.side_of(player), why);
        self.game.seconds = self.game.seconds.min(FAREWELL);
        room.sync();
        if room.players().is_empty() {
            room.close(self.game.outcome());
        }
    }

    // HOOK: a second has passed.
    fn on_tick(&mut self, room: &Ctx<Self>, _: Duration) {
        let players = room.players();
        if !players.iter().all(|player| room.is_here(player)) {
            return;
        }
        self.game.seconds = self.game.seconds.saturating_sub(1);
        if self.game.seconds > 0 {
            return;
        }
        if self.game.is_on() {
            self.game.forfeit(self.game.turn, Why::TooSlow);
            room.sync();
        } else if self.game.has_begun() {
            room.close(self.game.outcome());
        } else {
            players.iter().for_each(|player| room.send_to_lobby(player, "no_opponent"));
        }
    }
}
