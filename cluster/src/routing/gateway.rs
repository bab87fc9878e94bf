//! The public port. The lobby peeks at the first bytes of each connection. If they begin a request
//! for a room, it hands the socket itself to the room's process (`SCM_RIGHTS`), which reads the
//! request from its first byte. From then on the lobby carries none of the traffic: to proxy it
//! would cost the lobby two copies and two wake-ups for each message.
//!
//! The lobby serves all other connections. If one of them asks for a room later, bytes of it have
//! been read here, and it is relayed (`relay.rs`).

use std::collections::HashMap;
use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, RwLock};
use std::task::Poll;
use std::time::Duration;

use rustix::net::{RecvFlags, recv};
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use tracing::{debug, warn};

use crate::config::{MAX_PATH, Settings};
use crate::http::{ConnectionLimiter, ConnectionPermit, STOP_GRACE, Server};
use crate::process::Sender;
use crate::runtime::timeout;
use crate::types::RoomId;

/// The pause after accepting fails, as it does without free file descriptors.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);
/// The longest id of a room: a host's name, a hyphen and the largest number.
const MAX_ROOM_ID: usize = 32 + 1 + 20;
/// How many bytes show which room a request is for: the longest prefix, the id, and the byte
/// after it.
const PEEK_SIZE: usize = "GET /rooms/".len() + MAX_PATH + MAX_ROOM_ID + 1;

/// The rooms that can be reached now, and how many connections went to rooms.
#[derive(Default)]
pub(crate) struct GatewayRoutes {
    rooms: RwLock<HashMap<RoomId, Sender>>,
    pub handed_off: AtomicU64,
    pub relayed: AtomicU64,
}

impl GatewayRoutes {
    pub fn open(&self, room: RoomId, sender: Sender) {
        self.rooms.write().expect("nobody panics while holding this").insert(room, sender);
    }

    pub fn close(&self, room: &RoomId) {
        self.rooms.write().expect("nobody panics while holding this").remove(room);
    }

    pub fn find(&self, room: &RoomId) -> Option<Sender> {
        self.rooms.read().expect("nobody panics while holding this").get(room).cloned()
    }
}

/// Decides where each new connection goes.
#[derive(Clone)]
pub(crate) struct Gateway {
    pub server: Server,
    pub routes: Arc<GatewayRoutes>,
    /// How a request begins whose connection is handed off to a room: `GET /rooms/`, with the
    /// lobby's path before it. `None`: the lobby serves all, and relays those that are for rooms.
    pub hand_off: Option<Arc<str>>,
}

impl Gateway {
    /// Connections for rooms below this path are handed off, where that is possible.
    pub fn new(
        server: Server,
        routes: &Arc<GatewayRoutes>,
        settings: &Settings,
        path: &str,
    ) -> Gateway {
        let hand_off = cfg!(target_os = "linux") && !settings.no_handoff;
        let hand_off = hand_off.then(|| format!("GET {path}/rooms/").into());
        Gateway { server, routes: routes.clone(), hand_off }
    }

    /// Accepts connections until the server stops. When the process has as many as are allowed, the
    /// next one waits, and the others stay in the backlog.
    pub async fn run(self, listener: Arc<TcpListener>, limiter: Arc<ConnectionLimiter>) {
        let mut stopping = self.server.stopping.subscribe();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = stopping.changed() => return,
            };
            match accepted {
                Ok((stream, peer)) => match limiter.admit(peer.ip()).await {
                    Some(permit) => drop(tokio::spawn(self.clone().receive(stream, permit))),
                    None => drop(tokio::spawn(limiter.clone().reject(stream))),
                },
                Err(error) => {
                    warn!(%error, "cannot accept a connection; trying again");
                    sleep(ACCEPT_BACKOFF).await;
                }
            }
        }
    }

    /// Hands a connection off or serves it. Peeking is done here and not in the accept loop, where
    /// one silent client would block all others.
    fn receive(self, stream: TcpStream, permit: ConnectionPermit) -> impl Future<Output = ()> {
        // Not in the task: it may begin only when the server has stopped.
        let mut stopping = self.server.stopping.subscribe();
        async move {
            let room = async { peek_room(&stream, self.hand_off.as_ref()?).await };
            let stopped = async {
                let _ = stopping.changed().await;
                sleep(STOP_GRACE).await;
            };
            let room = tokio::select! {
                room = timeout(self.server.header_timeout, room) => room,
                () = stopped => return,
            };
            let Ok(room) = room else { return };
            if let Some(room) = room
                && let Some(sender) = self.routes.find(&room)
            {
                match sender.send_socket(&stream).await {
                    Ok(()) => {
                        self.routes.handed_off.fetch_add(1, Relaxed);
                        let peer = stream.peer_addr().ok().map(tracing::field::display);
                        return debug!(%room, peer, "handed off");
                    }
                    // The relay tries once more, and answers if it fails.
                    Err(error) => debug!(%room, error = format!("{error:#}"), "not handed off"),
                }
            }
            self.server.serve_tcp(stream, permit).await;
        }
    }
}

