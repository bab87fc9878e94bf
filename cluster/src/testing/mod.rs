//! For tests: a room without processes, and a lobby with real ones.
//!
//! - [`TestRoom`] is one room without processes, sockets or a real clock: fast and deterministic.
//! - [`TestLobby`] runs your program as a lobby; a [`TestPlayer`] registers there, asks, and joins
//!   rooms with a [`Client`].
//! - [`Connection`], [`command`] and the others are their building blocks.

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

pub use self::client::Client;
pub use self::connection::{Connection, Packet, Payload, tcp};
pub use self::lobby::{LobbyBuilder, TestLobby};
pub use self::player::TestPlayer;
pub use self::process::{ProcessStat, TestFolder, command, descriptors, is_alive, is_room, pid};
pub use self::test_room::{Sent, TestRoom, player};
pub use self::wait::{eventually, soon};
