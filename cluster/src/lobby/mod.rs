//! The lobby's side: its hooks and their context, its process, its event loop and its sessions.

mod bounded_map;
pub(crate) mod context;
pub(crate) mod event_loop;
pub(crate) mod handle;
pub(crate) mod hooks;
#[cfg(debug_assertions)]
pub(crate) mod page_types;
pub(crate) mod process;
pub(crate) mod registration;
pub(crate) mod sessions;

pub(crate) use self::context::{Kind, Kinds, LobbyContext, RoomInfo, RoomOf};
pub(crate) use self::handle::{LobbyHandle, RouteCall};
pub(crate) use self::hooks::{Lobby, RoomLimits, RoomManager};
pub(crate) use self::registration::{Arrival, Identity, Registration};
