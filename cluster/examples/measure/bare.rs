//! A bare Socket.IO server: what a room costs is compared with this. No lobby, no tickets, no
//! limits.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use anyhow::Context as _;
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use serde_json::json;
use socketioxide::{
    SocketIo,
    extract::{AckSender, SocketRef},
};
use tokio::net::TcpListener;

pub const PATH: &str = "/socket.io";

/// Serves until the process is killed. Prints its address.
pub async fn serve() -> anyhow::Result<()> {
    let (layer, io) = SocketIo::new_layer();
    io.ns("/", async |socket: SocketRef| {
        socket.on("logged", async |ack: AckSender| {
            let _ = ack.send(&json!({ "ok": [] }));
        });
        let _ = socket.emit("joined", &json!({}));
    });
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    let service = TowerToHyperService::new(Router::new().layer(layer));
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let connection =
            http1::Builder::new().serve_connection(TokioIo::new(stream), service.clone());
        tokio::spawn(connection.with_upgrades());
    }
}

/// Ends when it is dropped.
pub struct Bare {
    pub url: String,
    child: Child,
}

impl Bare {
    /// Starts this program again, as the server.
    pub fn start() -> anyhow::Result<Bare> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut child = command.arg("--bare").stdout(Stdio::piped()).spawn()?;
        let stdout = child.stdout.take().context("no stdout")?;
        let mut bare = Bare { url: "http://".to_owned(), child };
        BufReader::new(stdout).read_line(&mut bare.url)?;
        bare.url.truncate(bare.url.trim_end().len());
        Ok(bare)
    }

    pub fn pid(&self) -> u64 {
        self.child.id().into()
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
