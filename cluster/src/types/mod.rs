//! What every part speaks of: players, refusals, answers, reasons, and how messages are written.

mod answer;
mod exit;
mod leave;
mod message;
mod player;
mod raw;
mod refusal;
mod route;
#[cfg(debug_assertions)]
pub(crate) mod typescript;

pub use self::{
    answer::{Answer, Reply, deferred, ok, reply},
    exit::Exit,
    leave::Leave,
    message::{Message, Nothing},
    player::{Player, PlayerId, RoomId},
    refusal::{Refusal, refuse},
};
pub(crate) use self::{
    raw::{from_raw, short, to_raw},
    route::{Route, path_of},
};
