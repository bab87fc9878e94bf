//! Fault injection: faults of a room, of the lobby and of clients affect nobody else; players
//! return to the lobby and are told why, and nothing is left behind. Each fault is injected into
//! real processes while five hundred players play. The tests run one at a time, as each needs the
//! whole machine.
#![cfg(target_os = "linux")]

#[allow(dead_code, reason = "shared with the other tests, which need all of it")]
mod common;
mod faults {
    mod background_player;
    mod baseline;
    mod client_faults;
    mod crowd;
    mod fault_test;
    mod lobby_deaths;
    mod lobby_faults;
    mod room_faults;
    mod socket_faults;
}

use tokio::sync::Mutex;

/// Held by each test.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());
