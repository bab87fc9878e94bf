//! A Socket.IO connection as the event loops of the lobby and of a room see it. `Connected` is
//! first, `Disconnected` is last, and messages between them keep their order. Events over a limit,
//! or after a hang-up, never reach the loop.

use std::convert::Infallible;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;

use axum::http::request::Parts;
use futures_util::FutureExt as _;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use socketioxide::adapter::LocalAdapter;
use socketioxide::extract::SocketRef;
use socketioxide::handler::FromMessageParts;
use socketioxide::socket::Socket;
use socketioxide::{SendError, SocketError};
use tokio::sync::OwnedSemaphorePermit;

use crate::Bytes;
use crate::http::{ClientAddress, Hangup};
use crate::runtime::{NamedCounts, Scheduler};
use crate::socketio::events::{BINARY, Encoded};
use crate::types::{Answer, Refusal, Reply, Route, truncate};

/// The number of a connection, unique in this process.
pub(crate) type ConnId = u64;

/// The refused requests of this process, by code.
pub(crate) static REFUSALS: NamedCounts = NamedCounts::new();

/// An event for the loop. `A` is what `admit` has returned. `asked`: the client sent a Socket.IO
/// disconnect, rather than losing the connection.
pub(crate) enum FromClient<A> {
    Connected(Conn, A),
    Message(ConnId, Message),
    Disconnected { conn: ConnId, asked: bool },
}

/// The writing side of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Conn {
    pub id: ConnId,
    pub peer: Peer,
    /// Once hung up, nothing is sent or read any more, though `Disconnected` is still to come.
    pub hangup: Hangup,
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
    fn request(&self) -> &Parts;
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
    pub permit: Option<OwnedSemaphorePermit>,
}

/// Acknowledges a message on its connection, or in a test.
pub(crate) type Ack = Box<dyn FnOnce(&Conn, Result<Value, Refusal>) + Send>;

impl Conn {
    /// The request by which it was opened.
    pub fn request(&self) -> &Parts {
        match &self.peer {
            Peer::Socket(socket) => socket.req_parts(),
            Peer::Test(page) => page.request(),
        }
    }

    /// The client's address; `None` for loopback addresses.
    pub fn address(&self) -> Option<IpAddr> {
        self.request().extensions.get::<ClientAddress>()?.0
    }

    /// Sends an event. If it cannot be queued, closes the connection and returns `false`: no event
    /// is ever skipped.
    pub fn emit(&self, event: &Encoded) -> bool {
        if self.is_hung_up() {
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
        if !self.is_hung_up() {
            self.hangup.0.cancel();
            match &self.peer {
                Peer::Socket(socket) => drop(socket.clone().disconnect()),
                Peer::Test(page) => page.hang_up(),
            }
        }
    }

    /// Whether it was hung up: its messages must be ignored.
    pub fn is_hung_up(&self) -> bool {
        self.hangup.0.is_cancelled()
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
        if self.conn.is_hung_up() {
            return;
        }
        match (self.ack, answer) {
            (Some(ack), answer) => ack(&self.conn, answer),
            (None, Err(refusal)) => self.conn.tell("refused", &refused(&self.event, &refusal)),
            (None, Ok(_)) => {}
        }
    }
}

/// The data of `reroute`: the way to a room.
pub(crate) fn reroute(to: &Route) -> Value {
    json!({
        "to": "room", "room": to.room, "url": to.url, "path": to.path, "ticket": to.ticket,
    })
}

/// The data of `refused`.
pub(crate) fn refused(event: &str, refusal: &Refusal) -> Value {
    let (code, message) = (refusal.code(), truncate(refusal.message()));
    json!({ "event": truncate(event), "code": code, "message": message })
}

/// The name of an event, and its argument: JSON, or bytes.
#[derive(Debug)]
pub(crate) struct RawEvent {
    pub name: String,
    /// An error if the packet is malformed: then the event has no effect.
    pub data: Result<Option<Box<RawValue>>, Refusal>,
    /// The bytes of the event `binary`, which has no other data.
    pub binary: Option<Bytes>,
    /// The size of text and attachments.
    pub bytes: usize,
    pub wants_ack: bool,
}

impl FromMessageParts<LocalAdapter> for RawEvent {
    type Error = Infallible;

    fn from_message_parts(
        _: &Arc<Socket<LocalAdapter>>,
        packet: &mut socketioxide_core::Value,
        ack: &Option<i64>,
    ) -> Result<Self, Infallible> {
        let (text, attachments) = match packet {
            socketioxide_core::Value::Str(text, attachments) => (text.as_str(), attachments.take()),
            socketioxide_core::Value::Bytes(_) => ("", None),
        };
        Ok(RawEvent::parse(text, attachments.unwrap_or_default().into(), ack.is_some()))
    }
}

impl RawEvent {
    /// Parses a packet's text, `["name", data]`, and its attachments. What would be dropped
    /// silently is refused.
    pub fn parse(text: &str, mut attachments: Vec<Bytes>, wants_ack: bool) -> RawEvent {
        let bytes = text.len() + attachments.iter().map(Bytes::len).sum::<usize>();
        let parts = serde_json::from_str::<Vec<Box<RawValue>>>(text);
        let mut arguments = parts.map_err(Refusal::bad_message).map(Vec::into_iter);
        let name = arguments.as_mut().ok().and_then(Iterator::next);
        let name = name.and_then(|name| serde_json::from_str::<String>(name.get()).ok());
        let binary = attachments.pop();
        let data = arguments.and_then(|mut arguments| {
            let data = arguments.next();
            if name.is_none() || arguments.next().is_some() {
                return Err(Refusal::bad_message("an event has a name and at most one argument"));
            }
            if binary.is_none() {
                return Ok(data);
            }
            // In the text, this stands for the attachment.
            let data = data.and_then(|data| serde_json::from_str::<Value>(data.get()).ok());
            let is_placeholder = data == Some(json!({ "_placeholder": true, "num": 0 }));
            if name.as_deref() != Some(BINARY) || !attachments.is_empty() || !is_placeholder {
                return Err(Refusal::bad_message("bytes are the only argument of `binary`"));
            }
            Ok(None)
        });
        RawEvent { name: name.unwrap_or_default(), data, binary, bytes, wants_ack }
    }
}
