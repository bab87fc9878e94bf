//! The one public port. The lobby peeks at the first bytes of a connection, without taking them. If
//! they begin a request for a room, it hands the socket itself to the room's process
//! (`SCM_RIGHTS`), which reads the request from its first byte; the lobby carries none of the
//! traffic. Proxying every message would cost the lobby two copies and two wakeups each. The lobby
//! serves all other connections; if one of them asks for a room later, it is relayed (`relay.rs`),
//! because bytes of it have been read here.

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc, RwLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use axum::{Router, http::StatusCode};
use rustix::net::{RecvFlags, recv};
use tokio::{io::Interest, net::TcpStream};
use tracing::debug;

use crate::{
    http::{
        connection_limits::ConnectionPermit,
        server::{Server, one_request},
    },
    process::channel::Sender,
    runtime::clock::timeout,
    types::RoomId,
};

/// How a request for a room begins. Websockets begin with GET.
const REQUEST: &[u8] = b"GET /rooms/";
/// Digits of the highest room number.
const MAX_DIGITS: usize = 20;
/// The bytes to peek at: up to the slash after the room's number.
const PEEK_LEN: usize = REQUEST.len() + MAX_DIGITS + 1;

/// The rooms that take connections, and how many they got.
#[derive(Clone, Default)]
pub(crate) struct GatewayRoutes(Arc<Inner>);

#[derive(Default)]
struct Inner {
    rooms: RwLock<HashMap<RoomId, Sender>>,
    handed_off: AtomicU64,
    relayed: AtomicU64,
}

impl GatewayRoutes {
    pub fn open(&self, room: RoomId, sender: Sender) {
        self.0.rooms.write().expect("nobody panics while holding this").insert(room, sender);
    }

    pub fn close(&self, room: &RoomId) {
        self.0.rooms.write().expect("nobody panics while holding this").remove(room);
    }

    pub fn find(&self, room: &RoomId) -> Option<Sender> {
        self.0.rooms.read().expect("nobody panics while holding this").get(room).cloned()
    }

    pub fn count_relayed(&self) {
        self.0.relayed.fetch_add(1, Relaxed);
    }

    /// How many connections were handed off, and how many relayed.
    pub fn counts(&self) -> (u64, u64) {
        (self.0.handed_off.load(Relaxed), self.0.relayed.load(Relaxed))
    }
}

/// Receives the connections of the public port.
#[derive(Clone)]
pub(crate) struct Gateway {
    pub server: Server,
    pub routes: GatewayRoutes,
    /// Off: connections to rooms are relayed.
    pub hand_off: bool,
}

impl Gateway {
    pub async fn receive(self, stream: TcpStream, permit: ConnectionPermit) {
        // In the connection's own task: a silent client holds up nobody else.
        let room = async { if self.hand_off { room_of(&stream).await } else { None } };
        let Ok(room) = timeout(self.server.header_timeout, room).await else {
            return;
        };
        let route = room.and_then(|room| Some((self.routes.find(&room)?, room)));
        let Some((sender, room)) = route else {
            return self.server.serve_tcp(stream, permit).await;
        };
        match sender.send_socket(&stream).await {
            Ok(()) => {
                self.routes.0.handed_off.fetch_add(1, Relaxed);
                let peer = stream.peer_addr().ok().map(tracing::field::display);
                debug!(%room, peer, "handed off");
            }
            Err(error) => {
                debug!(%room, error = format!("{error:#}"), "not handed off");
                let app = one_request(Router::new().fallback(StatusCode::SERVICE_UNAVAILABLE));
                self.server.with(app).serve_tcp(stream, permit).await;
            }
        }
    }
}

/// The room that the first request is for, without taking a byte. `None` for any other request and
/// for a client that has disconnected: the HTTP server handles those.
async fn room_of(stream: &TcpStream) -> Option<RoomId> {
    loop {
        let ready = stream.ready(Interest::READABLE).await.ok()?;
        let peeked = stream.try_io(Interest::READABLE, || {
            let mut bytes = [0; PEEK_LEN];
            let (count, _) = recv(stream, &mut bytes[..], RecvFlags::PEEK)?;
            match peek(&bytes[..count]) {
                // The next byte wakes this task, and nothing before it.
                Peeked::TooShort if count > 0 => Err(io::ErrorKind::WouldBlock.into()),
                Peeked::Room(room) => Ok(Some(room)),
                Peeked::TooShort | Peeked::Other => Ok(None),
            }
        });
        match peeked {
            // A closed connection stays readable for ever.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && !ready.is_read_closed() => {}
            peeked => return peeked.ok().flatten(),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Peeked {
    /// More bytes are needed.
    TooShort,
    Room(RoomId),
    Other,
}

/// Parses how a request begins.
pub(crate) fn peek(bytes: &[u8]) -> Peeked {
    let known = bytes.len().min(REQUEST.len());
    if bytes[..known] != REQUEST[..known] {
        return Peeked::Other;
    }
    let rest = &bytes[known..];
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    match (digits, rest.get(digits)) {
        (0..=MAX_DIGITS, None) => Peeked::TooShort,
        (1..=MAX_DIGITS, Some(b'/')) => {
            Peeked::Room(RoomId(String::from_utf8_lossy(&rest[..digits]).into_owned()))
        }
        _ => Peeked::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_known_as_soon_as_its_number_has_ended() {
        let request = b"GET /rooms/42/socket.io/?EIO=4 HTTP/1.1\r\n";
        let end = b"GET /rooms/42/".len();
        for count in 0..end {
            assert_eq!(peek(&request[..count]), Peeked::TooShort, "{count}");
        }
        for count in end..request.len() {
            assert_eq!(peek(&request[..count]), Peeked::Room(RoomId("42".into())), "{count}");
        }
    }

    #[test]
    fn other_requests_are_recognised_at_once() {
        for other in [
            &b"G3"[..],
            b"POST /rooms/42/",
            b"get /rooms/42/",
            b"GET /room/42/",
            b"GET /rooms//",
            b"GET /rooms/x",
            b"GET /rooms/42 ",
            b"GET /rooms/42?",
            b"GET /rooms/-1/",
            b"GET /rooms/111111111111111111111",
            b"GET http://localhost/rooms/42/",
            b"\r\nGET /rooms/42/",
            b"\x16\x03\x01",
            b"PRI * HTTP/2.0",
        ] {
            assert_eq!(peek(other), Peeked::Other, "{}", other.escape_ascii());
        }
    }

    #[test]
    fn the_longest_room_number_fits() {
        let longest = [REQUEST, &[b'9'; MAX_DIGITS], b"/"].concat();
        assert!(matches!(peek(&longest), Peeked::Room(_)));
        assert_eq!(longest.len(), PEEK_LEN);
    }
}
