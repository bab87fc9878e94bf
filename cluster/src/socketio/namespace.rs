//! Socket.IO at one path: admission of connections, and limits on what is read from them.

use std::net::IpAddr;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use socketioxide::extract::{AckSender, SocketRef, TryData};
use socketioxide::handler::ConnectHandler as _;
use socketioxide::layer::SocketIoLayer;
use socketioxide::socket::DisconnectReason;
use socketioxide::{ParserConfig, SocketIo, TransportType};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;

use crate::config::Limits;
use crate::config::limits::BURST_SECONDS;
use crate::http::{ClientAddress, ConnectionLimiter, Hangup};
use crate::runtime::{KeyedRateLimiter, Quota};
use crate::socketio::connection::{
    Ack, Conn, ConnId, FromClient, Message, Peer, RawEvent, Responder,
};
use crate::types::{PlayerId, Refusal};

/// A message above the limit is refused. One that is larger by this factor is not read, and closes
/// the connection.
pub(crate) const HARD_LIMIT_FACTOR: usize = 4;
/// Attachments of one packet, kept until the last has arrived. No event has more than one.
const MAX_ATTACHMENTS: usize = 16;
/// Each 4 KiB of an event takes one more place in the queue, so that the queue's memory is limited.
const BYTES_PER_PLACE: usize = 4 * 1024;
/// Bytes per read, enough for some thirty small events. After each read other connections get a
/// turn, and what a flooding client sends beyond that stays unread.
const READ_BUFFER: usize = 1024;

/// Serves Socket.IO at `path`. `by_address`: events are limited by the client's address, too. For
/// each new connection, `admit` gets its `auth`. It refuses the connection, or returns the value
/// for [`FromClient::Connected`], and the player if known. It must not wait: a client that
/// disconnects meanwhile would be admitted all the same.
pub(crate) fn serve<A: Clone + Send + Sync + 'static>(
    path: &str,
    limiter: &Arc<ConnectionLimiter>,
    limits: &Limits,
    by_address: bool,
    inbox: mpsc::UnboundedSender<FromClient<A>>,
    admit: impl Fn(&Value) -> Result<(A, Option<PlayerId>), Refusal> + Clone + Send + Sync + 'static,
) -> SocketIoLayer {
    let (layer, io) = build(path, limits);
    let (limiter, event_limiter) =
        (limiter.clone(), Arc::new(EventLimiter::new(limits, by_address)));

    // The handlers are registered here, before the connection is accepted. Later would be too late
    // for events that a client sends at once.
    let prepare = async move |socket: SocketRef, TryData(auth): TryData<Value>| {
        let address = socket.req_parts().extensions.get::<ClientAddress>().copied();
        if !limiter.allow_connect(address.unwrap_or_default()) {
            return Err(Refusal::TOO_FAST.code().to_owned());
        }
        let admitted = auth.map_err(Refusal::bad_message).and_then(|auth| admit(&auth));
        let (admitted, player) = admitted.map_err(|refusal| refusal.code().to_owned())?;
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        let id = NEXT_ID.fetch_add(1, Relaxed);
        let state = Arc::new(ConnectionState {
            id,
            inbox: inbox.clone(),
            early: Mutex::new(Some(Vec::new())),
            queue: Arc::new(Semaphore::new(event_limiter.limits.max_queued_events.get() as usize)),
            limit_key: player.map_or(LimitKey::Visitor(id), LimitKey::Player),
            event_limiter: event_limiter.clone(),
        });
        // The socket owns these closures: one that held the socket would leak it.
        let (on_event, on_disconnect) = (state.clone(), state.clone());
        socket.on_fallback(move |socket: SocketRef, event: RawEvent, ack: AckSender| {
            on_event.on_event(socket, event, ack);
            std::future::ready(())
        });
        socket.on_disconnect(move |reason: DisconnectReason| {
            tracing::debug!(conn = id, %reason, "disconnected");
            let asked = reason == DisconnectReason::ClientNSDisconnect;
            on_disconnect.push(FromClient::Disconnected { conn: id, asked });
            std::future::ready(())
        });
        socket.extensions.insert((state, admitted));
        Ok::<(), String>(())
    };
    // Called when the client knows that it is connected.
    let connected = async |socket: SocketRef| {
        if let Some((state, admitted)) = socket.extensions.remove::<(Arc<ConnectionState<A>>, A)>()
        {
            state.open(socket, admitted);
        }
    };
    io.ns("/", connected.with(prepare));
    layer
}

