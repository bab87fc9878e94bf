//! Socket.IO frame by frame, for tests of what is on the wire.

use cluster::testing::{LobbyProcess, TestPlayer, soon};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// A Socket.IO server, and the packet that connects to it.
pub struct Place {
    /// `the lobby` or `a room`.
    pub name: &'static str,
    pub url: String,
    pub path: String,
    pub connect: String,
    /// The event that the server sends first.
    pub first: &'static str,
    /// Whose ticket `connect` has.
    pub player: Option<TestPlayer>,
}

/// The lobby as a stranger reaches it, and a new room with a ticket.
pub async fn places(cluster: &LobbyProcess) -> [Place; 2] {
    let mut ann = cluster.player("Ann").await;
    let room = ann.seat("create", json!({})).await;
    let ticket = json!({ "ticket": room["ticket"] });
    let lobby = Place {
        name: "the lobby",
        url: cluster.url.clone(),
        path: "/socket.io".to_owned(),
        connect: "40".to_owned(),
        first: "welcome",
        player: None,
    };
    let room = Place {
        name: "a room",
        url: cluster.url.clone(),
        path: room["path"].as_str().expect("a path").to_owned(),
        connect: format!("40{ticket}"),
        first: "joined",
        player: Some(ann),
    };
    [lobby, room]
}

impl Place {
    /// Opens a websocket, which is sent the handshake first.
    pub async fn open(&self) -> Wire {
        let address = self.url.replace("http", "ws") + &self.path + "/?EIO=4&transport=websocket";
        let (stream, _) = soon("a websocket", connect_async(address)).await.expect("a websocket");
        Wire(stream)
    }

    /// The same, connected to the namespace `/`; the first event has arrived.
    pub async fn connected(&self) -> Wire {
        let mut wire = self.open().await;
        wire.send(&self.connect).await;
        wire.until(&format!(r#"42["{}""#, self.first)).await;
        wire
    }

    /// Gets another ticket for the next connection to the room, if it is one.
    pub async fn again(&mut self) {
        if let Some(player) = &mut self.player {
            let seat = player.seat("create", json!({})).await;
            self.path = seat["path"].as_str().expect("a path").to_owned();
            self.connect = format!("40{}", json!({ "ticket": seat["ticket"] }));
        }
    }
}

/// A websocket.
pub struct Wire(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Wire {
    /// Sends a text frame. An error shows as the end of what is received.
    pub async fn send(&mut self, text: &str) {
        self.send_message(Message::text(text)).await;
    }

    /// Sends a frame of any kind.
    pub async fn send_message(&mut self, message: Message) {
        let _ = soon("a frame is sent", self.0.send(message)).await;
    }

    /// The next frame, of any kind; `None` at the end.
    pub async fn frame(&mut self) -> Option<Message> {
        soon("a frame", self.0.next()).await?.ok()
    }

    /// The next text frame that is no ping. Answers pings, as all methods below do.
    pub async fn text(&mut self) -> String {
        loop {
            match self.frame().await.expect("the connection has ended") {
                Message::Text(text) if text == "2" => self.send("3").await,
                Message::Text(text) => return text.to_string(),
                other => panic!("{other:?}"),
            }
        }
    }

    /// The next text frame that begins with `start`; others before it are dropped.
    pub async fn until(&mut self, start: &str) -> String {
        loop {
            let text = self.text().await;
            if text.starts_with(start) {
                return text;
            }
        }
    }

    /// Emits an event, and returns the answer.
    pub async fn ask(&mut self, event: &str, data: Value) -> Value {
        self.send(&format!("4277{}", json!([event, data]))).await;
        let answer = self.until("4377").await;
        serde_json::from_str::<[Value; 1]>(&answer[4..]).expect("one value")[0].take()
    }

    /// All other frames until the connection ends.
    pub async fn rest(&mut self) -> Vec<Message> {
        let mut frames = vec![];
        let reading = async {
            while let Some(frame) = self.frame().await {
                match frame {
                    Message::Text(text) if text == "2" => self.send("3").await,
                    frame => frames.push(frame),
                }
            }
        };
        soon("the end", reading).await;
        frames
    }
}
