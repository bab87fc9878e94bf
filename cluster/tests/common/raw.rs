//! HTTP at the byte level, for clients that break the protocol.

use std::net::Ipv4Addr;
use std::time::Duration;

use cluster::testing::{soon, tcp};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufStream};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A connection that accepts no data for this long counts as full.
const STUCK: Duration = Duration::from_millis(500);

/// Sends one request with these headers and `Host`. Returns the status, and head and body as text.
pub async fn http(url: &str, method: &str, path: &str, headers: &[(&str, &str)]) -> (u16, String) {
    let mut raw = Raw::connect(url).await;
    let close = [("Connection", "close")];
    raw.send(&request(method, path, &[&close, headers].concat())).await;
    let answer = raw.rest().await;
    (status(&answer), answer)
}

/// A request's head. Its `Host` is 127.0.0.1 unless another is given.
pub fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> String {
    let mut request = format!("{method} {path} HTTP/1.1\r\n");
    if !headers.iter().any(|(name, _)| *name == "Host") {
        request += "Host: 127.0.0.1\r\n";
    }
    headers.iter().for_each(|(name, value)| request += &format!("{name}: {value}\r\n"));
    request + "\r\n"
}

/// A request for a websocket at the path of a Socket.IO server.
pub fn websocket(path: &str, headers: &[(&str, &str)]) -> String {
    let upgrade = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let path = format!("{path}/?EIO=4&transport=websocket");
    request("GET", &path, &[&upgrade, headers].concat())
}

/// The path of a room's Socket.IO server.
pub fn path_of(room: &Value) -> String {
    format!("/rooms/{}/socket.io", room.as_str().expect("an id"))
}

/// The status of a response; 0 if there is none.
pub fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default()
}

/// A raw TCP connection.
pub struct Raw(BufStream<TcpStream>);

impl Raw {
    pub async fn connect(url: &str) -> Raw {
        Self::connect_from(Ipv4Addr::LOCALHOST, url).await
    }

    /// The same from an address of this machine's own network, 127.0.0.0/8.
    pub async fn connect_from(from: Ipv4Addr, url: &str) -> Raw {
        let stream = tcp(from, url.trim_start_matches("http://")).await.expect("it listens");
        Raw(BufStream::new(stream))
    }

    /// Sends a request and returns everything that is received until the end.
    pub async fn ask(url: &str, request: &str) -> String {
        let mut raw = Raw::connect(url).await;
        raw.send(request).await;
        raw.hang_up().await;
        raw.rest().await
    }

    /// A write error shows as the end of the answer.
    pub async fn send(&mut self, text: &str) {
        self.send_bytes(text.as_bytes()).await;
    }

    /// Sends bytes.
    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes).await;
        let _ = self.0.flush().await;
    }

    /// Sends a websocket text frame of at most 64 KiB.
    pub async fn send_frame(&mut self, text: &str) {
        let length = u16::try_from(text.len()).expect("at most 64 KiB");
        // A final text frame, masked with zeros.
        let head = match length {
            0..126 => vec![0x81, 0x80 | length as u8],
            _ => [&[0x81, 0x80 | 126], &length.to_be_bytes()[..]].concat(),
        };
        self.send_bytes(&[&head[..], &[0; 4], text.as_bytes()].concat()).await;
    }

    /// Sends until the connection accepts no more.
    pub async fn send_all_that_is_taken(&mut self) {
        let chunk = [b'x'; 64 * 1024];
        let stream = self.0.get_mut();
        while let Ok(Ok(_)) = timeout(STUCK, stream.write(&chunk)).await {}
    }

    /// Sends `bytes` repeatedly without reading, until the connection is closed or `most` bytes
    /// were sent. Returns how many were sent.
    pub async fn send_for_ever(&mut self, bytes: &[u8], most: usize) -> usize {
        let mut taken = 0;
        let sending = async {
            while taken < most && self.0.get_mut().write_all(bytes).await.is_ok() {
                taken += bytes.len();
            }
        };
        soon("enough", sending).await;
        taken
    }

    /// Shuts down the writing half.
    pub async fn hang_up(&mut self) {
        let _ = self.0.shutdown().await;
    }

    /// Reads the head of a response.
    pub async fn head(&mut self) -> String {
        let mut head = String::new();
        let lines = async {
            while !head.ends_with("\r\n\r\n") && self.0.read_line(&mut head).await? > 0 {}
            std::io::Result::Ok(())
        };
        soon("an answer's head", lines).await.expect("text");
        head
    }

    /// Reads `count` bytes.
    pub async fn body(&mut self, count: usize) -> String {
        let mut bytes = vec![0; count];
        soon("an answer's body", self.0.read_exact(&mut bytes)).await.expect("as many bytes");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Reads until this text arrives.
    pub async fn until(&mut self, text: &str) {
        let mut bytes = Vec::new();
        let reading = async {
            while !bytes.ends_with(text.as_bytes()) {
                bytes.push(self.0.read_u8().await?);
            }
            std::io::Result::Ok(())
        };
        soon(text, reading).await.expect("it comes before the end");
    }

    /// Reads until the connection ends.
    pub async fn rest(&mut self) -> String {
        let mut bytes = Vec::new();
        let _ = soon("the end", self.0.read_to_end(&mut bytes)).await;
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The local port.
    pub fn port(&self) -> u16 {
        self.0.get_ref().local_addr().expect("an address").port()
    }
}
