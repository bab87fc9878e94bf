//! Panics in hooks. In the lobby a panic ends the hook. In a room `--on-room-panic` decides. In a
//! `TestRoom` it propagates and fails the test, unless `TestRoom::on_panic` is set.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
};

use clap::ValueEnum;
use futures_util::FutureExt as _;
use serde::{Deserialize, Serialize};
use tracing::error;

use crate::types::short;

/// The payload of a panic.
pub(crate) type Panic = Box<dyn Any + Send>;

/// Calls the hooks of a room, until one ends it by a panic.
pub(crate) struct Hooks {
    /// `None`: panics propagate.
    on_panic: Option<RoomPanic>,
    /// The hook that has ended the room, and the panic message.
    crashed: Option<String>,
}

impl Hooks {
    pub fn new(on_panic: Option<RoomPanic>) -> Self {
        Hooks { on_panic, crashed: None }
    }

    #[cfg(any(test, feature = "testing"))]
    pub fn set_on_panic(&mut self, on_panic: RoomPanic) {
        self.on_panic = Some(on_panic);
    }

    /// Set when a panic ends the room.
    pub fn crashed(&self) -> Option<&str> {
        self.crashed.as_deref()
    }

    /// `None`: the hook panicked and may have changed the state halfway, or an earlier one has
    /// ended the room.
    pub fn call<T>(&mut self, hook: &'static str, call: impl FnOnce() -> T) -> Option<T> {
        if self.crashed.is_some() {
            return None;
        }
        let result = catch_unwind(AssertUnwindSafe(call));
        result.map_err(|panic| self.panicked(hook, panic)).ok()
    }

    /// Handles a panic that was caught elsewhere.
    pub fn panicked(&mut self, hook: &'static str, panic: Panic) {
        match self.on_panic {
            None => resume_unwind(panic),
            Some(RoomPanic::Continue) => survived(hook, &panic),
            Some(RoomPanic::EndRoom) => {
                self.crashed.get_or_insert(crash(hook, &panic));
            }
        }
    }
}

/// Logs a panic that ends the room; returns the text for its exit.
pub(crate) fn crash(hook: &'static str, panic: &Panic) -> String {
    let text = text(panic);
    error!(hook, panic = text, "a hook panicked; the room ends");
    short(format!("{hook} panicked: {text}"))
}

/// Logs a panic that ends only the hook.
pub(crate) fn survived(hook: &'static str, panic: &Panic) {
    error!(hook, panic = text(panic), "a hook panicked; going on without it");
}

/// Awaits a future and catches its panic.
pub(crate) async fn caught<T>(future: impl Future<Output = T>) -> Result<T, Panic> {
    AssertUnwindSafe(future).catch_unwind().await
}

/// The panic message. The panic hook has logged the location before.
fn text(panic: &Panic) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a word")
}

/// What happens to a room when one of its hooks panics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub enum RoomPanic {
    /// End the room, since its state may be half changed. Its players return to the lobby.
    EndRoom,
    /// Refuse the request with `internal`, and keep the room running.
    Continue,
}
