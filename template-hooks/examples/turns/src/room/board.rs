//! The rules of the game: a disc falls to the lowest free cell of its column, and four in a line
//! win. Independent of rooms.

pub const COLUMNS: usize = 7;
pub const ROWS: usize = 6;
/// Right, down and both diagonals, as (columns, rows).
const WAYS: [(isize, isize); 4] = [(1, 0), (0, 1), (1, 1), (1, -1)];

cluster::messages! {
    /// The side, 0 or 1, whose disc is in each cell, row by row from the top.
    pub struct Board(Vec<Option<usize>>);
}

/// Why a disc cannot be dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Illegal {
    NoSuchColumn,
    ColumnFull,
}

impl Default for Board {
    fn default() -> Self {
        Board(vec![None; COLUMNS * ROWS])
    }
}

impl Board {
    /// Drops a disc and returns its cell.
    pub fn drop_disc(&mut self, column: usize, side: usize) -> Result<usize, Illegal> {
        if column >= COLUMNS {
            return Err(Illegal::NoSuchColumn);
        }
        let from_below = (0..ROWS).rev().map(|row| row * COLUMNS + column);
        let free = from_below.into_iter().find(|cell| self.0[*cell].is_none());
        let cell = free.ok_or(Illegal::ColumnFull)?;
        self.0[cell] = Some(side);
        Ok(cell)
    }

    /// The cells of all lines of four or more through this disc. Empty if it does not win.
    pub fn four_through(&self, cell: usize) -> Vec<usize> {
        let mut four = vec![];
        for (right, down) in WAYS {
            let back = self.same_side(cell, -right, -down);
            let on = self.same_side(cell, right, down);
            if back.len() + 1 + on.len() >= 4 {
                four.extend(back.into_iter().chain([cell]).chain(on));
            }
        }
        four.sort_unstable();
        four.dedup();
        four
    }

    pub fn is_full(&self) -> bool {
        self.0.iter().all(Option::is_some)
    }

    /// The adjacent discs of the same side in one direction.
    fn same_side(&self, cell: usize, right: isize, down: isize) -> Vec<usize> {
        let next = |cell: &usize| {
            let column = (cell % COLUMNS).checked_add_signed(right)?;
            let row = (cell / COLUMNS).checked_add_signed(down)?;
            (column < COLUMNS && row < ROWS).then_some(row * COLUMNS + column)
        };
        let cells = std::iter::successors(next(&cell), next);
        cells.take_while(|other| self.0[*other] == self.0[cell]).collect()
    }
}
