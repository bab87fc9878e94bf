//! One Socket.IO connection, as the loops of the lobby and of a room see it: it has come, it says
//! something, it is gone. In this order, nothing lost, whatever the runtime does.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use serde_json::{Value, json};
use socketioxide::{
    SendError, SocketError,
    extract::{AckSender, SocketRef},
};
use tokio::{sync::OwnedSemaphorePermit, time::sleep};

use crate::{
    http::{connection_limits::ClientAddress, throttled_stream::Hangup},
    socketio::{
        events::{BINARY, Encoded},
        packet::{Attached, ConnId, RawEvent},
    },
    types::{Refusal, Route, path_of, short},
};

/// How soon to try again to hang up.
const AGAIN: Duration = Duration::from_millis(50);

/// What a connection brings to the loop. `A` is what `admit` found out about it.
pub(crate) enum FromClient<A> {
    Connected(Conn, A),
    Message(ConnId, Message),
    /// `asked`: by a Socket.IO disconnect, and not by a lost connection.
    Disconnected {
        conn: ConnId,
        asked: bool,
    },
}

/// The writing side of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Conn {
    pub id: ConnId,
    pub(super) socket: SocketRef,
    /// It was hung up, though its end has yet to come: nothing is told or heard any more.
    pub(super) cut: Arc<AtomicBool>,
}

/// One event from a browser, not parsed yet.
pub(crate) struct Message {
    pub event: RawEvent,
    pub answer: Responder,
}

/// Where a message's answer goes.
pub(crate) struct Responder {
    pub(super) event: String,
    pub(super) conn: Conn,
    pub(super) ack: Option<AckSender>,
    /// Its place among the messages that wait; given back with the answer.
    pub(super) _waiting: Option<OwnedSemaphorePermit>,
}

/// The browser is gone, or does not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unreachable;

impl Conn {
    /// Where it comes from; `None` for this machine itself.
    pub fn address(&self) -> Option<IpAddr> {
        address_of(&self.socket).map(|ClientAddress(address)| address)
    }

    /// Sends an event. What cannot be sent now is never skipped: the connection counts as gone.
    pub fn emit(&self, event: &Encoded) -> Result<(), Unreachable> {
        if self.cut.load(Relaxed) {
            return Ok(());
        }
        let sent = match event {
            Encoded::Json { name, data } => self.socket.emit(name, &**data),
            Encoded::Binary(bytes) => self.socket.emit(BINARY, &Attached(bytes)),
        };
        match sent {
            // He has hung up. That comes to the loop after all that he has said before.
            Err(SendError::Socket(SocketError::Closed)) => Ok(()),
            sent => sent.map_err(|_| self.hang_up()),
        }
    }

    /// Sends an event that the next one replaces; it may be lost.
    pub fn emit_volatile(&self, event: &Encoded) {
        let volatile = self.socket.volatile();
        let _ = match event {
            Encoded::Json { name, data } => volatile.emit(name, &**data),
            Encoded::Binary(bytes) => volatile.emit(BINARY, &Attached(bytes)),
        };
    }

    /// Sends one of the cluster's own events.
    pub fn tell(&self, name: &str, data: &Value) -> Result<(), Unreachable> {
        if self.cut.load(Relaxed) {
            return Ok(());
        }
        self.socket.emit(name, data).map_err(|_| self.hang_up())
    }

    /// Sends its page to a room, at the address at which this browser has come here.
    pub fn reroute(&self, to: &Route) {
        let _ = self.tell("reroute", &reroute(to));
    }

    /// Ends the connection, says why, and wants its page to stay where it is. This is the policy for one
    /// player in two windows, in the lobby and in rooms: the newest one wins, the old one is `replaced`.
    pub fn dismiss(&self, why: &Refusal) {
        let _ = self.tell("refused", &refused("connect", why));
        self.hang_up();
    }

    /// Ends the connection; the loop hears no more of it than that it is gone. A Socket.IO disconnect only ends the
    /// namespace, which a client could enter again; the [`Hangup`] ends the connection below.
    pub fn hang_up(&self) -> Unreachable {
        if self.cut.swap(true, Relaxed) {
            return Unreachable;
        }
        if let Some(connection) = self.socket.req_parts().extensions.get::<Hangup>() {
            connection.hang_up();
        }
        if self.socket.clone().disconnect().is_err() {
            // There is no room for that packet until the browser reads again, or is found gone.
            let socket = self.socket.clone();
            tokio::spawn(async move {
                while socket.clone().disconnect().is_err() {
                    sleep(AGAIN).await;
                }
            });
        }
        Unreachable
    }
}

impl Message {
    /// Whether its connection was ended since: nobody waits for an answer, and no hook is to hear it.
    pub fn is_cut(&self) -> bool {
        self.answer.conn.cut.load(Relaxed)
    }
}

impl Responder {
    /// `{ ok }` or `{ error }` where the browser waits for it; a refusal that nobody waits for is told
    /// as `refused { event, code, message }`.
    pub fn send(self, answer: Result<Value, Refusal>) {
        let _ = match (self.ack, answer) {
            _ if self.conn.cut.load(Relaxed) => Ok(()),
            (Some(ack), Ok(value)) => {
                ack.send(&json!({ "ok": value })).map_err(|_| self.conn.hang_up())
            }
            (Some(ack), Err(error)) => {
                ack.send(&json!({ "error": error })).map_err(|_| self.conn.hang_up())
            }
            (None, Ok(_)) => Ok(()),
            (None, Err(error)) => self.conn.tell("refused", &refused(&self.event, &error)),
        };
    }
}

/// The data of `reroute`: where the page finds a room.
pub(crate) fn reroute(to: &Route) -> Value {
    json!({
        "to": "room", "room": to.room, "url": "", "path": path_of(&to.room),
        "ticket": to.ticket,
    })
}

/// The data of `refused`: which event was refused, and why.
pub(crate) fn refused(event: &str, refusal: &Refusal) -> Value {
    json!({ "event": event, "code": refusal.code(), "message": short(refusal.message()) })
}

/// Where a connection comes from; `None` for this machine itself.
pub(super) fn address_of(socket: &SocketRef) -> Option<ClientAddress> {
    socket.req_parts().extensions.get().copied()
}
