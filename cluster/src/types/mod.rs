//! Types that all parts share: players, messages, answers, refusals, reasons.

mod answer;
mod message;
mod player;
mod raw;
mod reason;
mod refusal;
mod route;
#[cfg(debug_assertions)]
pub(crate) mod typescript;

pub use self::{
    answer::{Answer, Reply, deferred, ok, reply},
    message::{Message, Nothing},
    player::{Player, PlayerId, RoomId},
    reason::{Exit, LeaveReason},
    refusal::{Refusal, refuse},
};
pub(crate) use self::{
    raw::{from_raw, short, to_raw},
    route::{Route, path_of},
};
