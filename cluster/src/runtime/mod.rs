//! What hooks run on, without sockets: timers, spawned futures, computations, panics, rate limits.

pub(crate) mod clock;
pub(crate) mod compute;
mod failures;
mod lease;
pub(crate) mod panics;
mod rate_limiter;
pub(crate) mod scheduler;
mod ticker;

pub(crate) use self::clock::{later, timeout};
pub(crate) use self::failures::{FailureCounter, NamedCounts};
pub(crate) use self::lease::{LEASE_CHECK, Lease, memory_file};
pub(crate) use self::panics::{HookPanic, RoomPanic, catch, catch_async};
pub(crate) use self::rate_limiter::{KeyedRateLimiter, Quota, TokenBucket, make_room};
pub(crate) use self::scheduler::{Call, Scheduler};
pub(crate) use self::ticker::{Throttle, Ticker, take_tick_delay};
