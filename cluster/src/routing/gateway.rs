//! The one public port. A connection that begins with a request for a room is handed to the room's
//! process, the socket itself, before a byte of it is read: the lobby is out of the way. All others are
//! served here; `relay.rs` is for those of them that turn to a room later.

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

/// What the request for a room begins with. Websockets begin with GET.
const REQUEST: &[u8] = b"GET /rooms/";
/// The digits of the highest room there can be.
const MAX_DIGITS: usize = 20;
/// Enough of a request to see whose it is: the above, and what ends the room's number.
const GLANCE: usize = REQUEST.len() + MAX_DIGITS + 1;

/// The rooms that can be reached now, and what was brought to them.
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

/// Where connections to the public port come in.
#[derive(Clone)]
pub(crate) struct Gateway {
    pub server: Server,
    pub routes: GatewayRoutes,
    /// Off: everything is served here, and relayed.
    pub hand_off: bool,
}

impl Gateway {
    pub async fn receive(self, stream: TcpStream, place: ConnectionPermit) {
        // Looked at here, and not while accepting: nobody waits for a client that says nothing.
        let room = async { if self.hand_off { room_of(&stream).await } else { None } };
        let Ok(room) = timeout(self.server.header_timeout, room).await else {
            return;
        };
        let door = room.and_then(|room| Some((self.routes.find(&room)?, room)));
        let Some((door, room)) = door else {
            return self.server.serve_tcp(stream, place).await;
        };
        match door.send_socket(&stream).await {
            Ok(()) => {
                self.routes.0.handed_off.fetch_add(1, Relaxed);
                let peer = stream.peer_addr().ok().map(tracing::field::display);
                debug!(%room, peer, "handed off");
            }
            Err(error) => {
                debug!(%room, error = format!("{error:#}"), "not handed off");
                let app = one_request(Router::new().fallback(StatusCode::SERVICE_UNAVAILABLE));
                self.server.with(app).serve_tcp(stream, place).await;
            }
        }
    }
}

/// The room that the first request is for, without taking a byte of it. `None` for any other, and for
/// a client that has hung up: whatever it is then, the server has an answer to it.
async fn room_of(stream: &TcpStream) -> Option<RoomId> {
    loop {
        let ready = stream.ready(Interest::READABLE).await.ok()?;
        let looked = stream.try_io(Interest::READABLE, || {
            let mut bytes = [0; GLANCE];
            let (count, _) = recv(stream, &mut bytes[..], RecvFlags::PEEK)?;
            match glance(&bytes[..count]) {
                // Woken again by the next byte, and not before.
                Peeked::TooShort if count > 0 => Err(io::ErrorKind::WouldBlock.into()),
                Peeked::Room(room) => Ok(Some(room)),
                Peeked::TooShort | Peeked::Other => Ok(None),
            }
        });
        match looked {
            // A closed end stays ready to be read for ever.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && !ready.is_read_closed() => {}
            looked => return looked.ok().flatten(),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Peeked {
    /// May still become anything.
    TooShort,
    Room(RoomId),
    Other,
}

/// Looks at how a request begins.
pub(crate) fn glance(bytes: &[u8]) -> Peeked {
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
    fn a_glance_knows_a_room_as_soon_as_its_number_has_ended() {
        let request = b"GET /rooms/42/socket.io/?EIO=4 HTTP/1.1\r\n";
        let end = b"GET /rooms/42/".len();
        for count in 0..end {
            assert_eq!(glance(&request[..count]), Peeked::TooShort, "{count}");
        }
        for count in end..request.len() {
            assert_eq!(glance(&request[..count]), Peeked::Room(RoomId("42".into())), "{count}");
        }
    }

    #[test]
    fn whatever_is_no_room_is_not_waited_for() {
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
            assert_eq!(glance(other), Peeked::Other, "{}", other.escape_ascii());
        }
    }

    #[test]
    fn a_glance_is_long_enough() {
        let longest = [REQUEST, &[b'9'; MAX_DIGITS], b"/"].concat();
        assert!(matches!(glance(&longest), Peeked::Room(_)));
        assert_eq!(longest.len(), GLANCE);
    }
}
