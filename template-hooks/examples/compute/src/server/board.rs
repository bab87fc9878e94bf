//! The schedule: pictures in bands of rows, and the workers that compute them. It does no I/O; the
//! hooks in `server.rs` and `room_manager.rs` call it.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use cluster::{PlayerId, RoomId};

use crate::messages::View;

/// Rows in a band: few, so that a slow worker does not delay the picture.
const BAND: usize = 8;
/// A picture fails after losing this many bands in a row, since it may be what crashes the workers.
const MAX_LOSSES: u32 = 5;

#[derive(Default)]
pub struct Board {
    /// At most one for each player, in round-robin order.
    pictures: VecDeque<Picture>,
    /// The rest of each worker's band; `None` if it is idle.
    workers: BTreeMap<RoomId, Option<Band>>,
    begun: u64,
}

struct Picture {
    number: u64,
    player: PlayerId,
    view: View,
    /// Bands not assigned to a worker. The one to assign next is at the end.
    bands: Vec<Range<u32>>,
    missing: u32,
    losses: u32,
}

struct Band {
    picture: u64,
    rows: Range<u32>,
}

impl Board {
    pub fn begin(&mut self, player: &PlayerId, view: View) {
        self.begun += 1;
        let tops = (0..view.rows).step_by(BAND).rev();
        self.pictures.push_back(Picture {
            number: self.begun,
            player: player.clone(),
            bands: tops.map(|top| top..view.rows.min(top + BAND as u32)).collect(),
            missing: view.rows,
            losses: 0,
            view,
        });
    }

    /// The number of unfinished pictures.
    pub fn pictures(&self) -> usize {
        self.pictures.len()
    }

    /// The number of workers.
    pub fn workers(&self) -> usize {
        self.workers.len()
    }

    pub fn free_worker(&self) -> Option<RoomId> {
        self.workers.iter().find(|(_, band)| band.is_none()).map(|(worker, _)| worker.clone())
    }

    /// Whether rows are waiting for a worker.
    pub fn has_bands(&self) -> bool {
        self.pictures.iter().any(|picture| !picture.bands.is_empty())
    }

    /// Assigns the next band to this worker, which is idle or new.
    pub fn give(&mut self, worker: &RoomId) -> Option<(View, Range<u32>)> {
        let at = self.pictures.iter().position(|picture| !picture.bands.is_empty())?;
        let mut picture = self.pictures.remove(at)?;
        let rows = picture.bands.pop()?;
        let band = Band { picture: picture.number, rows: rows.clone() };
        self.workers.insert(worker.clone(), Some(band));
        let view = picture.view.clone();
        self.pictures.push_back(picture);
        Some((view, rows))
    }

    /// A worker has computed a row: the player who waits for it, and whether their picture is
    /// complete. `None` if nobody waits any more.
    pub fn row(&mut self, worker: &RoomId, row: u32) -> Option<(PlayerId, bool)> {
        // A worker reports its rows in order; any other row is of a cancelled picture.
        let band = self.workers.get_mut(worker)?.as_mut()?;
        if row != band.rows.start || band.rows.is_empty() {
            return None;
        }
        band.rows.start = row + 1;
        let mut pictures = self.pictures.iter_mut();
        let picture = pictures.find(|picture| picture.number == band.picture)?;
        picture.losses = 0;
        picture.missing -= 1;
        Some((picture.player.clone(), picture.missing == 0))
    }

    /// A worker is idle: its band is finished, cancelled or failed.
    pub fn free(&mut self, worker: &RoomId) {
        self.lose(worker);
        self.workers.insert(worker.clone(), None);
    }

    /// A worker has ended. The rest of its band goes back to the picture, for another one.
    pub fn lose(&mut self, worker: &RoomId) {
        let Some(Some(band)) = self.workers.remove(worker) else { return };
        let mut pictures = self.pictures.iter_mut();
        let picture = pictures.find(|picture| picture.number == band.picture);
        if let Some(picture) = picture.filter(|_| !band.rows.is_empty()) {
            picture.bands.push(band.rows);
            picture.losses += 1;
        }
    }

    /// The players whose pictures fail.
    pub fn hopeless(&self) -> Vec<PlayerId> {
        let alone = self.workers.is_empty();
        let hopeless = self.pictures.iter().filter(|picture| alone || picture.losses >= MAX_LOSSES);
        hopeless.map(|picture| picture.player.clone()).collect()
    }

