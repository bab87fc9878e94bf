//! The state of a game: sides, turns, the countdown and how it ended. It is the room's state, which
//! both pages show as it is here.

use std::cmp::Reverse;

use super::board::{Board, Illegal};
use cluster::{Player, Refusal, refuse};

/// Seconds for a move.
pub const MOVE: u32 = 60;
/// Seconds to look at the board after a game, and to ask for a rematch.
pub const REVIEW: u32 = 60;
/// The same after the opponent has left.
pub const FAREWELL: u32 = 10;

cluster::messages! {
    /// Sides are 0 and 1, in the order in which the players joined.
    #[derive(Default)]
    pub struct Game {
        /// The side that had the first turn.
        pub began: usize,
        /// The side whose turn it is.
        pub turn: usize,
        /// The cell of the last move.
        pub last: Option<usize>,
        pub end: Option<End>,
        /// Seconds left to wait for the opponent, for this move, or until the room closes. The
        /// clock stops while a player is away.
        pub seconds: u32,
        /// One for each player, kept when they leave; the game begins with the second.
        pub sides: Vec<Side>,
        pub board: Board,
    }

    pub struct Side {
        pub player: Player,
        pub wins: u32,
        /// Asks for a rematch.
        pub again: bool,
    }

    pub struct End {
        /// `None` for a draw.
        pub winner: Option<usize>,
        pub why: Why,
        /// The cells of the winner's line.
        pub cells: Vec<usize>,
    }

    /// Why a game has ended.
    #[derive(Copy, PartialEq, Eq)]
    pub enum Why {
        Four,
        BoardFull,
        /// The opponent has left.
        Left,
        /// The opponent lost the connection and did not reconnect in time.
        Away,
        /// The opponent did not move in time.
        TooSlow,
    }
}

impl Game {
    pub fn has_begun(&self) -> bool {
        self.sides.len() == 2
    }

    pub fn is_on(&self) -> bool {
        self.has_begun() && self.end.is_none()
    }

    pub fn side_of(&self, player: &Player) -> usize {
        self.sides.iter().position(|side| side.player.id == player.id).unwrap_or(0)
    }

    pub fn add(&mut self, player: &Player) {
        self.sides.push(Side { player: player.clone(), wins: 0, again: false });
    }

    /// Clears the board. This side has the first turn.
    pub fn begin(&mut self, turn: usize) {
        let mut sides = std::mem::take(&mut self.sides);
        sides.iter_mut().for_each(|side| side.again = false);
        *self = Game { sides, began: turn, turn, seconds: MOVE, ..Game::default() };
    }

    /// A side drops a disc.
    pub fn play(&mut self, side: usize, column: usize) -> Result<(), Refusal> {
        if !self.has_begun() {
            return Err(refuse("no_opponent", "Your opponent is not here yet."));
        }
        if self.end.is_some() {
            return Err(refuse("game_over", "The game is over."));
        }
        if self.turn != side {
            return Err(refuse("not_your_turn", "It is not your turn."));
        }
        let cell = self.board.drop_disc(column, side).map_err(|why| match why {
            Illegal::NoSuchColumn => refuse("no_such_column", "There is no such column."),
            Illegal::ColumnFull => refuse("column_full", "This column is full."),
        })?;
        (self.last, self.turn, self.seconds) = (Some(cell), 1 - side, MOVE);
        let cells = self.board.four_through(cell);
        if !cells.is_empty() {
            self.finish(Some(side), Why::Four, cells);
        } else if self.board.is_full() {
            self.finish(None, Why::BoardFull, cells);
        }
        Ok(())
    }

    /// A side loses, unless the game is over.
    pub fn forfeit(&mut self, side: usize, why: Why) {
        if self.is_on() {
            self.finish(Some(1 - side), why, vec![]);
        }
    }

    /// A side asks for a rematch, in which the other side begins.
    pub fn rematch(&mut self, side: usize) -> Result<(), Refusal> {
        if self.end.is_none() {
            return Err(refuse("game_not_over", "This game is not over yet."));
        }
        self.sides[side].again = true;
        if self.sides.iter().all(|side| side.again) {
            self.begin(1 - self.began);
        }
        Ok(())
    }

    /// Both names and the games that each has won, the better one first.
    pub fn scores(&self) -> [(String, u32); 2] {
        let score = |side: usize| (self.sides[side].player.name.clone(), self.sides[side].wins);
        let mut scores = [score(0), score(1)];
        scores.sort_by_key(|(_, wins)| Reverse(*wins));
        scores
    }

    fn finish(&mut self, winner: Option<usize>, why: Why, cells: Vec<usize>) {
        if let Some(winner) = winner {
            self.sides[winner].wins += 1;
        }
        self.end = Some(End { winner, why, cells });
        self.seconds = REVIEW;
    }
}
