//! The whole program, seen from outside: real processes, real sockets, a free port each. A test starts
//! a cluster of its own, waits for what must happen, and never for a fixed time.
//!
//! Yours to edit: `room.rs` (your room on a stage, without processes and real time) and `story.rs` (your
//! lobby, rooms and players, end to end). The others test the structure, with a program that misbehaves
//! when asked to (`unruly.rs`, an example target, with `rooms.rs`, `misdeeds.rs` and `hostile.rs`) or does what a
//! script says (`scripted.rs`).

#[allow(dead_code, reason = "these are also for the stories that you have not told yet")]
mod helpers;
#[allow(dead_code, reason = "the same")]
mod player;
mod raw;
#[allow(dead_code, reason = "its lobby is for the program of `unruly.rs`")]
mod scripted;
#[allow(dead_code, reason = "the same")]
mod socket_io;

mod room;
mod story;

mod attacks;
mod bench_agrees;
mod breaker;
mod bytes;
mod containment;
mod endings;
mod failing;
mod files;
mod floods;
mod fuzzing;
#[cfg(target_os = "linux")]
mod guests;
#[cfg(target_os = "linux")]
mod handoff;
mod joining;
mod leaving;
mod limits;
mod logins;
mod logs;
mod messages;
mod moving;
mod origins;
mod pace;
mod panics;
mod parties;
#[cfg(target_os = "linux")]
mod pauses;
mod private;
mod processes;
mod putting_out;
mod queues;
mod refusals;
mod registering;
mod relay;
mod requests;
mod secrets;
mod starting;
mod tickets;
mod web;
mod work;
