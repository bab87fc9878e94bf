//! Room processes, seen from the lobby, and the control channel to them. Signals, and the first
//! process of a container.

pub(crate) mod channel;
pub(crate) mod init;
mod pool;
mod room_process;
pub(crate) mod signals;
mod starvation;
mod supervisor;
pub(crate) mod usage;

pub(crate) use self::channel::{
    End, FromRoom, Receiver, ReservedSeat, RoomSpec, Sender, ToRoom, VERSION,
};
pub(crate) use self::pool::{Pool, Starter};
pub(crate) use self::room_process::{
    Description, Dial, ENDS, Part, RemoteRoom, RoomProcess, TakenSeat,
};
pub(crate) use self::supervisor::{Process, ProcessEvent, Supervisors};
pub(crate) use self::usage::Usage;
