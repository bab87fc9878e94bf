//! For tests: a room without processes, sockets or a real clock.

#[cfg(test)]
pub(crate) mod property_tests;
mod test_room;

pub use self::test_room::{Sent, TestRoom, player};
