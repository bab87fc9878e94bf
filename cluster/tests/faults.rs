//! Whatever happens to one room, or to the lobby, or is done by a client: nobody else notices, everyone is
//! in the lobby again and told why, and nothing is left behind. Each fault is injected through real
//! processes while five hundred others play. One test at a time: they take a machine for themselves.
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
