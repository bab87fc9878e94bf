//! The structure, seen from outside: real processes, real sockets, a free port each. A test starts
//! a lobby of its own, waits for what must happen, and never for a fixed time. The folders are
//! those of `src`; what runs is `game`, whose lobby and rooms do what they are told.

mod common;
mod game {
    #[allow(dead_code, reason = "its lobby is for the program")]
    pub mod scripted;
}

mod auth;
mod http;
mod lobby;
mod process;
mod room;
mod rooms;
mod routing;
mod socketio;
