//! One Socket.IO connection, as the loops of the lobby and of a room see it: it has come, it says
//! something, it is gone. In this order, nothing lost, whatever the runtime does.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, atomic::AtomicU64, atomic::Ordering::Relaxed},
    time::Duration,
};

use axum::http::header::HOST;
use serde::{Serialize, Serializer};
use serde_json::{Value, json, value::RawValue};
use socketioxide::{
    SendError, SocketError, SocketIo,
    adapter::LocalAdapter,
    extract::{AckSender, SocketRef, TryData},
    handler::{ConnectHandler as _, FromMessageParts},
    layer::SocketIoLayer,
    socket::{DisconnectReason, Socket},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::{
    Bytes,
    channel::Route,
    events::{BINARY, Encoded},
    room_loop::path_of,
    settings::PublicUrl,
    web::host_name,
    words::Refusal,
};

/// The largest message from a browser, the same as a frame between lobby and room.
const MAX_MESSAGE: usize = 64 * 1024;
/// Messages of one connection that wait for the loop, or for an answer that takes its time; one more, and
/// it is cut as a flood. A loop
/// that is busy for a second still absorbs a player who sends a thousand messages.
const MAX_WAITING: usize = 1024;
/// Packets that wait to be written to one browser; one more, and it counts as gone.
const MAX_UNSENT: usize = 1024;
/// Together the time after which a browser that says nothing counts as gone: ten seconds.
const PING_INTERVAL: Duration = Duration::from_secs(5);
const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection may take to say who it is.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) type ConnId = u64;

/// What a connection brings to the loop. `A` is what [`serve`]'s `admit` found out about it.
pub(crate) enum FromClient<A> {
    Come(Conn, A),
    Says(ConnId, Message),
    /// `asked`: by a Socket.IO disconnect, and not by a lost connection.
    Gone {
        conn: ConnId,
        asked: bool,
    },
}

/// The writing side of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Conn {
    pub id: ConnId,
    socket: SocketRef,
}

/// One event from a browser, not parsed yet.
pub(crate) struct Message {
    pub event: RawEvent,
    pub answer: Answerer,
}

/// Where a message's answer goes.
pub(crate) struct Answerer {
    event: String,
    conn: Conn,
    ack: Option<AckSender>,
    _waiting: Option<OwnedSemaphorePermit>,
}

/// The browser is gone, or does not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unreachable;

impl Conn {
    /// Sends an event. What cannot be sent now is never skipped: the connection counts as gone.
    pub fn emit(&self, event: &Encoded) -> Result<(), Unreachable> {
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
        self.socket.emit(name, data).map_err(|_| self.hang_up())
    }

    /// Sends its page to a room, which is found at the host at which this browser has come here.
    pub fn reroute(&self, to: &Route, public_url: Option<&PublicUrl>) {
        let headers = &self.socket.req_parts().headers;
        let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
        let url = match (to.port, public_url) {
            (None, _) => String::new(),
            (Some(port), None) => format!("http://{}:{port}", host_name(host)),
            (Some(port), Some(url)) => {
                format!("{}://{}:{port}", url.scheme(), host_name(url.authority()))
            }
        };
        let _ = self.tell(
            "reroute",
            &json!({
                "to": "room", "room": to.room, "url": url, "path": path_of(&to.room),
                "ticket": to.ticket,
            }),
        );
    }

    /// Ends the connection, says why, and wants its page to stay where it is. This is the policy for one
    /// player in two windows, in the lobby and in rooms: the newest one wins, the old one is `replaced`.
    pub fn dismiss(&self, why: &Refusal) {
        let _ = self.tell("refused", &refused("connect", why));
        self.hang_up();
    }

    /// Ends the connection; the loop hears no more of it than that it is gone.
    pub fn hang_up(&self) -> Unreachable {
        let _ = self.socket.clone().disconnect();
        Unreachable
    }
}

impl Answerer {
    /// `{ ok }` or `{ error }` where the browser waits for it; a refusal that nobody waits for is told
    /// as `refused { event, code, message }`.
    pub fn send(self, answer: Result<Value, Refusal>) {
        let _ = match (self.ack, answer) {
            (Some(ack), Ok(value)) => ack.send(&json!({ "ok": value })).map_err(|_| Unreachable),
            (Some(ack), Err(error)) => {
                ack.send(&json!({ "error": error })).map_err(|_| Unreachable)
            }
            (None, Ok(_)) => Ok(()),
            (None, Err(error)) => self.conn.tell("refused", &refused(&self.event, &error)),
        };
    }
}

/// The data of `refused`: which event was refused, and why.
pub(crate) fn refused(event: &str, refusal: &Refusal) -> Value {
    json!({ "event": event, "code": refusal.code(), "message": refusal.to_string() })
}