/// The room that the first request is for, without reading a byte of it. `None` for any other
/// request, and for a client that has hung up: the HTTP server handles both.
async fn peek_room(stream: &TcpStream, prefix: &str) -> Option<RoomId> {
    loop {
        let ready = stream.ready(Interest::READABLE).await.ok()?;
        let peeked = stream.try_io(Interest::READABLE, || {
            let mut bytes = [0; PEEK_SIZE];
            let (count, _) = recv(stream, &mut bytes[..], RecvFlags::PEEK)?;
            match peek(prefix.as_bytes(), &bytes[..count]) {
                // Clears the readiness, so that the next byte wakes this task, and nothing before.
                Poll::Pending if count > 0 => Err(io::ErrorKind::WouldBlock.into()),
                Poll::Pending => Ok(None),
                Poll::Ready(room) => Ok(room),
            }
        });
        match peeked {
            // A stream that was closed stays readable: waiting for more would spin.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && !ready.is_read_closed() => {}
            peeked => return peeked.ok().flatten(),
        }
    }
}

/// The room that these first bytes of a connection are for, if any. Pending if they are too few to
/// tell.
pub(crate) fn peek(prefix: &[u8], bytes: &[u8]) -> Poll<Option<RoomId>> {
    let Some(rest) = bytes.strip_prefix(prefix) else {
        return if prefix.starts_with(bytes) { Poll::Pending } else { Poll::Ready(None) };
    };
    let length = rest.iter().take_while(|byte| is_of_id(**byte)).count();
    match (length, rest.get(length)) {
        (0..=MAX_ROOM_ID, None) => Poll::Pending,
        (1..=MAX_ROOM_ID, Some(b'/')) => {
            Poll::Ready(Some(RoomId(String::from_utf8_lossy(&rest[..length]).into_owned())))
        }
        _ => Poll::Ready(None),
    }
}

/// Whether the id of a room may have this byte.
fn is_of_id(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_known_as_soon_as_its_id_has_ended() {
        for (path, id) in [("", "42"), ("/game", "rooms-0-42"), ("/games/chess", "h1-7")] {
            let prefix = format!("GET {path}/rooms/");
            let request = format!("{prefix}{id}/socket.io/?EIO=4");
            let peek = |count| peek(prefix.as_bytes(), &request.as_bytes()[..count]);
            let end = prefix.len() + id.len() + 1;
            for count in 0..end {
                assert_eq!(peek(count), Poll::Pending, "{path} {count}");
            }
            for count in end..request.len() {
                assert_eq!(peek(count), Poll::Ready(Some(RoomId(id.into()))), "{path} {count}");
            }
        }
    }

    #[test]
    fn other_requests_are_known_at_once() {
        for other in [
            &b"G3"[..],
            b"POST /rooms/42/",
            b"get /rooms/42/",
            b"GET /room/42/",
            b"GET /rooms//",
            b"GET /rooms/X",
            b"GET /rooms/42 ",
            b"GET /rooms/42?",
            b"GET /rooms/_1/",
            b"GET /rooms/111111111111111111111111111111111111111111111111111111",
            b"GET http://localhost/rooms/42/",
            b"\r\nGET /rooms/42/",
            b"\x16\x03\x01",
            b"PRI * HTTP/2.0",
            b"GET /game/rooms/42/",
        ] {
            assert_eq!(peek(b"GET /rooms/", other), Poll::Ready(None), "{}", other.escape_ascii());
        }
        for other in [&b"GET /rooms/42/"[..], b"GET /gamer", b"GET /Game/rooms/42/", b"GET /game?"]
        {
            assert_eq!(
                peek(b"GET /game/rooms/", other),
                Poll::Ready(None),
                "{}",
                other.escape_ascii()
            );
        }
    }

    #[test]
    fn the_longest_path_and_the_longest_room_id_fit() {
        let prefix = format!("GET {}/rooms/", "/".repeat(MAX_PATH));
        let longest = [prefix.as_bytes(), &[b'9'; MAX_ROOM_ID], b"/"].concat();
        assert!(matches!(peek(prefix.as_bytes(), &longest), Poll::Ready(Some(_))));
        assert_eq!(longest.len(), PEEK_SIZE);
    }
}
