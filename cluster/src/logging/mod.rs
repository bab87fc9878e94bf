//! The log: its subscriber, its bounded writer, and the rooms' output.

pub(crate) mod room_output;
pub(crate) mod subscriber;
pub(crate) mod writer;
