//! Message types: browser and lobby, browser and room, lobby and room. The variant of an enum, in
//! snake_case, is the name of an event; what it holds is the event's data.
//!
//! A lobby in development writes them to `static/messages.d.ts`, against which `npm run check` holds
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

    // HOOK: the options of a room: given at creation, shown in the list of rooms.
    #[derive(Default)]
    pub struct Options {}

    // HOOK: what does the lobby tell a room?
    pub enum ToRoom {
        /// How often hello was said, in all rooms.
        Hellos(u32),
    }

    // HOOK: what does a room tell the lobby?
    pub enum ToLobby {
        Hello { from: String },
    }
}
