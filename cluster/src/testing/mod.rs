//! For tests: a room without processes, sockets or a real clock.

#[cfg(test)]
mod invalid_tokens;
#[cfg(test)]
mod property_tests;
mod test_room;

pub use self::test_room::{Sent, TestRoom, player};
