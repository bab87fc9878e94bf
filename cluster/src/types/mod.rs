//! Types that all parts share: players, messages, answers, refusals, reasons.

mod answer;
mod message;
mod player;
mod reason;
mod text;
#[cfg(debug_assertions)]
pub(crate) mod typescript;

pub use self::answer::{Answer, Refusal, Reply, deferred, ok, refuse, reply};
pub use self::message::{Data, Message, Nothing};
pub(crate) use self::message::{MAX_RAW, encode_data, encode_message, to_raw, truncate};
pub(crate) use self::player::{AnyPlayer, MAX_PROFILE, Route, path_of};
pub use self::player::{Player, PlayerId, RoomId};
pub use self::reason::{Exit, LeaveReason};
pub use self::text::readable_line;
