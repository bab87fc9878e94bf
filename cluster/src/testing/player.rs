//! A player in a test, who registers, sends requests, follows reroutes and returns, as the page
//! does.

use serde_json::{Value, json};

use super::client::Client;

/// A registered player. They are in the lobby until they enter a room.
///
/// It does in a test what the page does: registers, asks, follows reroutes, and returns. A refusal
/// is an `Err` with its code where the method returns a `Result`; otherwise it fails the test.
/// [`LobbyProcess::player`](super::LobbyProcess::player) makes one.
pub struct TestPlayer {
    /// `{ id, name }`.
    pub you: Value,
    /// Their token.
    pub token: String,
    /// The connection to the lobby, while there is one.
    pub lobby: Option<Client>,
    /// The URL of the lobby that they return to.
    pub url: String,
}

impl TestPlayer {
    /// Registers a new player in the lobby at `url`.
    ///
    /// # Panics
    /// If the lobby refuses the registration.
    pub async fn register(url: &str, name: &str) -> TestPlayer {
        Self::register_as(url, json!({ "name": name })).await
    }

    /// Registers a new player with this form.
    ///
    /// # Panics
    /// If the lobby refuses the registration.
    pub async fn register_as(url: &str, form: Value) -> TestPlayer {
        let mut lobby = Client::connect(url, json!({})).await.expect("anyone may connect");
        lobby.event("welcome").await;
        let answer = lobby.ask("register", form).await.expect("registered");
        let token = answer["token"].as_str().expect("a token").to_owned();
        TestPlayer { url: url.to_owned(), token, you: answer["you"].clone(), lobby: Some(lobby) }
    }

    /// The connection to the lobby.
    ///
    /// # Panics
    /// If they are in a room.
    pub fn lobby(&mut self) -> &mut Client {
        self.lobby.as_mut().expect("the player is in the lobby")
    }

    /// Asks the lobby. `Err`: the refusal's code.
    pub async fn ask(&mut self, event: &str, data: Value) -> Result<Value, String> {
        self.lobby().ask(event, data).await
    }

    /// Asks the lobby every 20 ms until the answer is as wanted, at most a minute.
    pub async fn ask_until(&mut self, event: &str, data: Value, wanted: impl Fn(&Value) -> bool) {
        self.lobby().ask_until(event, data, wanted).await;
    }

    /// Asks for a seat and waits for the reroute. Returns the data of `reroute`.
    pub async fn seat(&mut self, event: &str, data: Value) -> Value {
        self.ask(event, data).await.expect("a seat");
        self.rerouted().await
    }

    /// Waits for a reroute. Returns the data of `reroute` with the full URL.
    pub async fn rerouted(&mut self) -> Value {
        let reroute = self.lobby().event("reroute").await;
        self.route(reroute)
    }

    /// A reroute with the full URL: an empty `url` stands for the lobby's.
    pub fn route(&self, mut reroute: Value) -> Value {
        if reroute["url"] == "" {
            reroute["url"] = json!(self.url);
        }
        reroute
    }

    /// Waits until a room transfers them, and joins the other one.
    pub async fn follow(&self, room: &mut Client) -> Client {
        let reroute = self.route(room.event("reroute").await);
        Client::redeem(&reroute).await.expect("a good ticket")
    }

    /// Asks for a seat, takes it, and leaves the lobby. Returns the connection to the room.
    pub async fn enter(&mut self, event: &str, data: Value) -> Client {
        let reroute = self.seat(event, data).await;
        self.take(&reroute).await
    }

    /// Takes the seat of this reroute, and leaves the lobby.
    pub async fn take(&mut self, reroute: &Value) -> Client {
        let room = Client::redeem(reroute).await.expect("a good ticket");
        if let Some(lobby) = self.lobby.take() {
            lobby.leave().await;
        }
        room
    }

    /// Connects to the lobby again, asks for a seat, and takes it.
    pub async fn back_into(&mut self, event: &str, data: Value) -> Client {
        self.back().await;
        self.enter(event, data).await
    }

    /// Connects to the lobby again. Returns the data of `welcome`.
    pub async fn back(&mut self) -> Value {
        let auth = json!({ "token": self.token });
        let lobby = Client::connect(&self.url, auth).await.expect("anyone may connect");
        self.lobby.insert(lobby).event("welcome").await
    }
}
