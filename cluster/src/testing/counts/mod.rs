//! Instruction counts of the hot paths. Times are too noisy for CI; callgrind counts the same
//! within a few percent each time.
//!
//! A scenario (`room.rs`, `lobby.rs`) sets something up of which there are `n`, and then measures
//! one event several times. It runs in a process of its own under callgrind, which collects only
//! within [`counted`]. Two tests compare the counts: with those in `expected.txt`, and with each
//! other while `n` grows. `UPDATE_COUNTS=1` writes the file.

#[cfg(test)]
mod callgrind;
#[cfg(test)]
mod lobby;
#[cfg(test)]
mod room;

use std::cell::Cell;

thread_local! {
    static MEASURING: Cell<bool> = const { Cell::new(false) };
}

/// Does what is counted while an event is measured. Callgrind knows this function and the next one
/// by `collects`: whenever one is entered or left, it stops to collect or begins.
pub(super) fn counted<T>(call: impl FnOnce() -> T) -> T {
    if MEASURING.get() { collects_within(call) } else { call() }
}

/// Within [`counted`], does what only the test needs.
pub(super) fn not_counted<T>(call: impl FnOnce() -> T) -> T {
    if MEASURING.get() { collects_not_within(call) } else { call() }
}

#[inline(never)]
fn collects_within<T>(call: impl FnOnce() -> T) -> T {
    call()
}

#[inline(never)]
fn collects_not_within<T>(call: impl FnOnce() -> T) -> T {
    call()
}

/// Measures what is [`counted`] in an event.
#[cfg(test)]
fn measure<T>(event: impl FnOnce() -> T) -> T {
    MEASURING.set(true);
    let result = event();
    MEASURING.set(false);
    result
}

/// How the count of one event grows with `n`.
#[cfg(test)]
#[derive(Clone, Copy, PartialEq, Eq)]
enum Growth {
    /// Not at all, or as the depth of a tree.
    None,
    /// Each of the `n` is told, or listed.
    Linear,
}

/// The name of a scenario; what measures one event [`REPEATS`] times; how its count grows; and the
/// sizes `n`, of which the last two double if it is linear.
#[cfg(test)]
type Scenario = (&'static str, fn(usize), Growth, &'static [usize]);

#[cfg(test)]
const REPEATS: usize = 10;
