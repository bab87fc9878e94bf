//! Several lobbies, of which one is active, by a lease in NATS: lobbies, and NATS, that die, stand
//! still or are cut off. Needs the program `nats-server`, 2.11 or newer.
#![cfg(target_os = "linux")]

#[allow(dead_code, reason = "shared with the other tests, which need all of it")]
mod common;
mod standby {
    mod directory;
    mod engine;
    mod nats;
    mod takeover;
}
