//! The whole program, seen from outside: real processes, real sockets, a free port each. A test starts
//! a cluster of its own, waits for what must happen, and never for a fixed time.
//!
//! Yours to edit: `arena.rs`, the tests of your own hooks. The others test the structure, with a
//! program that misbehaves when asked to (`unruly.rs`, an example target).

mod helpers;
mod player;
mod raw;
mod socket_io;

mod arena;

mod failing;
#[cfg(target_os = "linux")]
mod handoff;
mod joining;
mod leaving;
mod limits;
mod messages;
mod processes;
mod registering;
mod relay;
mod requests;
mod starting;
mod web;
