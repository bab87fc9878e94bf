//! The bare servers: socketioxide alone, and websockets alone (the floor), in one process and
//! without lobby, tickets and limits. Their only room echoes, and ticks if it is told to by flags.

use std::io::Read as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{env, io, thread};

use futures_util::{SinkExt as _, StreamExt as _};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use rustix::time::{ClockId, clock_gettime};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use socketioxide::SocketIo;
use socketioxide::extract::{AckSender, Data, SocketRef};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::accept_async_with_config;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

/// `bare socketio|websocket OPTIONS`, with the options of a room as JSON. Serves until standard
/// input ends.
fn main() -> anyhow::Result<()> {
    let options: Value = serde_json::from_str(&env::args().nth(2).unwrap_or_default())?;
    let mut runtime = match options["one_thread"] == true {
        true => Builder::new_current_thread(),
        false => Builder::new_multi_thread(),
    };
    runtime.enable_all().build()?.block_on(serve(options))
}

async fn serve(options: Value) -> anyhow::Result<()> {
    thread::spawn(|| {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let kind = env::args().nth(1).unwrap_or_default();
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.bind(([127, 0, 0, 1], 0).into())?;
    let listener = socket.listen(4096)?;
    let url = format!("http://{}", listener.local_addr()?);
    println!("{}", json!({ "message": "lobby ready", "url": url }));
    match kind.as_str() {
        "socketio" => socketio(listener, options).await,
        _ => websocket(listener, options).await,
    }
}

async fn socketio(listener: TcpListener, options: Value) -> anyhow::Result<()> {
    let (service, io) = SocketIo::new_svc();
    io.ns("/", async |socket: SocketRef| {
        socket.on("echo", async |ack: AckSender, Data(text): Data<Box<RawValue>>| {
            let _ = ack.send(&Echoed { ok: &text });
        });
        let _ = socket.emit("joined", &json!({}));
    });
    let volatile = options["volatile"] == true;
    tokio::spawn(tick(options, move |tick| {
        let io = io.clone();
        async move {
            let _ = match volatile {
                true => io.volatile().emit("tick", &tick).await,
                false => io.emit("tick", &tick).await,
            };
        }
    }));
    loop {
        let stream = accept(&listener).await?;
        let connection =
            http1::Builder::new().serve_connection(TokioIo::new(stream), service.clone());
        tokio::spawn(connection.with_upgrades());
    }
}

#[derive(serde::Serialize)]
struct Echoed<'a> {
    ok: &'a RawValue,
}

async fn websocket(listener: TcpListener, options: Value) -> anyhow::Result<()> {
    let everyone: Arc<Mutex<Vec<UnboundedSender<Utf8Bytes>>>> = Arc::default();
    let (ticks, listeners) = (options["hz"] != 0, everyone.clone());
    tokio::spawn(tick(options, move |tick| {
        let text = Utf8Bytes::from(format!("42{}", json!(["tick", tick])));
        listeners.lock().expect("no panics").retain(|to| to.send(text.clone()).is_ok());
        async {}
    }));
    loop {
        let stream = accept(&listener).await?;
        let everyone = everyone.clone();
        tokio::spawn(async move {
            // As socketioxide has it; the default is 128 KiB.
            let config = WebSocketConfig::default().read_buffer_size(4096);
            let mut socket = accept_async_with_config(stream, Some(config)).await?;
            let (sender, mut texts) = unbounded_channel();
            if ticks {
                everyone.lock().expect("no panics").push(sender.clone());
            }
            loop {
                tokio::select! {
                    text = texts.recv() => match text {
                        Some(text) => socket.send(Message::Text(text)).await?,
                        None => return anyhow::Ok(()),
                    },
                    message = socket.next() => match message {
                        Some(Ok(Message::Text(text))) => socket.send(Message::Text(text)).await?,
                        Some(Ok(_)) => {}
                        _ => return anyhow::Ok(()),
                    },
                }
            }
        });
    }
}

async fn accept(listener: &TcpListener) -> anyhow::Result<TcpStream> {
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Calls `send` with what a tick sends, as often as the options say.
async fn tick<F: Future<Output = ()>>(options: Value, send: impl Fn(Value) -> F) {
    let Some(hz) = options["hz"].as_u64().filter(|hz| *hz > 0) else { return };
    let pad = "x".repeat(options["bytes"].as_u64().unwrap_or_default() as usize);
    let mut due = Instant::now();
    loop {
        due += Duration::from_secs(1) / hz as u32;
        sleep_until(due).await;
        let now = clock_gettime(ClockId::Monotonic);
        let sent = now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1000;
        let due = sent - due.elapsed().as_micros() as u64;
        send(json!({ "due": due, "sent": sent, "pad": pad })).await;
    }
}
