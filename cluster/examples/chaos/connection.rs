//! Connections with the timeouts of the page.

use std::time::Duration;

use cluster::testing::{Connection, Packet};
use serde_json::Value;
use tokio::time::timeout;

/// How long the page waits for a connection.
const CONNECTING: Duration = Duration::from_secs(3);
/// How long a server may take to answer CONNECT.
const GREETING: Duration = Duration::from_secs(10);

/// Connects and waits to be accepted. `Err`: why not; the refusal's code, if there is one.
pub async fn connect(url: &str, path: &str, auth: Value) -> Result<Connection, String> {
    let mut connection = open(url, path).await?;
    timeout(GREETING, connection.introduce(&auth)).await.map_err(|_| "no answer")??;
    Ok(connection)
}

/// A websocket before CONNECT.
pub async fn open(url: &str, path: &str) -> Result<Connection, String> {
    timeout(CONNECTING, Connection::open(url, path)).await.map_err(|_| "no connection")?
}

/// The next packet. `Err`: the connection has ended. Cancel-safe.
pub async fn hear(connection: &mut Connection) -> Result<Packet, String> {
    match connection.next().await? {
        Packet::Disconnected => Err("the server has hung up".to_owned()),
        packet => Ok(packet),
    }
}

/// Disconnects gracefully, as a page does that is closed.
pub async fn leave(mut connection: Connection) {
    let goodbye = async {
        connection.hang_up().await;
        while connection.next().await.is_ok() {}
    };
    let _ = timeout(CONNECTING, goodbye).await;
}
