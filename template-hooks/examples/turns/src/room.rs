//! One room: two players and four in a row. The room calls the hooks one at a time. `room/game.rs`
//! has the state of the game, `room/board.rs` the rules.

pub mod board;
pub mod game;

use std::time::Duration;

use cluster::{Answer, LeaveReason, Player, Refusal, Room, RoomContext, ok, refuse};
use rand::RngExt as _;

use self::game::{FAREWELL, Game, Why};
use crate::messages::{Options, RoomRequest, ToLobby};

pub struct Duel {
    game: Game,
}

impl Room for Duel {
    cluster::room_types! {
        type Options = Options;
        type Request = RoomRequest;
        type State = Game;
        type ToLobby = ToLobby;
    }

    // HOOK: the room opens.
    async fn on_open(options: Options, room: &RoomContext<Self>) -> Result<Self, Refusal> {
        room.set_tick_rate(1); // the countdown, in seconds
        Ok(Duel { game: Game { seconds: options.patience, ..Game::default() } })
    }

    // HOOK: what both pages show of the room. `room.sync()` sends it when it has changed.
    fn state(&self, _: &RoomContext<Self>) -> Option<Game> {
        Some(self.game.clone())
    }

    // HOOK: a player has joined.
    fn on_join(&mut self, room: &RoomContext<Self>, player: &Player) {
        // Once the waiting player leaves, a private room's code must not work any more.
        room.set_empty_timeout(Some(Duration::ZERO));
        self.game.add(player);
        if self.game.has_begun() {
            room.lock(true);
            self.game.begin(room.random().random_range(0..2));
        }
        room.sync();
    }

    // HOOK: a request of a player.
    fn on_request(
        &mut self,
        room: &RoomContext<Self>,
        from: &Player,
        request: RoomRequest,
    ) -> Answer {
        let side = self.game.side_of(from);
        match request {
            RoomRequest::Play { column } => self.game.play(side, column)?,
            RoomRequest::Rematch if room.is_full() => self.game.rematch(side)?,
            RoomRequest::Rematch => return Err(refuse("no_opponent", "You are alone here.")),
        }
        room.sync();
        ok()
    }

    // HOOK: a player lost the connection.
    fn on_disconnect(&mut self, _: &RoomContext<Self>, _: &Player) -> Option<Duration> {
        // The opponent wins if the player does not reconnect in time.
        Some(Duration::from_secs(30))
    }

    // HOOK: a player has left.
    fn on_leave(&mut self, room: &RoomContext<Self>, player: &Player, why: LeaveReason) {
        let why = match why {
            // The room ends.
            LeaveReason::Finished | LeaveReason::Closed(_) => return,
            LeaveReason::Dropped => Why::Away,
            _ => Why::Left,
        };
        if !self.game.has_begun() {
            return self.game.sides.clear();
        }
        self.game.forfeit(self.game.side_of(player), why);
        self.game.seconds = self.game.seconds.min(FAREWELL);
        room.sync();
        if room.players().is_empty() {
            self.finish(room);
        }
    }

    // HOOK: a second has passed.
    fn on_tick(&mut self, room: &RoomContext<Self>, _: Duration) {
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
            self.finish(room);
        } else {
            players.iter().for_each(|player| room.send_to_lobby(player, "Nobody came."));
        }
    }
}

impl Duel {
    /// Reports the scores to the lobby and closes the room.
    fn finish(&self, room: &RoomContext<Self>) {
        let _ = room.tell_lobby(ToLobby::Scores(self.game.scores()));
        room.close();
    }
}
