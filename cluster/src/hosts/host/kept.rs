//! A room of a host while no lobby follows it: its description of itself, and what it has reported
//! since.

use tokio::sync::OwnedSemaphorePermit;

use crate::hosts::FromHost;
use crate::process::{FromRoom, Part};

/// Messages that are kept although the room has not described itself yet. Later ones are not
/// bounded here: each keeps its place in the queue of the room's supervisor, which then reads no
/// more.
const MAX_EARLY: usize = 64;

#[derive(Default)]
pub(super) struct Kept {
    /// The parts of the description come first.
    pub lines: Vec<(String, OwnedSemaphorePermit)>,
    parts: usize,
    /// There is a whole description: a lobby may go on with the room.
    pub is_described: bool,
    /// How the room has ended.
    pub ended: Option<FromHost>,
}

impl Kept {
    /// Keeps what the room reports, unless the description will say it.
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
