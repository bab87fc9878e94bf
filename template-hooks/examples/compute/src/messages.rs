//! Message types: browser and lobby, lobby and room. The variant of an enum, in snake_case, is the name
//! of an event; what it holds is the event's data.
//!
//! A lobby in development writes them to `static/messages.d.ts`, against which `npm run check` holds
//! the page.

use std::ops::Range;

use cluster::{Refusal, RoomId, refuse};

cluster::messages! {
    // HOOK: what does the page ask of the lobby?
    pub enum LobbyRequest {
        /// Draw this, instead of what is being drawn for me.
        Render(View),
        /// Stop drawing.
        Cancel,
    }

    // HOOK: what does the lobby send to the page?
    pub enum LobbyEvent {
        /// A picture begins; all rows from now on are its rows.
        Begun(View),
        /// One row of it, each once and in any order, and the room that computed it. Two letters a pixel.
        Row { row: u32, shades: String, room: RoomId },
        /// No more rows come.
        Ended { how: How },
    }

    /// A picture: which part of the plane, in how many pixels, and how much work each is at most.
    #[derive(PartialEq)]
    pub struct View {
        /// Its middle.
        pub x: f64,
        pub y: f64,
        /// Its width in the plane.
        pub across: f64,
        pub columns: u32,
        pub rows: u32,
        /// A point that has not escaped after this many steps counts as one that never does.
        pub depth: u32,
    }

    #[derive(Copy, PartialEq, Eq)]
    pub enum How {
        /// All rows have come.
        Complete,
        Cancelled,
        /// Its workers were lost again and again, or there are none.
        Failed,
    }

    // HOOK: the options of a room: given at creation, shown in the list of rooms.
    #[derive(Default)]
    pub struct Options {
        /// A worker that has no work for this long ends.
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
        /// After each `Compute`, whether all its rows were told or not: the worker wants more.
        Free,
        /// The last message of a worker: all that it has computed, and the time that it took.
        Total { rows: u32, busy_ms: u64 },
    }
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
