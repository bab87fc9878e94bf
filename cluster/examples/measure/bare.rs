//! The server that rooms are compared with: socketioxide alone, without lobby, tickets and limits,
//! in a process of its own.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio, exit};
use std::{env, io, thread};

use cluster::testing::Pid;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::json;
use socketioxide::SocketIo;
use socketioxide::extract::{AckSender, SocketRef};
use tokio::net::TcpListener;

/// The argument that makes this program that server.
pub const ARGUMENT: &str = "bare-server";

/// The server's process.
pub struct Bare {
    process: Child,
    pub url: String,
}

impl Bare {
    pub fn start() -> anyhow::Result<Bare> {
        let mut process = Command::new(env::current_exe()?)
            .arg(ARGUMENT)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut url = String::new();
        BufReader::new(process.stdout.take().expect("piped")).read_line(&mut url)?;
        Ok(Bare { process, url: url.trim_end().to_owned() })
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.process)
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        // The server exits when its standard input ends.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// Prints its URL and serves until standard input ends. Answers the request `logged` as the game's
/// rooms do.
pub async fn serve() -> anyhow::Result<()> {
    thread::spawn(|| {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        exit(0);
    });
    let (service, io) = SocketIo::new_svc();
    io.ns("/", async |socket: SocketRef| {
        socket.on("logged", async |ack: AckSender| {
            let _ = ack.send(&json!({ "ok": [] }));
        });
        let _ = socket.emit("joined", &json!({}));
    });
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("http://{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let connection =
            http1::Builder::new().serve_connection(TokioIo::new(stream), service.clone());
        tokio::spawn(connection.with_upgrades());
    }
}
