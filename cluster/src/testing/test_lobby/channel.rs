//! Processes that are not started: the lobby writes to channels that the test reads. And what rooms
//! do in their place.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use tokio::net::UnixStream;
use tokio::runtime::Runtime;
use tokio::sync::{Mutex, OwnedSemaphorePermit, mpsc, oneshot};

use crate::process::{End, FromRoom, Process, Sender, Starter};
use crate::testing::Sent;
use crate::types::{Exit, PlayerId, RoomId};

/// The test's end of a process that was not started.
pub(super) struct Channel {
    pub frames: mpsc::UnboundedReceiver<(String, OwnedSemaphorePermit)>,
    pub killed: oneshot::Receiver<Exit>,
}

/// Starts no processes: keeps the channels of those that the lobby asks for.
pub(super) fn starter(started: &Rc<RefCell<Vec<(RoomId, Channel)>>>, runtime: &Runtime) -> Starter {
    let (started, runtime) = (started.clone(), runtime.handle().clone());
    Box::new(move |number| {
        let _entered = runtime.enter();
        let (stream, _) = UnixStream::pair()?;
        let (queue, frames) = mpsc::unbounded_channel();
        let end = End::Here(Arc::new(Mutex::new(stream.into_split().1)));
        let (kill, killed) = oneshot::channel();
        let room = RoomId(number.to_string());
        started.borrow_mut().push((room.clone(), Channel { frames, killed }));
        let sender = Sender::new(queue, end);
        let kill = Cell::new(Some(kill));
        Ok((room, Process { sender, output: Default::default(), kill }))
    })
}

/// What a room does, in order.
pub(super) enum Effect {
    Frame(FromRoom),
    /// Sends an event to the page of a player.
    Emit(PlayerId, Sent),
    /// The page of this player is not in the room any more.
    HangUp {
        player: PlayerId,
        returns: bool,
    },
    /// The room's process has ended.
    Exit(Exit),
}
