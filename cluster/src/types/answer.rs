//! The answer of a hook to a request.

use std::pin::Pin;

use serde::Serialize;
use serde_json::Value;

use crate::types::refusal::Refusal;

/// The answer of a hook to a request: `ok()`, `reply(value)`, `deferred(future)`, or a refusal.
/// The player gets `{ ok: … }` or `{ error: { code, message } }`.
pub type Answer = Result<Reply, Refusal>;

/// The success of an [`Answer`].
pub enum Reply {
    /// The answer.
    Now(Value),
    /// The answer, when this future is done.
    Later(Pin<Box<dyn Future<Output = Result<Value, Refusal>>>>),
}

/// Answers `{ ok: {} }`.
pub fn ok() -> Answer {
    Ok(Reply::Now(Value::Object(Default::default())))
}

/// Answers `{ ok: value }`.
pub fn reply(value: impl Serialize) -> Answer {
    to_value(value).map(Reply::Now)
}

/// Answers `{ ok: … }` when the future is done. Other hooks run meanwhile; the future does not
/// borrow the state.
pub fn deferred<T: Serialize>(
    future: impl Future<Output = Result<T, Refusal>> + 'static,
) -> Answer {
    Ok(Reply::Later(Box::pin(async move { to_value(future.await?) })))
}

fn to_value(value: impl Serialize) -> Result<Value, Refusal> {
    serde_json::to_value(value).map_err(|error| {
        tracing::error!(%error, "an answer cannot be written as JSON");
        Refusal::INTERNAL
    })
}
