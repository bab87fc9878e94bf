//! A Socket.IO connection as the event loops of the lobby and of a room see it. `Connected` is
//! first, `Disconnected` is last, and messages between them keep their order. Events over a limit,
//! or after a hang-up, never reach the loop.

use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use axum::http::HeaderMap;
use futures_util::FutureExt as _;
use serde_json::{Value, json};
use socketioxide::extract::{AckSender, SocketRef};
use socketioxide::{SendError, SocketError};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::http::{ClientAddress, Hangup};
use crate::runtime::{NamedCounts, Scheduler};
use crate::socketio::events::{BINARY, Encoded};
use crate::socketio::packet::{ConnId, RawEvent};
use crate::types::{Answer, Refusal, Reply, Route, truncate};

/// The refused requests of this process, by code.
pub(crate) static REFUSALS: NamedCounts = NamedCounts::new();

/// An event for the loop. `A` is what `admit` has returned.
pub(crate) enum FromClient<A> {
    Connected(Conn, A),
    Message(ConnId, Message),
    /// `asked`: the client sent a Socket.IO disconnect, rather than losing the connection.
    Disconnected {
        conn: ConnId,
        asked: bool,
    },
}

/// The writing side of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Conn {
    pub id: ConnId,
    pub peer: Peer,
    /// Hung up: nothing is sent or read any more, though `Disconnected` is still to come.
    pub hung_up: Arc<AtomicBool>,
}

/// The other end of a connection.
#[derive(Clone, Debug)]
#[cfg_attr(not(any(test, feature = "testing")), allow(dead_code))]
pub(crate) enum Peer {
    Socket(SocketRef),
    Test(Arc<dyn TestPeer>),
}

/// A page that a test plays. The lobby sends it nothing volatile.
pub(crate) trait TestPeer: std::fmt::Debug + Send + Sync {
    fn address(&self) -> Option<IpAddr>;
    fn headers(&self) -> HeaderMap;
    fn emit(&self, event: &Encoded) -> Result<(), SendError>;
    fn hang_up(&self);
}

/// An event from a client, before it is parsed.
pub(crate) struct Message {
    pub event: RawEvent,
    pub responder: Responder,
}

/// Sends the answer to a message.
pub(crate) struct Responder {
    pub event: String,
    pub conn: Conn,
    pub ack: Option<Ack>,
    /// The message's place in the queue, freed with the answer.
    pub _permit: Option<OwnedSemaphorePermit>,
}

/// Acknowledges a message, on a socket or in a test.
#[cfg_attr(not(any(test, feature = "testing")), allow(dead_code))]
pub(crate) enum Ack {
    Socket(AckSender),
    Test(oneshot::Sender<Result<Value, Refusal>>),
}

impl Conn {
    /// The client's address; `None` for loopback addresses.
    pub fn address(&self) -> Option<IpAddr> {
        match &self.peer {
            Peer::Socket(socket) => address_of(socket).0,
            Peer::Test(page) => page.address(),
        }
    }

    /// The headers of the request by which it was opened.
    pub fn headers(&self) -> HeaderMap {
        match &self.peer {
            Peer::Socket(socket) => socket.req_parts().headers.clone(),
            Peer::Test(page) => page.headers(),
        }
    }

    /// Sends an event. If it cannot be queued, closes the connection and returns `false`: no event
    /// is ever skipped.
    pub fn emit(&self, event: &Encoded) -> bool {
        if self.hung_up.load(Relaxed) {
            return true;
        }
        let sent = match (&self.peer, event) {
            (Peer::Socket(socket), Encoded::Json { name, data }) => socket.emit(name, &**data),
            (Peer::Socket(socket), Encoded::Binary(bytes)) => socket.emit(BINARY, bytes),
            (Peer::Test(page), event) => page.emit(event),
        };
        match sent {
            // The loop gets `Disconnected` after the client's last messages.
            Ok(()) | Err(SendError::Socket(SocketError::Closed)) => true,
            Err(_) => {
                self.hang_up();
                false
            }
        }
    }

