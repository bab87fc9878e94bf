//! What is said: browser and lobby, browser and room, lobby and room. A variant's name in snake_case
//! is the event's name; what it holds is the event's data.
//!
//! What browsers say or hear is also derived as a TypeScript type, in tests: `cargo test` writes
//! `static/messages.d.ts`, which `npm run check` holds against the page.

use serde::{Deserialize, Serialize};

// HOOK: what does the page ask of the lobby?
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum LobbyRequest {
    /// Join a room with a free seat, or a new one.
    Play,
}

// HOOK: what does the lobby tell the page?
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum LobbyEvent {
    /// A line for everyone in the lobby.
    News { text: String },
}

// HOOK: what does the page ask of a room?
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum RoomRequest {
    Hello,
}

// HOOK: what does a room tell the page?
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum RoomEvent {
    Greeting { text: String },
}

// HOOK: what kind of room is it? Given at creation, shown in the list of rooms.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Options {}

// HOOK: what is left of a room that has finished?
#[derive(Debug, Serialize, Deserialize)]
pub struct Outcome {}

// HOOK: what does the lobby tell a room?
#[derive(Debug, Serialize, Deserialize)]
pub enum ToRoom {
    /// The lobby has heard how often hello was said, in all rooms.
    Hellos(u32),
}

// HOOK: what does a room tell the lobby?
#[derive(Debug, Serialize, Deserialize)]
pub enum ToLobby {
    Hello { from: String },
}
