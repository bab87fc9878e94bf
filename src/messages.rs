//! What is said: browser and lobby, browser and room, lobby and room. A variant's name in snake_case
//! is the event's name; what it holds is the event's data.
//!
//! What browsers say or hear is also derived as a TypeScript type, in tests: `cargo test` writes
//! `static/messages.d.ts`, which `npm run check` holds against the page.

use cluster::{PlayerId, RoomId};
use serde::{Deserialize, Serialize};

// HOOK: what does the page ask of the lobby?
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum LobbyRequest {
    /// Join a room with a free seat, or a new one.
    Play,
    /// Open a new room and join it.
    Create { title: String },
    /// Join this room.
    Join { room: RoomId },
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
    /// Which way to go: each of x and y from -1 to 1.
    Steer { x: f32, y: f32 },
}

// HOOK: what does a room tell the page?
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum RoomEvent {
    /// Where everything is, in fractions of the arena, from 0 to 1.
    State { dots: Vec<Dot>, coin: (f32, f32) },
    /// Somebody took the coin.
    Scored { player: PlayerId, score: u32 },
}

#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Dot {
    pub id: PlayerId,
    pub x: f32,
    pub y: f32,
    pub score: u32,
}

// HOOK: what kind of room is it? Given at creation, shown in the list of rooms.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Options {
    pub title: String,
    /// Who has so many coins wins.
    pub goal: u32,
}

// HOOK: what is left of a room that has finished?
#[derive(Debug, Serialize, Deserialize)]
pub struct Outcome {
    pub winner: String,
}

// HOOK: what does the lobby tell a room?
#[derive(Debug, Serialize, Deserialize)]
pub enum ToRoom {}

// HOOK: what does a room tell the lobby?
#[derive(Debug, Serialize, Deserialize)]
pub enum ToLobby {
    Leader { name: String, score: u32 },
}
