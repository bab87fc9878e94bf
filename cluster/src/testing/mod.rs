//! For tests of your hooks: a room and a lobby without processes, and a lobby with real ones. The
//! module is there with the feature `testing`, which a project enables for its tests alone.
//!
//! A [`TestRoom`] is one room by itself: no processes, no sockets, and a clock that only the test
//! moves. Such a test takes milliseconds, and with one seed it is the same each time. Test the
//! rules of a game with it:
//!
//! ```
//! # use cluster::{Answer, Player, Refusal, Room, RoomContext, testing::TestRoom, ok};
//! # cluster::messages! {
//! #     pub enum Say { Text(String) }
//! #     pub enum Said { Text(String) }
//! # }
//! # struct Echo;
//! # impl Room for Echo {
//! #     cluster::room_types! {
//! #         type Request = Say;
//! #         type Event = Said;
//! #     }
//! #     async fn on_open(_: (), _: &RoomContext<Self>) -> Result<Self, Refusal> { Ok(Echo) }
//! #     fn on_request(&mut self, room: &RoomContext<Self>, _: &Player, say: Say) -> Answer {
//! #         let Say::Text(text) = say;
//! #         room.broadcast(Said::Text(text));
//! #         ok()
//! #     }
//! # }
//! use serde_json::json;
//!
//! let (seats, seed) = (2, 7);
//! let mut room = TestRoom::<Echo>::open((), seats, seed).unwrap();
//! let ann = room.join("Ann").unwrap();
//! room.emit(&ann, "text", json!("hello")).unwrap();
//! assert_eq!(room.last(&ann, "text"), Some(&json!("hello")));
//! ```
//!
//! A [`TestLobby`] is the lobby by itself, with rooms that the test plays: it says which of them
//! open, whom they admit, what they tell the lobby and how they end. Such a test takes
//! milliseconds, too. Test with it which room players get, queues, and what the lobby does when
//! rooms report or end:
//!
//! ```
//! # use cluster::{Defaults, Lobby, Refusal, Room, RoomContext, RoomManager};
//! # use cluster::testing::TestLobby;
//! # use serde_json::json;
//! # struct Chess;
//! # impl Room for Chess {
//! #     cluster::room_types! {}
//! #     async fn on_open(_: (), _: &RoomContext<Self>) -> Result<Self, Refusal> { Ok(Chess) }
//! # }
//! # #[derive(Default)] struct Server;
//! # impl Lobby for Server { cluster::lobby_types! {} }
//! # impl RoomManager<Chess> for Server {}
//! # cluster::kinds!(Server: Chess = "chess");
//! # const DEFAULTS: Defaults = Defaults { name: "chess", port: 0, seats: 2 };
//! let mut lobby = TestLobby::<Server>::start(DEFAULTS);
//! let [ann, bob, cem] = ["Ann", "Bob", "Cem"].map(|name| lobby.player(name));
//! for player in [&ann, &bob, &cem] {
//!     lobby.ask(player, "play", json!({})).unwrap();
//! }
//! assert_eq!(lobby.enter(&ann), lobby.enter(&bob));
//! assert_ne!(lobby.rerouted(&cem), lobby.lobby().seat_of(&ann));
//! ```
//!
//! A [`LobbyProcess`] is your program, run as a lobby with its rooms. A [`TestPlayer`] registers
//! there, asks, and joins rooms; each of their connections is a [`Client`]. Such a test takes a
//! second, and shows that lobby and rooms work together. Tell a story or two with it.
//!
//! [`load`] has load tests: hundreds of [`Bot`]s play, and their times are counted.
//!
//! The rest are building blocks. A [`Connection`] is for tests that break the protocol or open a
//! thousand connections; [`eventually`] and [`soon`] wait with a time limit; [`command`],
//! [`ProcessStat`] and [`TestFolder`] are for processes and files.
//!
//! A refusal by the lobby or a room is an `Err`. Anything else that goes wrong fails the test at
//! once, by a panic that says what it waited for.

mod bot;
mod client;
mod connection;
mod counts;
#[cfg(test)]
mod invalid_tokens;
mod lists;
pub mod load;
mod lobby;
mod player;
mod process;
#[cfg(test)]
mod property_tests;
mod test_lobby;
pub(crate) mod test_room;
mod wait;

pub use rustix::process::{Pid, Signal};

pub use self::bot::{Bot, BotCommand, BotEvent, Disconnect, Request, Script};
pub use self::client::Client;
pub use self::connection::{Connection, Packet, Payload, tcp};
pub use self::lobby::{LobbyBuilder, LobbyProcess};
pub use self::player::TestPlayer;
pub use self::process::{
    ProcessStat, TestFolder, allow_many_files, command, descriptors, free_port, is_alive, is_room,
    pid, private_kib,
};
pub use self::test_lobby::TestLobby;
pub use self::test_room::{Sent, TestRoom, player};
pub use self::wait::{eventually, soon};
