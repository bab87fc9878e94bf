//! A load test: bots look at pictures, on a lobby of their own.
//!
//! `cargo run --release --example loadtest -- --players 16 --for 30s`; `--help` lists the flags.
//! The rooms have no players. The lobby draws 16 pictures at a time and refuses more.

use std::process::ExitCode;

use app::{defaults::DEFAULTS, server::Server};
use cluster::testing::load::{LoadTest, View};
use serde_json::{Value, json};

fn main() -> ExitCode {
    LoadTest::new::<Server>(DEFAULTS).stay_in_lobby().say(0.5, say).run()
}

// HOOK: what does a bot in the lobby say?
fn say(_: &View) -> Option<(&'static str, Value)> {
    let (columns, rows, depth) = (240, 160, 200);
    let view =
        json!({ "x": -0.5, "y": 0, "across": 3, "columns": columns, "rows": rows, "depth": depth });
    Some(("render", view))
}
