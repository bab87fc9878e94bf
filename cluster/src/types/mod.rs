//! What everybody speaks of: players, rooms, refusals, reasons and answers.

pub(crate) mod route;
pub(crate) mod words;