    /// Removes this player's picture and returns the workers that compute it. `None` if there is no
    /// picture.
    pub fn end(&mut self, player: &PlayerId) -> Option<Vec<RoomId>> {
        let at = self.pictures.iter().position(|picture| picture.player == *player)?;
        let number = self.pictures.remove(at)?.number;
        let at_it = |band: &Band| band.picture == number && !band.rows.is_empty();
        let busy = self.workers.iter().filter(|(_, band)| band.as_ref().is_some_and(at_it));
        Some(busy.map(|(worker, _)| worker.clone()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(rows: u32) -> View {
        View { x: 0.0, y: 0.0, across: 4.0, columns: 1, rows, depth: 1 }
    }

    fn player(name: &str) -> PlayerId {
        PlayerId(name.to_owned())
    }

    fn worker(name: &str) -> RoomId {
        RoomId(name.to_owned())
    }

    /// The worker computes all of the band that it is given next.
    fn compute(board: &mut Board, worker: &RoomId) -> Vec<(PlayerId, u32, bool)> {
        let (_, rows) = board.give(worker).expect("a band");
        let done = rows.map(|row| {
            let (player, complete) = board.row(worker, row).expect("somebody waits");
            (player, row, complete)
        });
        let done = done.collect();
        board.free(worker);
        done
    }

    #[test]
    fn every_row_is_computed_once_and_the_last_one_completes_the_picture() {
        let mut board = Board::default();
        board.begin(&player("Ann"), view(20));
        let mut rows = Vec::new();
        while board.has_bands() {
            rows.extend(compute(&mut board, &worker("1")));
        }
        let expected = (0..20).map(|row| (player("Ann"), row, row == 19));
        assert_eq!(rows, expected.collect::<Vec<_>>());
    }

    #[test]
    fn players_take_turns() {
        let mut board = Board::default();
        board.begin(&player("Ann"), view(100));
        board.begin(&player("Bob"), view(100));
        let turn = |_| compute(&mut board, &worker("1"))[0].0.0.clone();
        assert_eq!((0..4).map(turn).collect::<Vec<_>>(), ["Ann", "Bob", "Ann", "Bob"]);
    }

    #[test]
    fn another_worker_does_what_a_lost_one_has_not_done() {
        let mut board = Board::default();
        board.begin(&player("Ann"), view(8));
        board.give(&worker("1")).expect("a band");
        (0..3).for_each(|row| drop(board.row(&worker("1"), row)));
        assert!(!board.has_bands());
        board.lose(&worker("1"));
        assert_eq!(board.workers(), 0);
        assert_eq!(board.give(&worker("2")), Some((view(8), 3..8)));
    }

    #[test]
    fn a_picture_that_kills_every_worker_is_given_up() {
        let mut board = Board::default();
        board.begin(&player("Ann"), view(8));
        for loss in 0..MAX_LOSSES {
            board.free(&worker("2"));
            assert_eq!(board.hopeless(), [], "after {loss} losses");
            board.give(&worker("1")).expect("a band");
            board.lose(&worker("1"));
        }
        board.free(&worker("2"));
        assert_eq!(board.hopeless(), [player("Ann")]);
    }

    #[test]
    fn without_workers_every_picture_is_hopeless() {
        let mut board = Board::default();
        board.begin(&player("Ann"), view(1));
        assert_eq!(board.hopeless(), [player("Ann")]);
        board.free(&worker("1"));
        assert_eq!(board.hopeless(), []);
    }

    #[test]
    fn what_comes_after_the_end_is_for_nobody() {
        let mut board = Board::default();
        board.begin(&player("Ann"), view(100));
        board.give(&worker("1")).expect("a band");
        assert_eq!(board.end(&player("Ann")), Some(vec![worker("1")]));
        assert_eq!(board.end(&player("Ann")), None);
        // She asks for another one before the worker has stopped.
        board.begin(&player("Ann"), view(1));
        assert_eq!(board.row(&worker("1"), 0), None);
        assert_eq!(board.free_worker(), None);
        board.free(&worker("1"));
        assert_eq!(compute(&mut board, &worker("1")), [(player("Ann"), 0, true)]);
    }
}
