//! Message types: browser and lobby, browser and room, lobby and room. A variant, in snake_case, is
//! the name of an event; its fields are the event's data.
//!
//! A lobby in development writes them to `static/messages.d.ts`, with which `npm run check` checks
//! the page.

cluster::messages! {
    // HOOK: what does the page ask of the lobby, besides `play` and `join`?
    pub enum LobbyRequest {
        Wave,
    }

    // HOOK: what does the lobby send to the page?
    pub enum LobbyEvent {
        /// A line for everyone in the lobby.
        News { text: String },
    }

    // HOOK: what does the page ask of a room?
    pub enum RoomRequest {
        Hello,
    }

    // HOOK: what does a room send to the page?
    pub enum RoomEvent {
        Greeting { text: String },
    }

    // HOOK: what do all pages show of a room?
    pub struct RoomState {
        /// The number of hellos in this room.
        pub hellos: u32,
    }

    // HOOK: the options of a room: given at creation, shown in the list of rooms.
    #[derive(Default)]
    pub struct Options {}

    // HOOK: what does the lobby tell a room?
    pub enum ToRoom {
        /// The number of hellos in all rooms.
        Hellos(u32),
    }

    // HOOK: what does a room tell the lobby?
    pub enum ToLobby {
        Hello { from: String },
    }
}
