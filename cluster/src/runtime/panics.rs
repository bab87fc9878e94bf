//! A hook that panics is caught and logged. The lobby goes on without it. A room ends or goes on,
//! by the setting `--on-room-panic`; in a `TestRoom` without that setting, and in a `TestLobby`,
//! the panic fails the test.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use clap::ValueEnum;
use futures_util::FutureExt as _;
use serde::{Deserialize, Serialize};
use tracing::error;

use crate::types::truncate;

/// What happens to a room in which a hook panics: the setting `--on-room-panic`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub enum RoomPanic {
    /// The room ends, because its state may be half changed; its players return to the lobby.
    EndRoom,
    /// The room goes on; a request that the hook was called for is refused with `internal`.
    Continue,
}

/// A panic that was caught in a hook.
pub(crate) struct HookPanic {
    /// The hook and the panic's message, for the log.
    pub what: String,
    pub payload: Box<dyn Any + Send>,
}

impl HookPanic {
    /// Logs the message; the panic itself has printed where it happened.
    fn new(hook: &str, payload: Box<dyn Any + Send>) -> Self {
        let message = payload.downcast_ref::<&str>().copied();
        let message = message.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let message = message.unwrap_or("no message");
        error!(hook, panic = message, "a hook panicked");
        let what = truncate(format!("{hook} panicked: {message}"));
        #[cfg(any(test, feature = "testing"))]
        if crate::runtime::clock::TEST_TIME.get().is_some() {
            std::panic::resume_unwind(payload);
        }
        HookPanic { what, payload }
    }
}

/// Calls a hook and catches its panic.
pub(crate) fn catch<T>(hook: &str, call: impl FnOnce() -> T) -> Result<T, HookPanic> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|payload| HookPanic::new(hook, payload))
}

/// Awaits an async hook and catches its panic.
pub(crate) async fn catch_async<F: Future>(hook: &str, future: F) -> Result<F::Output, HookPanic> {
    let caught = AssertUnwindSafe(future).catch_unwind().await;
    caught.map_err(|payload| HookPanic::new(hook, payload))
}
