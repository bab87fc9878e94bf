//! Health, and what `--admin` offers.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use cluster::testing::LobbyProcess;

mod health;
mod metrics;
mod page;

/// The address of `--admin`.
pub async fn admin(cluster: &LobbyProcess) -> String {
    cluster.logged("admin ready").await["address"].as_str().expect("an address").to_owned()
}

/// Sends a request with these further headers. Returns the status and the body.
pub fn ask(address: &str, method: &str, path: &str, headers: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("it listens");
    let head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    stream.write_all(format!("{head}{headers}\r\n").as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.expect("a status"), body.to_owned())
}
