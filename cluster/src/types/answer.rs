//! Answers to requests.

use std::pin::Pin;

use serde::Serialize;
use serde_json::Value;

use crate::types::Refusal;

/// A hook's answer to a request: `ok()`, `reply(value)`, `deferred(future)`, or a refusal. The page
/// gets `{ ok: … }` or `{ error: { code, message } }`.
///
/// ```
/// # use cluster::{Answer, deferred, ok, refuse, reply};
/// # async fn load() -> Result<u32, cluster::Refusal> { Ok(1) }
/// # fn hook(n: u32) -> Answer {
/// match n {
///     0 => ok(),
///     1 => reply("some value"),
///     2 => deferred(async { load().await }),
///     _ => Err(refuse("too_large", "At most 2.")),
/// }
/// # }
/// ```
pub type Answer = Result<Reply, Refusal>;

/// A successful [`Answer`], made by [`ok()`], [`reply()`] or [`deferred()`].
pub enum Reply {
    /// The value, which is sent at once.
    Now(Value),
    /// The value, which is sent when the future is done. `Err` is sent as a refusal.
    Later(Pin<Box<dyn Future<Output = Result<Value, Refusal>>>>),
}

/// Answers `{ ok: {} }`: done, and there is nothing to say.
pub fn ok() -> Answer {
    Ok(Reply::Now(Value::Object(Default::default())))
}

/// Answers `{ ok: value }`. A value that cannot be JSON is refused with `internal`, and logged.
pub fn reply(value: impl Serialize) -> Answer {
    to_value(value).map(Reply::Now)
}

/// Answers when the future is done. Other hooks run meanwhile, so it cannot borrow the state. To
/// change the state with the result, use [`spawn`](crate::Scheduler::spawn).
pub fn deferred<T: Serialize>(
    future: impl Future<Output = Result<T, Refusal>> + 'static,
) -> Answer {
    Ok(Reply::Later(Box::pin(async move { to_value(future.await?) })))
}

fn to_value(value: impl Serialize) -> Result<Value, Refusal> {
    serde_json::to_value(value).map_err(|error| {
        tracing::error!(%error, "an answer cannot be encoded as JSON");
        Refusal::INTERNAL
    })
}
