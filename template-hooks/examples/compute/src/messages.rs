//! Message types: browser and lobby, lobby and room. A variant, in snake_case, is the name of an
//! event; its fields are the event's data.
//!
//! A lobby in development writes them to `static/messages.d.ts`, with which `npm run check` checks
//! the page.

use std::ops::Range;

use cluster::{Refusal, RoomId, refuse};

cluster::messages! {
    // HOOK: what does the page ask of the lobby?
    pub enum LobbyRequest {
        /// Draw this, instead of the player's current picture.
        Render(View),
        /// Stop drawing.
        Cancel,
    }

    // HOOK: what does the lobby send to the page?
    pub enum LobbyEvent {
        /// A picture begins; all rows from now on belong to it.
        Begun(View),
        /// A row, each once and in any order, and the room that computed it; two letters a pixel.
        Row { row: u32, shades: String, room: RoomId },
        /// The last event of a picture.
        Ended { how: How },
    }

    /// A picture: its part of the plane, its size in pixels, and the most steps for a point.
    #[derive(PartialEq)]
    pub struct View {
        /// The centre.
        pub x: f64,
        pub y: f64,
        /// The width in the plane.
        pub across: f64,
        pub columns: u32,
        pub rows: u32,
        /// A point that has not escaped after this many steps counts as part of the set.
        pub depth: u32,
    }

    #[derive(Copy, PartialEq, Eq)]
    pub enum How {
        /// All rows have come.
        Complete,
        Cancelled,
        /// No worker can be started, or its workers crash again and again.
        Failed,
    }

    // HOOK: the options of a room: given at creation, shown in the list of rooms.
    #[derive(Default)]
    pub struct Options {
        /// An idle worker ends after this time.
        pub patience_ms: u64,
    }

    // HOOK: what does the lobby tell a room?
    pub enum ToRoom {
        Compute { view: View, rows: Range<u32> },
        Cancel,
    }

    // HOOK: what does a room tell the lobby?
    #[derive(PartialEq)]
    pub enum ToLobby {
        Row { row: u32, shades: String },
        /// The worker is idle: after each `Compute`, finished or not.
        Free,
        /// The worker's last message: the rows that it has computed, and the time spent on them.
        Total { rows: u32, busy_ms: u64 },
    }
}

impl View {
    /// The ranges also refuse NaN.
    pub fn check(&self) -> Result<(), Refusal> {
        let View { x, y, across, columns, rows, depth } = self;
        let place = (-4.0..=4.0).contains(x) && (-4.0..=4.0).contains(y);
        // Narrower views exceed the precision of f64.
        let width = (1e-12..=8.0).contains(across);
        // A row must fit into a message, and all rows of a picture into the queue of a slow page
        // (`--max-outbound-packets`, 1024).
        let size = (1..=1280).contains(columns) && (1..=800).contains(rows);
        let good = place && width && size && (1..=10_000).contains(depth);
        good.then_some(())
            .ok_or_else(|| refuse("bad_view", "This view is too far, too near or too large."))
    }
}
