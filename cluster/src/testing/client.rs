//! A Socket.IO client for tests. It answers pings in the background and keeps packets until the
//! test asks for them. A packet that does not arrive within a minute fails the test.

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::testing::connection::lobby_path;
use crate::testing::lists::Lists;
use crate::testing::{Connection, Packet, Payload, soon};

/// A connection to the lobby or to a room, as a page has it. Dropping it closes the connection
/// abruptly, as a lost network does.
///
/// It answers pings by itself, shows lists (`rooms`, `players`) whole, and keeps what arrives until
/// the test asks for it: events of different names may be asked for in any order. Methods wait at
/// most a minute and panic after that, or if the connection ends first. Those that begin with
/// `try_` return `None` when the connection ends.
pub struct Client {
    orders: mpsc::UnboundedSender<Order>,
    packets: mpsc::UnboundedReceiver<Packet>,
    /// Packets that arrived and that nobody has asked for yet.
    seen: VecDeque<Packet>,
    next_ack: u64,
}

enum Order {
    Send(String),
    Bytes(Vec<u8>),
    Leave,
}

impl Client {
    /// Connects to the lobby at `url` (http://…) with this `auth`: `{}`, or `{ token }`. `Err`: the
    /// text of `connect_error`.
    pub async fn connect(url: &str, auth: Value) -> Result<Client, String> {
        Self::connect_at(url, &lobby_path(url), auth).await
    }

    /// Connects to the Socket.IO server at this path.
    pub async fn connect_at(url: &str, path: &str, auth: Value) -> Result<Client, String> {
        Self::connect_from(Ipv4Addr::LOCALHOST, url, path, auth).await
    }

    /// The same from this address in 127.0.0.0/8.
    pub async fn connect_from(
        from: Ipv4Addr,
        url: &str,
        path: &str,
        auth: Value,
    ) -> Result<Client, String> {
        let connection = Connection::open_from(from, url, path);
        let connection = soon("a websocket", connection).await?;
        let (orders, ordered) = mpsc::unbounded_channel();
        let (arrived, packets) = mpsc::unbounded_channel();
        tokio::spawn(carry(connection, ordered, arrived));
        let mut client = Client { orders, packets, seen: VecDeque::new(), next_ack: 0 };
        client.send(format!("40{auth}"));
        let connected = |packet: &Packet| match packet {
            Packet::Connected => Some(Ok(())),
            Packet::Refused(why) => Some(Err(why.clone())),
            _ => None,
        };
        match client.try_wait("an answer to CONNECT", connected).await {
            Some(answer) => answer.map(|()| client),
            None => Err("the end, and no answer to CONNECT".to_owned()),
        }
    }

    /// Connects to the room of a `reroute`. `Err`: the code with which the ticket is refused.
    pub async fn redeem(reroute: &Value) -> Result<Client, String> {
        let [url, path] = ["url", "path"].map(|name| reroute[name].as_str().expect("an address"));
        Self::connect_at(url, path, json!({ "ticket": reroute["ticket"] })).await
    }

    /// Sends a text frame.
    pub fn send(&self, text: String) {
        // The end of the connection shows when the test waits for something.
        let _ = self.orders.send(Order::Send(text));
    }

    /// Sends a binary frame: the attachment of the packet before it.
    pub fn send_bytes(&self, bytes: &[u8]) {
        let _ = self.orders.send(Order::Bytes(bytes.to_vec()));
    }

    /// Emits the event `binary` with these bytes, and waits for the answer.
    pub async fn ask_binary(&mut self, bytes: &[u8]) -> Value {
        let answer = self.try_ask_binary(bytes).await;
        self.expect("an answer to the bytes", answer)
    }

    /// The bytes of the next event `binary`.
    pub async fn binary(&mut self) -> Vec<u8> {
        let bytes = |packet: &Packet| match packet {
            Packet::Bytes(bytes) => Some(bytes.clone()),
            _ => None,
        };
        self.wait("bytes", bytes).await
    }

