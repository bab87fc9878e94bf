//! Room processes, seen from the lobby, and the control channel to them.

pub(crate) mod channel;
mod pool;
mod starvation;
mod supervisor;

pub(crate) use self::channel::{
    FromRoom, Receiver, ReservedSeat, RoomSpec, Sender, ToRoom, VERSION,
};
pub(crate) use self::pool::Pool;
pub(crate) use self::supervisor::{Process, ProcessEvent};
