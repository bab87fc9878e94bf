//! For tests: a room without processes, and a lobby with real ones.
//!
//! - [`TestRoom`] is one room without processes, sockets or a real clock: quick, and the same each
//!   time.
//! - [`TestLobby`] runs your program as a lobby; a [`TestPlayer`] registers there, asks, and goes
//!   to rooms, to which they talk as a [`Client`].
//! - [`Connection`], [`command`] and their like are what these are made of.

mod client;
mod connection;
#[cfg(test)]
mod invalid_tokens;
mod lobby;
mod player;
mod process;
#[cfg(test)]
mod property_tests;
mod test_room;
mod wait;

pub use rustix::process::{Pid, Signal};

pub use self::{
    client::Client,
    connection::{Connection, Packet, Payload, tcp},
    lobby::{LobbyBuilder, TestLobby},
    player::TestPlayer,
    process::{TestFolder, command, descriptors, is_alive, is_room, pid},
    test_room::{Sent, TestRoom, player},
    wait::{eventually, soon},
};
