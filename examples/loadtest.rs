//! A load test: bots race for coins, on a lobby of their own.
//!
//! `cargo run --release --example loadtest -- --players 500 --rooms 20 --for 30s`; `--help` lists
//! the flags. `--url http://localhost:PORT --players 3` sends three bots to a running lobby.

use std::process::ExitCode;

use app::{defaults::DEFAULTS, server::Server};
use cluster::testing::load::{LoadTest, View};
use serde_json::{Value, json};

fn main() -> ExitCode {
    LoadTest::new::<Server>(DEFAULTS).ticks("state", 30.0).say(10.0, say).run()
}

// HOOK: what does a bot in a room say?
fn say(bot: &View) -> Option<(&'static str, Value)> {
    let state = bot.last("state")?;
    let dot = state["dots"].as_array()?.iter().find(|dot| dot["id"] == bot.you()["id"])?;
    if !state["results"].is_null() {
        return (dot["ready"] == false).then(|| ("play_again", json!({})));
    }
    let way = |axis, at| Some((state["coin"][at].as_f64()? - dot[axis].as_f64()?) * 20.0);
    Some(("steer", json!({ "x": way("x", 0)?, "y": way("y", 1)? })))
}
