//! Socket.IO at one path: who may connect, what is read from a connection, and how much of it.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

use serde_json::Value;
use socketioxide::{
    ParserConfig, SocketIo, TransportType,
    extract::{AckSender, SocketRef, TryData},
    handler::ConnectHandler as _,
    layer::SocketIoLayer,
    socket::DisconnectReason,
};
use tokio::{
    sync::{Semaphore, mpsc},
    time::Instant,
};

use crate::{
    config::limits::Limits,
    http::connection_limits::ConnectionLimiter,
    socketio::{
        connection::{Conn, FromClient, Message, Responder, address_of},
        event_limits::{EventLimiter, LimitKey},
        packet::{ConnId, RawEvent},
    },
    types::{PlayerId, Refusal},
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
/// Socket.IO at `path`. `admit` looks at a connection's `auth` before it is answered and may refuse
/// it, and on_event which player it is, if it is known; it must not wait, because a browser that vanishes
/// meanwhile would be admitted all the same.
pub(crate) fn serve<A: Clone + Send + Sync + 'static>(
    path: &str,
    limits: &Limits,
    limiter: &ConnectionLimiter,
    event_limiter: EventLimiter,
    inbox: mpsc::UnboundedSender<FromClient<A>>,
    admit: impl Fn(&Value) -> Result<(A, Option<PlayerId>), Refusal> + Clone + Send + Sync + 'static,
) -> SocketIoLayer {
    let (layer, io) = build(path, limits);
    let (limits, limiter) = (Arc::new(limits.clone()), limiter.clone());

    // Handlers are put in place here, before the connection is answered: put in place afterwards,
    // they would miss what a quick client sends at once.
    let prepare = async move |socket: SocketRef, TryData(auth): TryData<Value>| {
        if !limiter.may_connect(address_of(&socket)) {
            return Err(Refusal::TOO_FAST.code().to_owned());
        }
        let (admitted, player) =
            admit(&auth.unwrap_or_default()).map_err(|refusal| refusal.code().to_owned())?;
        // None of these closures may hold the socket, which holds them.
        let line =
            ConnectionState::new(inbox.clone(), player, limits.clone(), event_limiter.clone());
        let (on_event, on_gone) = (line.clone(), line.clone());
        socket.on_fallback(move |socket: SocketRef, event: RawEvent, ack: AckSender| {
            on_event.on_event(socket, event, ack);
            std::future::ready(())
        });
        socket.on_disconnect(move |reason: DisconnectReason| {
            let asked = reason == DisconnectReason::ClientNSDisconnect;
            on_gone.push(FromClient::Disconnected { conn: on_gone.id, asked });
            std::future::ready(())
        });
        socket.extensions.insert(OnConnect(Arc::new(move |socket| {
            let conn = Conn { id: line.id, socket, cut: line.cut.clone() };
            line.open(FromClient::Connected(conn, admitted.clone()));
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

fn build(path: &str, limits: &Limits) -> (SocketIoLayer, SocketIo) {
    let most = limits.max_message.bytes().saturating_mul(MAX_EXCESS);
    let parser = ParserConfig::common()
        .max_incoming_binary_buf_size(most)
        .max_incoming_binaries(MAX_ATTACHMENTS);
    SocketIo::builder()
        .with_parser(parser)
        .req_path(path.to_owned())
        .transports([TransportType::Websocket])
        .max_payload(limits.max_message.0)
        .ws_max_message_size(most)
        .ws_max_frame_size(most)
        .ws_read_buffer_size(READ_AT_ONCE)
        .max_buffer_size(limits.max_outbound_packets.get() as usize)
        .ping_interval(limits.ping_interval)
        .ping_timeout(limits.ping_timeout)
        .connect_timeout(limits.connect_timeout)
        .build_layer()
}

/// Called when the browser has been told that it is connected.
#[derive(Clone)]
struct OnConnect(Arc<dyn Fn(SocketRef) + Send + Sync>);

/// The reading side of a connection, which sees to it that `Connected` is the first thing the loop gets.
struct ConnectionState<A> {
    id: ConnId,
    inbox: mpsc::UnboundedSender<FromClient<A>>,
    /// What came before `Connected`; `None` once that is through.
    early: Mutex<Option<Vec<FromClient<A>>>>,
    waiting: Arc<Semaphore>,
    limits: Arc<Limits>,
    who: LimitKey,
    event_limiter: EventLimiter,
    cut: Arc<AtomicBool>,
}

impl<A> ConnectionState<A> {
    fn new(
        inbox: mpsc::UnboundedSender<FromClient<A>>,
        player: Option<PlayerId>,
        limits: Arc<Limits>,
        event_limiter: EventLimiter,
    ) -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = NEXT.fetch_add(1, Relaxed);
        Arc::new(ConnectionState {
            id,
            inbox,
            early: Mutex::new(Some(Vec::new())),
            waiting: Arc::new(Semaphore::new(limits.max_queued_events.get() as usize)),
            limits,
            who: player.map_or(LimitKey::Visitor(id), LimitKey::Player),
            event_limiter,
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

    fn on_event(&self, socket: SocketRef, event: RawEvent, ack: AckSender) {
        if self.cut.load(Relaxed) {
            return;
        }
        let conn = Conn { id: self.id, socket, cut: self.cut.clone() };
        let ack = event.wants_ack.then_some(ack);
        let places = (1 + event.bytes / PLACE).min(self.limits.max_queued_events.get() as usize);
        let waiting = self.waiting.clone().try_acquire_many_owned(places as u32).ok();
        let full = waiting.is_none();
        let (name, to) = (event.name.clone(), conn.clone());
        let answer = Responder { event: name, conn: to, ack, _waiting: waiting };
        if full {
            answer.send(Err(Refusal::TOO_FAST));
            conn.hang_up();
        } else if !self.event_limiter.allow(&self.who, conn.address(), Instant::now()) {
            answer.send(Err(Refusal::TOO_FAST));
        } else if event.bytes > self.limits.max_message.bytes() {
            answer.send(Err(Refusal::too_large(self.limits.max_message.0)));
        } else {
            self.push(FromClient::Message(self.id, Message { event, answer }));
        }
    }
}
