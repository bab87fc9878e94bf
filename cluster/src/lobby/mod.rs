//! The lobby's side: its hooks and their context, its process, its event loop and its sessions.

pub(crate) mod context;
pub(crate) mod event_loop;
pub(crate) mod hooks;
#[cfg(debug_assertions)]
pub(crate) mod page_types;
pub(crate) mod process;
pub(crate) mod sessions;

pub(crate) use self::context::{Kind, LobbyContext};
pub(crate) use self::hooks::{Arrival, Identity, Lobby, Registration, RoomManager};
