//! A panic in a hook of a room: what it said, and what becomes of the room. In a room's process the
//! setting `--on-room-panic` decides; in a `TestRoom` a panic goes on and fails the test, unless `TestRoom::on_panic` decides.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
};

use clap::ValueEnum;
use futures_util::FutureExt as _;
use serde::{Deserialize, Serialize};
use tracing::error;

use crate::types::short;

/// What a panic leaves behind.
pub(crate) type Panic = Box<dyn Any + Send>;

/// Calls hooks, until one panics that is to end the room.
pub(crate) struct Hooks {
    /// `None`: it goes on.
    on_panic: Option<RoomPanic>,
    /// Which hook has ended the room, and what it said.
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

    /// Set when the room is to end.
    pub fn crashed(&self) -> Option<&str> {
        self.crashed.as_deref()
    }

    /// `None`: it panicked, or was not called, because one before it has ended the room. Whatever it
    /// has changed is half done.
    pub fn call<T>(&mut self, hook: &'static str, call: impl FnOnce() -> T) -> Option<T> {
        if self.crashed.is_some() {
            return None;
        }
        let result = catch_unwind(AssertUnwindSafe(call));
        result.map_err(|panic| self.panicked(hook, panic)).ok()
    }

    /// The same for what was caught elsewhere.
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

/// Logs why a room ends; the same for its verdict.
pub(crate) fn crash(hook: &'static str, panic: &Panic) -> String {
    let text = text(panic);
    error!(hook, panic = text, "a hook panicked; the room ends");
    short(format!("{hook} panicked: {text}"))
}

/// Logs that one hook less was called.
pub(crate) fn survived(hook: &'static str, panic: &Panic) {
    error!(hook, panic = text(panic), "a hook panicked; going on without it");
}

/// Waits for a future that may panic.
pub(crate) async fn caught<T>(future: impl Future<Output = T>) -> Result<T, Panic> {
    AssertUnwindSafe(future).catch_unwind().await
}

/// What it said; the place is in the line before, which the panic has written itself.
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
