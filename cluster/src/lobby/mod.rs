//! The lobby's side: its hooks, what they can do, its process and its event loop.

pub(crate) mod context;
pub(crate) mod event_loop;
pub(crate) mod hooks;
#[cfg(debug_assertions)]
pub(crate) mod page_types;
pub(crate) mod process;
pub(crate) mod sessions;
