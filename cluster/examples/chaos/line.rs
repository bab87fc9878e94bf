//! Connections of players and guests: as patient as the page, and no more.

use std::time::Duration;

use cluster::testing::{Connection, Packet};
use serde_json::Value;
use tokio::time::timeout;

/// A connection that takes longer has failed; the page waits as long.
const CONNECTING: Duration = Duration::from_secs(3);
/// A server that says nothing for longer has failed, or the page tries again.
const GREETING: Duration = Duration::from_secs(10);

/// Connects, and waits to be let in. `Err`: why not, where the server has said so its code.
pub async fn connect(url: &str, path: &str, auth: Value) -> Result<Connection, String> {
    let mut line = open(url, path).await?;
    timeout(GREETING, line.introduce(&auth)).await.map_err(|_| "no answer")??;
    Ok(line)
}

/// A websocket that has not said yet who it is.
pub async fn open(url: &str, path: &str) -> Result<Connection, String> {
    timeout(CONNECTING, Connection::open(url, path)).await.map_err(|_| "no connection")?
}

/// The next packet. `Err`: there is none any more. Cancel-safe.
pub async fn hear(line: &mut Connection) -> Result<Packet, String> {
    match line.next().await? {
        Packet::Disconnected => Err("the server has hung up".to_owned()),
        packet => Ok(packet),
    }
}

/// Hangs up in order, as a page does that goes on purpose.
pub async fn leave(mut line: Connection) {
    let goodbye = async {
        line.hang_up().await;
        while line.next().await.is_ok() {}
    };
    let _ = timeout(CONNECTING, goodbye).await;
}
