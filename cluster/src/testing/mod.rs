//! For tests: a room without processes, sockets or a real clock.

#[cfg(test)]
pub(crate) mod property_tests;
mod test_room;
mod typescript;

pub use self::{
    test_room::{Sent, Stage, player},
    typescript::check_types,
};
