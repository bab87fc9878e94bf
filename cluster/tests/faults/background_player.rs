//! A background player. They send requests to their room and report any wrong answer. When they
//! lose their connection they go to the lobby, as a page does, and wait there for the next room.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cluster::testing::{Client, TestPlayer};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::sleep;

/// Between an answer and the next request. Two processors carry five hundred such players in a
/// debug build and have time for the faults.
const REQUEST_INTERVAL: Duration = Duration::from_millis(400);
/// Between two attempts to reach the lobby; less than any page would wait.
const RETRY_DELAY: Duration = Duration::from_millis(100);

/// What all players share.
pub struct Shared {
    pub url: String,
    /// The first failure.
    pub failure: watch::Sender<Option<String>>,
    /// Players who have returned to the lobby.
    pub back: mpsc::UnboundedSender<BackInLobby>,
    /// How many lobbies have been started.
    pub lobbies: AtomicU64,
    /// Round-trip times.
    pub round_trips: Mutex<Vec<Duration>>,
}

impl Shared {
    pub fn fail(&self, what: String) {
        self.failure.send_if_modified(|failure| {
            let first = failure.is_none();
            failure.get_or_insert(what);
            first
        });
    }
}

/// A player has returned to the lobby.
#[derive(Debug)]
pub struct BackInLobby {
    pub id: Value,
    /// As in the lobby's `welcome`.
    pub returned: Value,
    /// The reason that their room gave, if it sent them to the lobby.
    pub told: Option<String>,
    /// The number of the lobby.
    pub lobby: u64,
    pub at: Instant,
}

pub struct BackgroundPlayer {
    pub you: Value,
    orders: mpsc::UnboundedSender<Order>,
    status: Arc<Status>,
}

#[derive(Default)]
struct Status {
    answers: AtomicU64,
    /// A fault hits their room: they may lose their connection.
    may_disconnect: AtomicBool,
}

enum Order {
    Join(Value),
    Emit(String, Value),
    Ask(String, Value, oneshot::Sender<Value>),
}

impl BackgroundPlayer {
    /// A new player in the lobby.
    pub async fn register(shared: Arc<Shared>, name: &str) -> BackgroundPlayer {
        let TestPlayer { you, token, lobby, .. } = TestPlayer::register(&shared.url, name).await;
        let (orders, ordered) = mpsc::unbounded_channel();
        let status = Arc::new(Status::default());
        let body = PlayerTask { shared, you: you.clone(), token, status: status.clone() };
        tokio::spawn(body.live(lobby.expect("in the lobby"), ordered));
        BackgroundPlayer { you, orders, status }
    }

    pub fn join(&self, room: &Value) {
        self.may_disconnect(false);
        self.order(Order::Join(room.clone()));
    }

    pub fn may_disconnect(&self, whether: bool) {
        self.status.may_disconnect.store(whether, Relaxed);
    }

    pub fn emit(&self, event: &str, data: Value) {
        self.order(Order::Emit(event.to_owned(), data));
    }

    /// Asks their room.
    pub async fn ask(&self, event: &str, data: Value) -> Value {
        let (to, answer) = oneshot::channel();
        self.order(Order::Ask(event.to_owned(), data, to));
        let answer = answer.await.expect("they are in a room");
        answer.get("ok").unwrap_or_else(|| panic!("{event}: {answer}")).clone()
    }

    /// The number of correct answers so far.
    pub fn answers(&self) -> u64 {
        self.status.answers.load(Relaxed)
    }

    fn order(&self, order: Order) {
        assert!(self.orders.send(order).is_ok(), "{} lives", self.you);
    }
}

/// The state of the player's task.
struct PlayerTask {
    shared: Arc<Shared>,
    you: Value,
    token: String,
    status: Arc<Status>,
}