fn build(path: &str, limits: &Limits) -> (SocketIoLayer, SocketIo) {
    let max_size = limits.max_message.bytes().saturating_mul(HARD_LIMIT_FACTOR);
    let parser = ParserConfig::common()
        .max_incoming_binary_buf_size(max_size)
        .max_incoming_binaries(MAX_ATTACHMENTS);
    SocketIo::builder()
        .with_parser(parser)
        .req_path(path.to_owned())
        .transports([TransportType::Websocket])
        .max_payload(limits.max_message.0)
        .ws_max_message_size(max_size)
        .ws_max_frame_size(max_size)
        .ws_read_buffer_size(READ_BUFFER)
        .max_buffer_size(limits.max_outbound_packets.get() as usize)
        .ping_interval(limits.ping_interval)
        .ping_timeout(limits.ping_timeout)
        .connect_timeout(limits.connect_timeout)
        .build_layer()
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum LimitKey {
    Player(PlayerId),
    /// A connection without a token, also after it has registered.
    Visitor(ConnId),
}

/// The rate limiter for the events of all connections. A player's limit holds across reconnects.
/// Events above it are refused; a client that keeps sending is throttled to [`Limits::frames`].
struct EventLimiter {
    limits: Limits,
    clients: KeyedRateLimiter<LimitKey>,
    /// In the lobby only. In a room every player holds a ticket, and many may share one address.
    addresses: Option<KeyedRateLimiter<IpAddr>>,
}

impl EventLimiter {
    fn new(limits: &Limits, by_address: bool) -> Self {
        let rate = Quota::new(limits.events_per_second_per_address.get(), BURST_SECONDS);
        let addresses = by_address.then(|| KeyedRateLimiter::new(rate));
        let clients = KeyedRateLimiter::new(limits.events());
        EventLimiter { limits: limits.clone(), clients, addresses }
    }

    /// Counts one event; `false` if it exceeds a limit.
    fn allow(&self, key: &LimitKey, address: Option<IpAddr>, now: Instant) -> bool {
        let by_address = self.addresses.as_ref().zip(address);
        self.clients.allow(key, now)
            && by_address.is_none_or(|(limiter, address)| limiter.allow(&address, now))
    }
}

/// The reading side of a connection.
struct ConnectionState<A> {
    id: ConnId,
    inbox: mpsc::UnboundedSender<FromClient<A>>,
    /// Holds back what arrives before `Connected`; `None` once the loop has got that.
    early: Mutex<Option<Vec<FromClient<A>>>>,
    /// A permit for each event that waits for its answer.
    queue: Arc<Semaphore>,
    limit_key: LimitKey,
    event_limiter: Arc<EventLimiter>,
}

impl<A> ConnectionState<A> {
    fn conn(&self, socket: SocketRef) -> Conn {
        let hangup = socket.req_parts().extensions.get::<Hangup>().cloned().unwrap_or_default();
        Conn { id: self.id, peer: Peer::Socket(socket), hangup }
    }

    fn open(&self, socket: SocketRef, admitted: A) {
        let conn = self.conn(socket);
        let mut early = self.early.lock().expect("nobody panics while holding this");
        let _ = self.inbox.send(FromClient::Connected(conn, admitted));
        for item in early.take().into_iter().flatten() {
            let _ = self.inbox.send(item);
        }
    }

    fn push(&self, item: FromClient<A>) {
        let mut early = self.early.lock().expect("nobody panics while holding this");
        match early.as_mut() {
            Some(early) => early.push(item),
            // Fails if the loop has ended: then the process is about to end.
            None => drop(self.inbox.send(item)),
        }
    }

    fn on_event(&self, socket: SocketRef, event: RawEvent, ack: AckSender) {
        let conn = self.conn(socket);
        if conn.is_hung_up() {
            return;
        }
        let limits = &self.event_limiter.limits;
        let max_places = limits.max_queued_events.get();
        let places = (1 + event.bytes / BYTES_PER_PLACE).min(max_places as usize) as u32;
        let responder = Responder {
            event: event.name.clone(),
            conn: conn.clone(),
            ack: event.wants_ack.then(|| acknowledge(ack)),
            permit: self.queue.clone().try_acquire_many_owned(places).ok(),
        };
        if responder.permit.is_none() {
            responder.send(Err(Refusal::TOO_FAST));
            conn.hang_up();
        } else if !self.event_limiter.allow(&self.limit_key, conn.address(), Instant::now()) {
            responder.send(Err(Refusal::TOO_FAST));
        } else if event.bytes > limits.max_message.bytes() {
            responder.send(Err(Refusal::too_large(limits.max_message.0)));
        } else {
            self.push(FromClient::Message(self.id, Message { event, responder }));
        }
    }
}

/// Answers with `{ ok }` or `{ error }`.
fn acknowledge(ack: AckSender) -> Ack {
    Box::new(|conn, answer| {
        let answer = answer.map(|value| json!({ "ok": value }));
        if ack.send(&answer.unwrap_or_else(|refusal| json!({ "error": refusal }))).is_err() {
            conn.hang_up();
        }
    })
}
