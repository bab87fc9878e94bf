//! The structure's tests over real processes and sockets. Each test starts a lobby of its own on a
//! free port, and waits for events and never for a fixed time. The folders are those of `src`. The
//! program is `game`, whose lobby and rooms do what a test asks.

mod common;
mod game {
    #[allow(dead_code, reason = "its room is for the program")]
    pub mod mirrored;
    #[allow(dead_code, reason = "its lobby is for the program")]
    pub mod scripted;
}

mod admin;
mod auth;
#[cfg(target_os = "linux")]
mod hosts;
mod http;
mod lobby;
mod parts;
mod process;
mod room;
mod rooms;
mod routing;
mod socketio;
