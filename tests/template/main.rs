//! The template: what `cargo generate` makes of this repository. Each test uses a copy of the
//! repository's files as they are now, committed or not, in a folder of its own.
//!
//! Needs `cargo-generate`, Git, npm with what `npm ci` installs, and on Linux `script` (util-linux)
//! for the questions on a terminal.

mod helpers;

mod accounts;
mod answers;
mod builds;
mod crates;
mod examples;
mod hooks;
mod output;
mod pages;
mod places;
mod postgres;
mod recipe;
mod refusals;
mod restart;
#[cfg(target_os = "linux")]
mod terminal;
mod tutorial;
mod types;
mod watch;
