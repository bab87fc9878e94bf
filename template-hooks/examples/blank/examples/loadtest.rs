//! A load test: bots say hello, on a lobby of their own.
//!
//! `cargo run --release --example loadtest -- --players 500 --rooms 20 --for 30s`; `--help` lists
//! the flags. `--url http://localhost:PORT --players 3` sends three bots to a running lobby.

use std::process::ExitCode;

use app::{defaults::DEFAULTS, server::Server};
use cluster::testing::load::{LoadTest, View};
use serde_json::Value;

fn main() -> ExitCode {
    LoadTest::new::<Server>(DEFAULTS).say(1.0, say).run()
}

// HOOK: what does a bot in a room say?
fn say(_: &View) -> Option<(&'static str, Value)> {
    Some(("hello", Value::Null))
}
