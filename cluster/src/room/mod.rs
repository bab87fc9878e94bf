//! A room's side of the cluster. A message of a player passes, from top to bottom: `event_loop.rs`
//! takes it from the connection; `core/` finds the player's seat and calls the hook (`hooks.rs`);
//! the hook queues output with its `context.rs` (`sending.rs`); the loop sends that to the
//! connections.

pub(crate) mod context;
pub(crate) mod core;
pub(crate) mod event_loop;
pub(crate) mod hooks;
pub(crate) mod process;
mod seat_map;
mod sending;
pub(crate) mod tickets;

pub(crate) use self::context::RoomContext;
pub(crate) use self::hooks::Room;
pub(crate) use self::sending::{MAX_LISTING, Output};
pub(crate) use self::tickets::Tickets;
