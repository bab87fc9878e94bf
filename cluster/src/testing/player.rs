//! A player who tells his story: he registers, asks, is sent to rooms, and comes back.

use serde_json::{Value, json};

use crate::socket_io::Client;

/// Somebody with a token. He is in the lobby until he enters a room, as the page does.
pub struct Player {
    /// `{ id, name }`.
    pub you: Value,
    pub token: String,
    url: String,
    pub lobby: Option<Client>,
}

impl Player {
    /// A new one, in the lobby at `url`.
    pub async fn register(url: &str, name: &str) -> Player {
        Self::register_as(url, json!({ "name": name })).await
    }

    /// The same with this form.
    pub async fn register_as(url: &str, form: Value) -> Player {
        let mut lobby = Client::connect(url, json!({})).await.expect("anyone may connect");
        lobby.event("welcome").await;
        let answer = lobby.ask("register", form).await.expect("registered");
        let token = answer["token"].as_str().expect("a token").to_owned();
        Player { url: url.to_owned(), token, you: answer["you"].clone(), lobby: Some(lobby) }
    }

    pub fn lobby(&mut self) -> &mut Client {
        self.lobby.as_mut().expect("he is in a room")
    }

    /// Asks the lobby. `Err`: the refusal's code.
    pub async fn ask(&mut self, event: &str, data: Value) -> Result<Value, String> {
        self.lobby().ask(event, data).await
    }

    /// Asks again and again until the answer is as wanted, but not for ever.
    pub async fn ask_until(&mut self, event: &str, data: Value, wanted: impl Fn(&Value) -> bool) {
        self.lobby().ask_until(event, data, wanted).await;
    }

    /// Asks for a seat, and waits to be sent to it; the data of `reroute`.
    pub async fn seat(&mut self, event: &str, data: Value) -> Value {
        self.ask(event, data).await.expect("a seat");
        self.rerouted().await
    }

    /// Waits to be sent to a room; the data of `reroute`. An empty `url` stands for the lobby's.
    pub async fn rerouted(&mut self) -> Value {
        let reroute = self.lobby().event("reroute").await;
        self.route(reroute)
    }

    /// A reroute with a full address.
    pub fn route(&self, mut reroute: Value) -> Value {
        if reroute["url"] == "" {
            reroute["url"] = json!(self.url);
        }
        reroute
    }

    /// Waits to be sent on by a room, and goes there.
    pub async fn follow(&self, room: &mut Client) -> Client {
        let reroute = self.route(room.event("reroute").await);
        show_ticket(&reroute).await.expect("a good ticket")
    }

    /// Asks for a seat, takes it, and leaves the lobby.
    pub async fn enter(&mut self, event: &str, data: Value) -> Client {
        let reroute = self.seat(event, data).await;
        self.take(&reroute).await
    }

    /// Takes the seat that he was sent to.
    pub async fn take(&mut self, reroute: &Value) -> Client {
        let room = show_ticket(reroute).await.expect("a good ticket");
        if let Some(lobby) = self.lobby.take() {
            lobby.leave().await;
        }
        room
    }

    /// Connects to the lobby again, asks for a seat there, and takes it.
    pub async fn back_into(&mut self, event: &str, data: Value) -> Client {
        self.back().await;
        self.enter(event, data).await
    }

    /// Connects to the lobby again; the data of `welcome`.
    pub async fn back(&mut self) -> Value {
        let auth = json!({ "token": self.token });
        let lobby = Client::connect(&self.url, auth).await.expect("anyone may connect");
        self.lobby.insert(lobby).event("welcome").await
    }
}

/// Connects to where `reroute` says, and waits for `joined` unless the ticket is refused.
pub async fn show_ticket(reroute: &Value) -> Result<Client, String> {
    let url = reroute["url"].as_str().expect("a url");
    let path = reroute["path"].as_str().expect("a path");
    Client::connect_at(url, path, json!({ "ticket": reroute["ticket"] })).await
}
