//! What is said: browser and lobby, browser and room, lobby and room. A variant's name in snake_case
//! is the event's name; what it holds is the event's data.
//!
//! What browsers say or hear is also derived as a TypeScript type, in tests: `cargo test` writes
//! `static/messages.d.ts`, which `npm run check` holds against the page.

use serde::{Deserialize, Serialize};

use crate::room::game::Game;

// HOOK: what does the page ask of the lobby?
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum LobbyRequest {
    /// Wait in the queue until somebody else does.
    FindOpponent,
    /// Wait no more.
    StopWaiting,
    /// Open a private room; its code lets a friend in.
    InviteFriend,
    /// Join the private room with this code.
    JoinFriend { code: String },
}

// HOOK: what does the lobby tell the page?
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum LobbyEvent {
    /// The player's place in the queue, from 1, and how many wait.
    Place { place: usize, waiting: usize },
    /// How the last games ended, the newest first.
    News { lines: Vec<String> },
}

// HOOK: what does the page ask of a room?
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum RoomRequest {
    /// Drop a disc into this column: 0 to 6, from the left.
    Play { column: usize },
    /// Another game; it begins when both want it.
    Rematch,
}

// HOOK: what does a room tell the page?
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum RoomEvent {
    /// All there is to see, after each change.
    Game(Game),
}

// HOOK: what kind of room is it? Given at creation, shown in the list of rooms.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Options {
    /// For so many seconds the first player waits for the second.
    pub patience: u32,
}

// HOOK: what is left of a room that has finished?
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The two names and how many games each has won, the winner's first.
    pub scores: [(String, u32); 2],
}

// HOOK: what does the lobby tell a room?
#[derive(Debug, Serialize, Deserialize)]
pub enum ToRoom {}

// HOOK: what does a room tell the lobby?
#[derive(Debug, Serialize, Deserialize)]
pub enum ToLobby {}
