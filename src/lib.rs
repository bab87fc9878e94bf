//! Your lobby and your rooms: `server.rs` (people), `room_manager.rs` (which room a player gets),
//! `room.rs` (one room), `messages.rs` (message types), and `static/client.js` (the page). Search
//! for HOOK to find every hook.

use std::process::ExitCode;

pub mod defaults;
pub mod messages;
pub mod room;
pub mod room_manager;
pub mod server;

/// The lobby by default, or one of the rooms that a lobby starts. Compiled here once, for the
/// program and for the load test.
pub fn run() -> ExitCode {
    cluster::run::<server::Server>(defaults::DEFAULTS)
}
