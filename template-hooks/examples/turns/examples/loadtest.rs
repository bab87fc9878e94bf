//! A load test: bots play four in a row, on a lobby of their own.
//!
//! `cargo run --release --example loadtest -- --players 500 --for 30s`; `--help` lists the flags.
//! `--url http://localhost:PORT --players 1` sends an opponent to a running lobby.

use std::process::ExitCode;

use app::{defaults::DEFAULTS, server::Server};
use cluster::testing::load::{LoadTest, View};
use serde_json::{Value, json};

fn main() -> ExitCode {
    LoadTest::new::<Server>(DEFAULTS).enter("find_opponent", Value::Null).say(1.0, say).run()
}

// HOOK: what does a bot in a room say?
fn say(bot: &View) -> Option<(&'static str, Value)> {
    let game = &bot.last("room_state")?["state"];
    let sides = game["sides"].as_array().filter(|sides| sides.len() == 2)?;
    let own = sides.iter().position(|side| side["player"]["id"] == bot.you()["id"])?;
    if !game["end"].is_null() {
        return (sides[own]["again"] == false).then_some(("rematch", Value::Null));
    }
    // A free cell of the top row, if it is the bot's turn.
    let free: Vec<_> = (0..7).filter(|column| game["board"][column].is_null()).collect();
    (game["turn"] == own)
        .then(|| ("play", json!({ "column": free[rand::random_range(0..free.len())] })))
}