impl PlayerTask {
    /// Runs until there are no more orders.
    async fn live(self, mut lobby: Client, mut orders: mpsc::UnboundedReceiver<Order>) {
        loop {
            let room = tokio::select! {
                order = orders.recv() => match order {
                    Some(Order::Join(room)) => room,
                    // Meant for a room that is gone.
                    Some(Order::Emit(..) | Order::Ask(..)) => continue,
                    None => return lobby.leave().await,
                },
                () = lobby.ended() => {
                    lobby = self.come_back(None).await;
                    continue;
                }
            };
            let mut client = match self.enter(&mut lobby, &room).await {
                Ok(client) => client,
                Err(why) => {
                    self.shared.fail(format!("{} cannot join room {room}: {why}", self.you));
                    continue;
                }
            };
            lobby.leave().await;
            if self.play(&mut client, &mut orders).await.is_none() {
                return client.leave().await;
            }
            if !self.status.may_disconnect.load(Relaxed) {
                let unheard = client.unheard();
                self.shared.fail(format!("{} lost room {room}: {unheard:?}", self.you));
            }
            let told = client.try_event("reroute").await;
            drop(client);
            lobby = self
                .come_back(told.and_then(|told| Some(told["reason"]["code"].as_str()?.into())))
                .await;
        }
    }

    async fn enter(&self, lobby: &mut Client, room: &Value) -> Result<Client, String> {
        let answer = lobby.try_ask("join", json!({ "room": room })).await.ok_or("it ended")?;
        answer.get("ok").ok_or_else(|| answer.to_string())?;
        let mut reroute = lobby.event_where("reroute", |reroute| reroute["room"] == *room).await;
        if reroute["url"] == "" {
            reroute["url"] = json!(self.shared.url);
        }
        Client::redeem(&reroute).await
    }

    /// Plays until the connection ends. `None`: there are no more orders.
    async fn play(
        &self,
        client: &mut Client,
        orders: &mut mpsc::UnboundedReceiver<Order>,
    ) -> Option<()> {
        for n in 1_u64.. {
            let asked = Instant::now();
            let Some(answer) = client.try_ask("later", json!({ "n": n })).await else {
                return Some(());
            };
            if answer != json!({ "ok": n }) {
                self.shared.fail(format!("{} asked for {n} and got {answer}", self.you));
            }
            self.shared.round_trips.lock().unwrap().push(asked.elapsed());
            self.status.answers.fetch_add(1, Relaxed);
            let mut pause = std::pin::pin!(sleep(REQUEST_INTERVAL));
            loop {
                tokio::select! {
                    () = &mut pause => break,
                    order = orders.recv() => match order? {
                        Order::Join(room) => {
                            self.shared.fail(format!("{} is sent to {room} as well", self.you));
                        }
                        Order::Emit(event, data) => client.emit(&event, data),
                        Order::Ask(event, data, to) => {
                            let Some(answer) = client.try_ask(&event, data).await else {
                                return Some(());
                            };
                            let _ = to.send(answer);
                        }
                    },
                    // Noticed before the next request.
                    () = client.ended() => return Some(()),
                }
            }
        }
        None
    }

    /// Connects to the lobby with their token, retrying until it succeeds.
    async fn come_back(&self, told: Option<String>) -> Client {
        loop {
            let auth = json!({ "token": self.token });
            let lobbies = self.shared.lobbies.load(Relaxed);
            if let Ok(mut lobby) = Client::connect(&self.shared.url, auth).await
                && let Some(welcome) = lobby.try_event("welcome").await
            {
                if welcome["you"] != self.you {
                    self.shared.fail(format!("{} is another player: {welcome}", self.you));
                }
                if self.shared.lobbies.load(Relaxed) != lobbies {
                    // The lobby was restarted meanwhile: it is not known which one this is.
                    continue;
                }
                let (id, returned) = (self.you["id"].clone(), welcome["returned"].clone());
                let back = BackInLobby { id, returned, told, lobby: lobbies, at: Instant::now() };
                let _ = self.shared.back.send(back);
                return lobby;
            }
            sleep(RETRY_DELAY).await;
        }
    }
}