    /// Sends an event that may be lost, such as a state that the next one replaces.
    pub fn emit_volatile(&self, event: &Encoded) {
        let Peer::Socket(socket) = &self.peer else { return };
        let volatile = socket.volatile();
        let _ = match event {
            Encoded::Json { name, data } => volatile.emit(name, &**data),
            Encoded::Binary(bytes) => volatile.emit(BINARY, bytes),
        };
    }

    /// Sends one of the cluster's own events.
    pub fn tell(&self, name: &str, data: &Value) {
        self.emit(&Encoded::own(name, data));
    }

    /// Closes the connection with a reason, after which the page does not reconnect. For a player
    /// in two windows, in the lobby and in rooms, the newest one wins: the older one is `replaced`.
    pub fn dismiss(&self, why: &Refusal) {
        self.tell("refused", &refused("connect", why));
        self.hang_up();
    }

    /// Closes the connection. The loop still gets messages that are queued, then `Disconnected`. A
    /// Socket.IO disconnect alone would leave the websocket open for another connect. [`Hangup`]
    /// closes that as well, also if the client does not read and the disconnect packet cannot be
    /// queued.
    pub fn hang_up(&self) {
        if !self.hung_up.swap(true, Relaxed) {
            let socket = match &self.peer {
                Peer::Socket(socket) => socket,
                Peer::Test(page) => return page.hang_up(),
            };
            if let Some(connection) = socket.req_parts().extensions.get::<Hangup>() {
                connection.0.cancel();
            }
            let _ = socket.clone().disconnect();
        }
    }
}

impl Message {
    /// Whether its connection was hung up since: the message must be ignored.
    pub fn is_hung_up(&self) -> bool {
        self.responder.conn.hung_up.load(Relaxed)
    }
}

impl Responder {
    /// Sends an answer, now or when a deferred one is ready. A panic in a deferred answer counts as
    /// one in a hook.
    pub fn answer<S: 'static, H: 'static>(self, answer: Answer, scheduler: &Scheduler<S, H>) {
        match answer {
            Ok(Reply::Now(value)) => self.send(Ok(value)),
            Ok(Reply::Later(answer)) => {
                let answer = AssertUnwindSafe(answer).catch_unwind();
                scheduler.spawn(answer, |_, _, answer| match answer {
                    Ok(answer) => self.send(answer),
                    Err(panic) => {
                        self.send(Err(Refusal::INTERNAL));
                        resume_unwind(panic);
                    }
                });
            }
            Err(refusal) => self.send(Err(refusal)),
        }
    }

    /// Sends `{ ok }` or `{ error }` if the client asked for an acknowledgement. Otherwise a
    /// refusal is sent as the event `refused { event, code, message }`.
    pub fn send(self, answer: Result<Value, Refusal>) {
        if let Err(refusal) = &answer {
            REFUSALS.add(refusal.code());
        }
        if self.conn.hung_up.load(Relaxed) {
            return;
        }
        let Some(ack) = self.ack else {
            if let Err(refusal) = answer {
                self.conn.tell("refused", &refused(&self.event, &refusal));
            }
            return;
        };
        let ack = match ack {
            Ack::Socket(ack) => ack,
            Ack::Test(ack) => return drop(ack.send(answer)),
        };
        let answer = match answer {
            Ok(value) => json!({ "ok": value }),
            Err(refusal) => json!({ "error": refusal }),
        };
        if ack.send(&answer).is_err() {
            self.conn.hang_up();
        }
    }
}

/// The data of `reroute`: the way to a room.
pub(crate) fn reroute(to: &Route) -> Value {
    json!({
        "to": "room", "room": to.room, "url": "", "path": to.path, "ticket": to.ticket,
    })
}

/// The data of `refused`.
pub(crate) fn refused(event: &str, refusal: &Refusal) -> Value {
    let (code, message) = (refusal.code(), truncate(refusal.message()));
    json!({ "event": truncate(event), "code": code, "message": message })
}

/// The client's address; `None` for loopback addresses.
pub(super) fn address_of(socket: &SocketRef) -> ClientAddress {
    socket.req_parts().extensions.get().copied().unwrap_or(ClientAddress(None))
}