    /// Emits an event without asking for an answer.
    pub fn emit(&self, event: &str, data: Value) {
        self.send(format!("42{}", json!([event, data])));
    }

    /// Emits an event and waits for the answer: the value of `ok`, or the `code` of the error.
    pub async fn ask(&mut self, event: &str, data: Value) -> Result<Value, String> {
        let answer = self.ask_raw(json!([event, data])).await;
        match answer.get("ok") {
            Some(value) => Ok(value.clone()),
            None => Err(answer["error"]["code"].as_str().expect("an error has a code").to_owned()),
        }
    }

    /// Asks every 20 ms, half as often as a player may, until the answer is as wanted.
    pub async fn ask_until(&mut self, event: &str, data: Value, wanted: impl Fn(&Value) -> bool) {
        let asking = async {
            while !wanted(&self.ask(event, data.clone()).await.expect("an answer")) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        soon(event, asking).await;
    }

    /// Asks until the answer is not `too_fast`.
    pub async fn ask_patiently(&mut self, event: &str, data: Value) -> Result<Value, String> {
        let asking = async {
            loop {
                let answer = self.ask(event, data.clone()).await;
                if answer != Err("too_fast".to_owned()) {
                    return answer;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        soon("an answer but `too_fast`", asking).await
    }

    /// Emits `[name, data …]` and returns the whole answer.
    pub async fn ask_raw(&mut self, event: Value) -> Value {
        let answer = self.try_ask_raw(&event).await;
        self.expect(&format!("an answer to {event}"), answer)
    }

    /// The same for a client that may be disconnected.
    pub async fn try_ask(&mut self, event: &str, data: Value) -> Option<Value> {
        self.try_ask_raw(&json!([event, data])).await
    }

    async fn try_ask_raw(&mut self, event: &Value) -> Option<Value> {
        let id = self.next_id();
        self.send(format!("42{id}{event}"));
        self.try_answer(id, &event.to_string()).await
    }

    /// The same with bytes.
    pub async fn try_ask_binary(&mut self, bytes: &[u8]) -> Option<Value> {
        let id = self.next_id();
        self.send(format!(r#"451-{id}["binary",{{"_placeholder":true,"num":0}}]"#));
        self.send_bytes(bytes);
        self.try_answer(id, "the bytes").await
    }

    fn next_id(&mut self) -> u64 {
        self.next_ack += 1;
        self.next_ack - 1
    }

    async fn try_answer(&mut self, id: u64, to: &str) -> Option<Value> {
        let answer = |packet: &Packet| match packet {
            Packet::Answer(to, answer) if *to == id => Some(answer.value()),
            _ => None,
        };
        self.try_wait(&format!("an answer to {to}"), answer).await
    }

    /// Waits for the answer with this acknowledgement id.
    pub async fn answer(&mut self, id: u64, to: &str) -> Value {
        let answer = self.try_answer(id, to).await;
        self.expect(&format!("an answer to {to}"), answer)
    }

    /// The data of the next event of this name.
    pub async fn event(&mut self, name: &str) -> Value {
        let data = self.try_event(name).await;
        self.expect(name, data)
    }

    /// The data of the next event of this name that is as wanted. Drops those before it.
    pub async fn event_where(&mut self, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let data = self.event(name).await;
            if wanted(&data) {
                return data;
            }
        }
    }

    /// The next event of one of these two names, and its data.
    pub async fn either(&mut self, one: &str, other: &str) -> (String, Value) {
        let named = |packet: &Packet| match packet {
            Packet::Event(event, data) if event == one || event == other => {
                Some((event.clone(), data.value()))
            }
            _ => None,
        };
        self.wait(&format!("{one} or {other}"), named).await
    }

    /// The names of the events that arrived and were not asked for, oldest first.
    pub fn unheard(&self) -> Vec<&str> {
        let names = self.seen.iter().filter_map(|packet| match packet {
            Packet::Event(name, _) => Some(name.as_str()),
            _ => None,
        });
        names.collect()
    }

    /// Disconnects gracefully, as a page does that is closed.
    pub async fn leave(mut self) {
        let _ = self.orders.send(Order::Leave);
        self.end().await;
    }

    /// Waits for the end of the connection. `true`: the server has disconnected gracefully.
    pub async fn end(&mut self) -> bool {
        soon("the connection's end", self.ended()).await;
        self.seen.iter().any(|packet| matches!(packet, Packet::Disconnected))
    }

    /// Waits for the end of the connection without a time limit.
    pub async fn ended(&mut self) {
        while let Some(packet) = self.packets.recv().await {
            self.seen.push_back(packet)
        }
    }

    async fn wait<T>(&mut self, what: &str, pick: impl Fn(&Packet) -> Option<T>) -> T {
        let found = self.try_wait(what, pick).await;
        self.expect(what, found)
    }

    fn expect<T>(&self, what: &str, found: Option<T>) -> T {
        found.unwrap_or_else(|| panic!("the connection ended before {what}; {:?}", self.seen))
    }

    /// `None`: the connection ended first.
    async fn try_wait<T>(&mut self, what: &str, pick: impl Fn(&Packet) -> Option<T>) -> Option<T> {
        let known = self.seen.iter().enumerate().find_map(|(at, packet)| Some((at, pick(packet)?)));
        if let Some((at, found)) = known {
            self.seen.remove(at);
            return Some(found);
        }
        let arrives = async {
            loop {
                let packet = self.packets.recv().await?;
                match pick(&packet) {
                    Some(found) => return Some(found),
                    None => self.seen.push_back(packet),
                }
            }
        };
        soon(what, arrives).await
    }

    /// The data of the next event of this name; `None` after the connection's end.
    pub async fn try_event(&mut self, name: &str) -> Option<Value> {
        let named = |packet: &Packet| match packet {
            Packet::Event(event, data) if event == name => Some(data.value()),
            _ => None,
        };
        self.try_wait(name, named).await
    }

    /// The events that arrived and were not asked for, as `[name, data]`, oldest first; bytes are
    /// an array.
    pub fn take_events(&mut self) -> Vec<Value> {
        let events = self.seen.drain(..).filter_map(|packet| match packet {
            Packet::Event(name, data) => Some(json!([name, data.value()])),
            Packet::Bytes(bytes) => Some(json!(["binary", bytes])),
            _ => None,
        });
        events.collect()
    }

    /// Drops all packets that arrived and were not asked for.
    pub fn forget(&mut self) {
        self.seen.clear();
    }
}

/// A packet as the hooks of a page get it: with lists that are whole.
fn follow(lists: &mut Lists, packet: Packet) -> Packet {
    match packet {
        Packet::Event(name, data) if name.starts_with("rooms") || name.starts_with("players") => {
            let (name, data) = lists.follow(&name, data.value());
            let data = Payload::of(&name, &data);
            Packet::Event(name, data)
        }
        other => other,
    }
}

/// Sends and receives packets in the background.
async fn carry(
    mut connection: Connection,
    mut orders: mpsc::UnboundedReceiver<Order>,
    packets: mpsc::UnboundedSender<Packet>,
) {
    let mut lists = Lists::default();
    loop {
        // A connection that cannot be written to may still have packets to read.
        let _ = tokio::select! {
            order = orders.recv() => match order {
                Some(Order::Send(text)) => connection.send(text).await,
                Some(Order::Bytes(bytes)) => connection.send_bytes(bytes).await,
                Some(Order::Leave) => {
                    connection.hang_up().await;
                    Ok(())
                }
                None => return,
            },
            packet = connection.next() => match packet {
                Ok(packet) => {
                    let packet = follow(&mut lists, packet);
                    let over = matches!(packet, Packet::Disconnected);
                    for packet in packet.unpacked() {
                        let _ = packets.send(packet);
                    }
                    if over {
                        return;
                    }
                    Ok(())
                }
                Err(_) => return,
            },
        };
    }
}
