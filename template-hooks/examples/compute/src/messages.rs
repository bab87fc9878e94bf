//! What is said: browser and lobby, lobby and room. A variant's name in snake_case is the event's name;
//! what it holds is the event's data.
//!
//! What browsers say or hear is also derived as a TypeScript type, in tests: `cargo test` writes
//! `static/messages.d.ts`, which `npm run check` holds against the page.

use std::ops::Range;

use cluster::{Refusal, RoomId, refuse};
use serde::{Deserialize, Serialize};

/// A picture: which part of the plane, in how many pixels, and how much work each is at most.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct View {
    /// Its middle.
    pub x: f64,
    pub y: f64,
    /// Its width in the plane.
    pub across: f64,
    pub columns: u32,
    pub rows: u32,
    /// A point that has not escaped after so many steps counts as one that never does.
    pub depth: u32,
}

impl View {
    /// Comparing with ranges also refuses what is not a number.
    pub fn check(&self) -> Result<(), Refusal> {
        let View { x, y, across, columns, rows, depth } = self;
        let place = (-4.0..=4.0).contains(x) && (-4.0..=4.0).contains(y);
        // Any narrower, and an f64 no longer tells neighbouring pixels apart.
        let width = (1e-12..=8.0).contains(across);
        // A row must fit into a message, and a page that is slow may have 1024 messages yet to come.
        let size = (1..=1280).contains(columns) && (1..=800).contains(rows);
        let good = place && width && size && (1..=10_000).contains(depth);
        good.then_some(())
            .ok_or_else(|| refuse("bad_view", "This view is too far, too near or too large."))
    }
}

// HOOK: what does the page ask of the lobby?
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum LobbyRequest {
    /// Draw this, instead of what is being drawn for me.
    Render(View),
    /// Do not go on.
    Cancel,
}

// HOOK: what does the lobby tell the page?
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum LobbyEvent {
    /// A picture begins; all rows from now on are its rows.
    Begun(View),
    /// One row of it, each once and in any order, and who has computed it. Two letters a pixel.
    Row { row: u32, shades: String, room: RoomId },
    /// No more rows come.
    Ended { how: How },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// All rows have come.
    Complete,
    Cancelled,
    /// Its workers were lost again and again, or there are none.
    Failed,
}

// HOOK: what does the page ask of a room? Nothing: nobody is in one.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum RoomRequest {}

// HOOK: what does a room tell the page?
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum RoomEvent {}

// HOOK: what kind of room is it? Given at creation, shown in the list of rooms.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Options {
    /// A worker that was given nothing for so long goes.
    pub patience_ms: u64,
}

// HOOK: what is left of a room that has finished?
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    pub rows: u32,
    pub busy_ms: u64,
}

// HOOK: what does the lobby tell a room?
#[derive(Debug, Serialize, Deserialize)]
pub enum ToRoom {
    Compute { view: View, rows: Range<u32> },
    Cancel,
}

// HOOK: what does a room tell the lobby?
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub enum ToLobby {
    Row {
        row: u32,
        shades: String,
    },
    /// After each `Compute`, whether all its rows were told or not: the next one, please.
    Free,
}
