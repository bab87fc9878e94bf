//! The room's side: its hooks, what they can do, its process and its event loop.

pub(crate) mod context;
pub(crate) mod core;
pub(crate) mod event_loop;
pub(crate) mod hooks;
pub(crate) mod output;
pub(crate) mod process;
pub(crate) mod tickets;
