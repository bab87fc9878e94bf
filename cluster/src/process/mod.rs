//! A room's process as the lobby sees it, and the channel between the two.

pub(crate) mod channel;
pub(crate) mod memory;
pub(crate) mod pool;
pub(crate) mod starvation;
pub(crate) mod supervisor;
