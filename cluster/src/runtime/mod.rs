//! What hooks run on, without sockets: timers, spawned futures, computations, panics, rate limits.

pub(crate) mod clock;
pub(crate) mod compute;
pub(crate) mod failures;
pub(crate) mod panics;
pub(crate) mod rate_limiter;
pub(crate) mod scheduler;
pub(crate) mod ticker;
pub(crate) mod token_bucket;
