//! A room cluster: a lobby that routes players between rooms, each a process of its own.
//!
//! Yours to edit: `server.rs` (the lobby), `room.rs` (a room), `messages.rs` (what is said), and
//! `static/client.js` (the page). `rg HOOK` shows the places.

pub mod cluster;
pub mod defaults;
pub mod messages;
pub mod queue;
pub mod room;
pub mod room_manager;
pub mod server;
