//! An orphaned room, whose lobby is gone: its description of itself, and what it has reported
//! since. The next lobby gets both.

use tokio::sync::OwnedSemaphorePermit;

use crate::hosts::FromHost;
use crate::process::{FromRoom, Part};

/// Messages that are kept before the room has described itself. Later ones are not bounded here:
/// each keeps its place in the queue of the room's supervisor, which then stops reading.
const MAX_EARLY: usize = 64;

#[derive(Default)]
pub(super) struct Orphan {
    /// The parts of the description come first.
    pub lines: Vec<(String, OwnedSemaphorePermit)>,
    parts: usize,
    /// The description is complete: a lobby can adopt the room.
    pub is_described: bool,
    /// How the room has ended.
    pub ended: Option<FromHost>,
}

impl Orphan {
    /// Keeps what the room reports, unless its description will include it.
    pub fn keep(&mut self, frame: &FromRoom, line: String, permit: OwnedSemaphorePermit) {
        if let FromRoom::Described(part) = frame {
            self.lines.insert(self.parts, (line, permit));
            self.parts += 1;
            self.is_described |= matches!(part, Part::End { .. });
            return;
        }
        let is_early = matches!(frame, FromRoom::Message(_) | FromRoom::Transfer { .. });
        let is_news = self.is_described && !matches!(frame, FromRoom::Heartbeat(_));
        if is_news || (is_early && self.lines.len() < self.parts + MAX_EARLY) {
            self.lines.push((line, permit));
        }
    }
}