/// Socket.IO at `path`. `admit` looks at a connection's `auth` before it is answered and may refuse
/// it; it must not wait, because a browser that vanishes meanwhile would be admitted all the same.
pub(crate) fn serve<A: Clone + Send + Sync + 'static>(
    path: &str,
    inbox: mpsc::UnboundedSender<FromClient<A>>,
    admit: impl Fn(&Value) -> Result<A, Refusal> + Clone + Send + Sync + 'static,
) -> SocketIoLayer {
    let (layer, io) = SocketIo::builder()
        .req_path(path.to_owned())
        .transports([socketioxide::TransportType::Websocket])
        .max_payload(MAX_MESSAGE as u64)
        .ws_max_message_size(MAX_MESSAGE)
        .ws_max_frame_size(MAX_MESSAGE)
        .max_buffer_size(MAX_UNSENT)
        .ping_interval(PING_INTERVAL)
        .ping_timeout(PING_TIMEOUT)
        .connect_timeout(CONNECT_TIMEOUT)
        .build_layer();

    // Handlers are put in place here, before the connection is answered: put in place afterwards,
    // they would miss what a quick client sends at once.
    let prepare = async move |socket: SocketRef, TryData(auth): TryData<Value>| {
        let admitted =
            admit(&auth.unwrap_or_default()).map_err(|refusal| refusal.code().to_owned())?;
        // None of these closures may hold the socket, which holds them.
        let line = Line::new(inbox.clone());
        let (on_event, on_gone) = (line.clone(), line.clone());
        socket.on_fallback(move |socket: SocketRef, event: RawEvent, ack: AckSender| {
            on_event.says(socket, event, ack);
            std::future::ready(())
        });
        socket.on_disconnect(move |reason: DisconnectReason| {
            let asked = reason == DisconnectReason::ClientNSDisconnect;
            on_gone.push(FromClient::Gone { conn: on_gone.id, asked });
            std::future::ready(())
        });
        socket.extensions.insert(OnConnect(Arc::new(move |socket| {
            line.open(FromClient::Come(Conn { id: line.id, socket }, admitted.clone()));
        })));
        Ok::<(), String>(())
    };
    let connected = async |socket: SocketRef| {
        if let Some(OnConnect(open)) = socket.extensions.remove::<OnConnect>() {
            open(socket);
        }
    };
    io.ns("/", connected.with(prepare));
    layer
}

/// Called when the browser has been told that it is connected.
#[derive(Clone)]
struct OnConnect(Arc<dyn Fn(SocketRef) + Send + Sync>);

/// The reading side of a connection, which sees to it that `Come` is the first thing the loop gets.
struct Line<A> {
    id: ConnId,
    inbox: mpsc::UnboundedSender<FromClient<A>>,
    /// What came before `Come`; `None` once that is through.
    early: Mutex<Option<Vec<FromClient<A>>>>,
    waiting: Arc<Semaphore>,
}

impl<A> Line<A> {
    fn new(inbox: mpsc::UnboundedSender<FromClient<A>>) -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Arc::new(Line {
            id: NEXT.fetch_add(1, Relaxed),
            inbox,
            early: Mutex::new(Some(Vec::new())),
            waiting: Arc::new(Semaphore::new(MAX_WAITING)),
        })
    }

    fn open(&self, come: FromClient<A>) {
        let mut early = self.early.lock().expect("nobody panics while holding this");
        for item in std::iter::once(come).chain(early.take().into_iter().flatten()) {
            let _ = self.inbox.send(item);
        }
    }

    fn push(&self, item: FromClient<A>) {
        let mut early = self.early.lock().expect("nobody panics while holding this");
        match early.as_mut() {
            Some(early) => early.push(item),
            // A loop that has ended takes nothing more; the process is about to end.
            None => drop(self.inbox.send(item)),
        }
    }

    fn says(&self, socket: SocketRef, event: RawEvent, ack: AckSender) {
        let conn = Conn { id: self.id, socket };
        let ack = event.wants_ack.then_some(ack);
        let waiting = self.waiting.clone().try_acquire_owned().ok();
        let too_fast = waiting.is_none();
        let (name, to) = (event.name.clone(), conn.clone());
        let answer = Answerer { event: name, conn: to, ack, _waiting: waiting };
        if too_fast {
            answer.send(Err(Refusal::TooFast));
            conn.hang_up();
        } else {
            self.push(FromClient::Says(self.id, Message { event, answer }));
        }
    }
}

/// Bytes that Socket.IO sends beside the event's text.
struct Attached<'a>(&'a [u8]);

impl Serialize for Attached<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(self.0)
    }
}

/// An event as it came: its name and its first argument, both as text.
#[derive(Debug)]
pub(crate) struct RawEvent {
    pub name: String,
    /// `Err`: not JSON.
    pub data: Result<Option<Box<RawValue>>, Refusal>,
    /// What came beside the text, if it was the event for it.
    pub binary: Option<Bytes>,
    wants_ack: bool,
}

impl FromMessageParts<LocalAdapter> for RawEvent {
    type Error = Infallible;

    fn from_message_parts(
        _: &Arc<Socket<LocalAdapter>>,
        packet: &mut socketioxide_core::Value,
        ack: &Option<i64>,
    ) -> Result<Self, Infallible> {
        let (text, attached) = match packet {
            socketioxide_core::Value::Str(text, attached) => (text.as_str(), attached.take()),
            socketioxide_core::Value::Bytes(_) => ("", None),
        };
        let first = attached.and_then(|mut attached| attached.pop_front());
        Ok(RawEvent::parse(text, first, ack.is_some()))
    }
}

impl RawEvent {
    /// A packet is `["name", data, …]`; Socket.IO has read its name already.
    pub fn parse(text: &str, attached: Option<Bytes>, wants_ack: bool) -> RawEvent {
        match serde_json::from_str::<Vec<Box<RawValue>>>(text) {
            Ok(parts) => {
                let mut parts = parts.into_iter();
                let name = parts.next().and_then(|name| serde_json::from_str(name.get()).ok());
                let name: String = name.unwrap_or_default();
                let binary = attached.filter(|_| name == BINARY);
                RawEvent { name, data: Ok(parts.next()), binary, wants_ack }
            }
            Err(error) => RawEvent {
                name: String::new(),
                data: Err(Refusal::BadMessage(error.to_string())),
                binary: None,
                wants_ack,
            },
        }
    }
}
