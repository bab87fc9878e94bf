//! Room processes, seen from the lobby, and the control channel to them.

pub(crate) mod channel;
pub(crate) mod pool;
pub(crate) mod starvation;
pub(crate) mod supervisor;
