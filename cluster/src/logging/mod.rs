//! The log: its subscriber, its bounded writer, and the rooms' output.

mod room_output;
pub(crate) mod subscriber;
mod writer;

pub(crate) use self::room_output::{LastLines, Output, log_line};
pub(crate) use self::writer::{LOST_LINES, flush};
