//! The template: what `cargo generate` makes of this repository. Each test uses a copy of the
//! repository's files as they are now, committed or not, in a folder of its own.
//!
//! Needs `cargo-generate`, `watchexec`, PostgreSQL, Git, npm with what `npm ci` installs,
//! actionlint in target/tools (as tests/all.sh installs it), and on Linux `script` (util-linux) for
//! the questions on a terminal.

mod helpers;

mod accounts;
mod answers;
mod builds;
mod crates;
mod docs;
mod examples;
mod hooks;
mod output;
mod pages;
mod places;
mod postgres;
mod recipe;
mod recipes;
mod refusals;
mod restart;
#[cfg(target_os = "linux")]
mod terminal;
mod tutorial;
mod types;
mod update;
mod watch;
