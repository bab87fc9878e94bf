//! One Socket.IO connection, as the loops of the lobby and of a room see it: it has come, it says
//! something, it is gone. In this order, nothing lost, whatever the runtime does.

use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use axum::http::header::HOST;
use serde_json::{Value, json};
use socketioxide::{
    ParserConfig, SendError, SocketError, SocketIo,
    extract::{AckSender, SocketRef, TryData},
    handler::ConnectHandler as _,
    layer::SocketIoLayer,
    socket::DisconnectReason,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::{Instant, sleep},
};

use crate::{
    config::{authority::Authority, limits::Limits, parse::PublicUrl},
    http::{
        connection_limits::{ClientAddress, Guests},
        throttled_stream::Hangup,
    },
    socketio::{
        event_limits::{Paces, Who},
        events::{BINARY, Encoded},
        packet::{Attached, ConnId, RawEvent},
    },
    types::{PlayerId, Refusal, Route, path_of},
};

/// A message so many times as large as allowed is refused; a larger one is not even read, and ends the
/// connection.
pub(crate) const MAX_EXCESS: usize = 4;
/// Attachments of one event; there is no event with more than one, and all of them are kept until the last has
/// come. Together they may be as large as a message that is read at all.
const MAX_ATTACHMENTS: usize = 16;
/// Bytes of an event for which it takes one place among those that wait: memory is what runs out first.
const PLACE: usize = 4 * 1024;
/// Bytes that are read from a connection at once: some thirty small events, before it is the others' turn and before
/// it is known that there are too many.
const READ_AT_ONCE: usize = 1024;
/// How soon to try again to hang up.
const AGAIN: Duration = Duration::from_millis(50);

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
    /// It was hung up, though its end has yet to come: nothing is told or heard any more.
    cut: Arc<AtomicBool>,
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

    /// Sends its page to a room, which is found at the host at which this browser has come here.
    pub fn reroute(&self, to: &Route, public_url: Option<&PublicUrl>) {
        let headers = &self.socket.req_parts().headers;
        let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
        let host_of = |authority| Authority::parse(authority).map_or(String::new(), |at| at.host);
        let url = match (to.port, public_url) {
            (None, _) => String::new(),
            (Some(port), None) => format!("http://{}:{port}", host_of(host)),
            (Some(port), Some(url)) => {
                format!("{}://{}:{port}", url.scheme(), host_of(url.authority()))
            }
        };
        let _ = self.tell("reroute", &reroute(to, &url));
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

impl Answerer {
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
pub(crate) fn reroute(to: &Route, url: &str) -> Value {
    json!({
        "to": "room", "room": to.room, "url": url, "path": path_of(&to.room),
        "ticket": to.ticket,
    })
}

/// The data of `refused`: which event was refused, and why.
pub(crate) fn refused(event: &str, refusal: &Refusal) -> Value {
    json!({ "event": event, "code": refusal.code(), "message": refusal.to_string() })
}

/// Socket.IO at `path`. `admit` looks at a connection's `auth` before it is answered and may refuse
/// it, and says which player it is, if it is known; it must not wait, because a browser that vanishes
/// meanwhile would be admitted all the same.
pub(crate) fn serve<A: Clone + Send + Sync + 'static>(
    path: &str,
    limits: &Limits,
    guests: &Guests,
    paces: Paces,
    inbox: mpsc::UnboundedSender<FromClient<A>>,
    admit: impl Fn(&Value) -> Result<(A, Option<PlayerId>), Refusal> + Clone + Send + Sync + 'static,
) -> SocketIoLayer {
    let most = limits.max_message.bytes().saturating_mul(MAX_EXCESS);
    let parser = ParserConfig::common()
        .max_incoming_binary_buf_size(most)
        .max_incoming_binaries(MAX_ATTACHMENTS);
    let (layer, io) = SocketIo::builder()
        .with_parser(parser)
        .req_path(path.to_owned())
        .transports([socketioxide::TransportType::Websocket])
        .max_payload(limits.max_message.0)
        .ws_max_message_size(most)
        .ws_max_frame_size(most)
        .ws_read_buffer_size(READ_AT_ONCE)
        .max_buffer_size(limits.max_unsent.get() as usize)
        .ping_interval(limits.ping_interval)
        .ping_timeout(limits.ping_timeout)
        .connect_timeout(limits.connect_timeout)
        .build_layer();
    let (limits, guests) = (Arc::new(limits.clone()), guests.clone());

    // Handlers are put in place here, before the connection is answered: put in place afterwards,
    // they would miss what a quick client sends at once.
    let prepare = async move |socket: SocketRef, TryData(auth): TryData<Value>| {
        if !guests.may_connect(address_of(&socket)) {
            return Err(Refusal::TooFast.code().to_owned());
        }
        let (admitted, player) =
            admit(&auth.unwrap_or_default()).map_err(|refusal| refusal.code().to_owned())?;
        // None of these closures may hold the socket, which holds them.
        let line = Line::new(inbox.clone(), player, limits.clone(), paces.clone());
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
            let conn = Conn { id: line.id, socket, cut: line.cut.clone() };
            line.open(FromClient::Come(conn, admitted.clone()));
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

/// Where a connection comes from; `None` for this machine itself.
fn address_of(socket: &SocketRef) -> Option<ClientAddress> {
    socket.req_parts().extensions.get().copied()
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
    limits: Arc<Limits>,
    who: Who,
    paces: Paces,
    cut: Arc<AtomicBool>,
}

impl<A> Line<A> {
    fn new(
        inbox: mpsc::UnboundedSender<FromClient<A>>,
        player: Option<PlayerId>,
        limits: Arc<Limits>,
        paces: Paces,
    ) -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = NEXT.fetch_add(1, Relaxed);
        Arc::new(Line {
            id,
            inbox,
            early: Mutex::new(Some(Vec::new())),
            waiting: Arc::new(Semaphore::new(limits.max_waiting.get() as usize)),
            limits,
            who: player.map_or(Who::Visitor(id), Who::Player),
            paces,
            cut: Arc::default(),
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
        if self.cut.load(Relaxed) {
            return;
        }
        let conn = Conn { id: self.id, socket, cut: self.cut.clone() };
        let ack = event.wants_ack.then_some(ack);
        let places = (1 + event.bytes / PLACE).min(self.limits.max_waiting.get() as usize);
        let waiting = self.waiting.clone().try_acquire_many_owned(places as u32).ok();
        let full = waiting.is_none();
        let (name, to) = (event.name.clone(), conn.clone());
        let answer = Answerer { event: name, conn: to, ack, _waiting: waiting };
        if full {
            answer.send(Err(Refusal::TooFast));
            conn.hang_up();
        } else if !self.paces.allow(&self.who, conn.address(), Instant::now()) {
            answer.send(Err(Refusal::TooFast));
        } else if event.bytes > self.limits.max_message.bytes() {
            answer.send(Err(Refusal::TooLarge(self.limits.max_message.0)));
        } else {
            self.push(FromClient::Says(self.id, Message { event, answer }));
        }
    }
}
