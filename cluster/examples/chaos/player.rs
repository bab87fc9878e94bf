//! A well-behaved player. They do what the page does (`cluster/web/cluster.js`) and record what
//! happens. Whatever ends their connection, they reconnect to the lobby after a random part of half
//! a second.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use cluster::testing::{Connection, Packet};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout_at};

use crate::record::{How, Place, key};
use crate::{Shared, connection};

/// Connections are lost in groups: each player waits a random part of this.
const JITTER: Duration = Duration::from_millis(500);
/// The longest wait between two attempts to reach the lobby.
const LONGEST: Duration = Duration::from_secs(5);
/// Consecutive reroutes that may fail before the seat is given up.
const MISSES: u32 = 5;
/// How long a person takes to press the button; with a kept seat they are rerouted earlier.
const PAUSE: Duration = Duration::from_millis(300);
/// A player in the lobby asks again after about this long.
const AGAIN: Duration = Duration::from_secs(5);
/// Without an answer for this long the connection counts as lost; a hung room is killed earlier.
const ANSWER: Duration = Duration::from_secs(15);
/// A request that reaches no hook: its name belongs to the structure.
const PROBE: &str = "welcome";

pub enum Order {
    /// Drop the connection, as a bad network does.
    Vanish,
    /// Send this once.
    Say(String, Value),
    /// Leave for good, gracefully.
    Quit,
}

pub struct Player {
    number: usize,
    shared: Arc<Shared>,
    orders: mpsc::UnboundedReceiver<Order>,
    random: StdRng,
    token: Option<String>,
    /// Consecutive failed attempts to reach the lobby, and failed reroutes.
    attempts: u32,
    misses: u32,
    /// The index of the loss, while they are on their way back.
    lost: Option<usize>,
    /// Requests of this connection that wait for answers.
    asked: HashMap<u64, (Instant, &'static str)>,
    beat_at: Instant,
}

enum Left {
    For(How),
    Quit,
}

/// What happens next on a connection.
enum Next {
    Event(String, Value),
    /// It is time to ask the lobby for a room.
    Ask,
    End(Left),
}

impl Player {
    pub fn start(number: usize, shared: &Arc<Shared>) -> mpsc::UnboundedSender<Order> {
        let (order, orders) = mpsc::unbounded_channel();
        let player = Player {
            number,
            shared: shared.clone(),
            orders,
            random: StdRng::seed_from_u64(shared.seed.wrapping_add(number as u64)),
            token: None,
            attempts: 0,
            misses: 0,
            lost: None,
            asked: HashMap::new(),
            beat_at: Instant::now(),
        };
        tokio::spawn(player.live());
        order
    }

    async fn live(mut self) {
        loop {
            let mut room = None;
            let left = self.visit(&mut room).await;
            match left {
                Left::Quit => return self.is(Place::Gone),
                Left::For(how) => {
                    self.is(Place::OnTheWay);
                    let lost = || self.shared.record.lock().lost(self.number, room, how);
                    self.lost.get_or_insert_with(lost);
                }
            }
            let most = LONGEST.min(JITTER * 2_u32.pow(self.attempts.min(8)));
            self.attempts += 1;
            sleep(most.mul_f64(self.random.random())).await;
        }
    }

    fn is(&self, place: Place) {
        self.shared.record.lock().places[self.number] = place;
    }

    /// Connects, joins rooms, and returns when the connection ends. `room`: the room they were in
    /// or rerouted to.
    async fn visit(&mut self, room: &mut Option<String>) -> Left {
        let mut lobby = match self.enter_lobby().await {
            Ok(lobby) => lobby,
            Err(why) => return Left::For(How::Lost(why)),
        };
        let mut ask_at = Some(Instant::now() + PAUSE.mul_f64(self.random.random_range(0.3..1.0)));
        let to = loop {
            match self.next(&mut lobby, ask_at).await {
                Next::Event(event, to) if event == "reroute" && to["to"] == "room" => break to,
                Next::Event(event, why) if event == "refused" => {
                    self.refused(&why);
                }
                Next::Event(..) => {}
                Next::Ask => {
                    let (event, data) = &self.shared.enter;
                    match lobby.ask(event, data).await {
                        Ok(number) => self.asked.insert(number, (Instant::now(), "enter")),
                        Err(why) => return Left::For(How::Lost(why)),
                    };
                    let later = AGAIN.mul_f64(self.random.random_range(0.5..1.5));
                    ask_at = Some(Instant::now() + later);
                }
                Next::End(Left::Quit) => {
                    connection::leave(lobby).await;
                    return Left::Quit;
                }
                Next::End(left) => return left,
            }
        };
        let mut lobby = Some(lobby);
        self.follow(&mut lobby, to, room).await
    }

    /// Connects to the lobby and registers, or returns by token.
    async fn enter_lobby(&mut self) -> Result<Connection, String> {
        let url = &self.shared.url;
        let auth = self.token.as_ref().map_or(json!({}), |token| json!({ "token": token }));
        let mut lobby = connection::connect(url, "/socket.io", auth).await?;
        let welcome = lobby.event("welcome").await?;
        if self.token.is_none() {
            let form = json!({ "name": format!("Player {}", self.number) });
            let answer = lobby.answer("register", &form).await?;
            let Some(token) = answer["ok"]["token"].as_str() else {
                let code = answer["error"]["code"].as_str().unwrap_or("nothing").to_owned();
                self.shared.record.lock().refused("register", &code);
                return Err(code);
            };
            self.token = Some(token.to_owned());
        } else if welcome["you"].is_null() {
            self.shared
                .record
                .lock()
                .violation(format!("a token was refused: {}", welcome["refused"]));
            self.token = None;
        }
        let mut record = self.shared.record.lock();
        if let Some(lost) = self.lost.take() {
            let reason = welcome["returned"]["reason"]["code"].as_str();
            record.is_back(lost, reason.map(str::to_owned));
        }
        record.places[self.number] = Place::Lobby;
        self.attempts = self.misses;
        self.asked.clear();
        Ok(lobby)
    }

    /// Follows reroutes from room to room until the last connection ends.
    async fn follow(
        &mut self,
        lobby: &mut Option<Connection>,
        mut to: Value,
        room: &mut Option<String>,
    ) -> Left {
        loop {
            *room = to["room"].as_str().map(|id| key(self.shared.record.lock().era, id));
            self.asked.clear();
            let url = to["url"].as_str().filter(|url| !url.is_empty()).unwrap_or(&self.shared.url);
            let path = to["path"].as_str().unwrap_or_default();
            let ticket = json!({ "ticket": to["ticket"] });
            let joined = async {
                let mut seat = connection::connect(url, path, ticket).await?;
                seat.event("joined").await?;
                Ok::<_, String>(seat)
            };
            let mut seat = match joined.await {
                Ok(seat) => seat,
                Err(why) => {
                    self.misses += 1;
                    if let Some(lobby) =
                        lobby.as_mut().filter(|_| self.misses.is_multiple_of(MISSES))
                    {
                        let _ = lobby.ask("leave_room", &Value::Null).await;
                    }
                    return Left::For(How::Lost(format!("not let in: {why}")));
                }
            };
            if let Some(lobby) = lobby.take() {
                tokio::spawn(connection::leave(lobby));
            }
            (self.attempts, self.misses) = (0, 0);
            self.is(Place::Room(room.clone().unwrap_or_default()));
            to = loop {
                match self.next(&mut seat, None).await {
                    Next::Event(event, to) if event == "reroute" => match to["to"] == "room" {
                        true => break to,
                        false => return Left::For(How::Sent),
                    },
                    Next::Event(event, why) if event == "refused" => self.refused(&why),
                    Next::Event(..) | Next::Ask => {}
                    Next::End(Left::Quit) => {
                        connection::leave(seat).await;
                        return Left::Quit;
                    }
                    Next::End(left) => return left,
                }
            };
        }
    }

    /// Returns the next event. Meanwhile sends requests and follows orders.
    async fn next(&mut self, connection: &mut Connection, ask_at: Option<Instant>) -> Next {
        let lost = |why| Next::End(Left::For(How::Lost(why)));
        loop {
            let now = Instant::now();
            if self.asked.values().any(|(at, _)| *at + ANSWER < now) {
                return lost("no answer".to_owned());
            }
            if ask_at.is_some_and(|at| at <= now) {
                return Next::Ask;
            }
            if self.beat_at <= now {
                // Jitter, so that not all send at the same moment.
                self.beat_at = now + self.shared.beat.mul_f64(self.random.random_range(0.8..1.2));
                if let Err(why) = self.beat(connection, ask_at.is_none()).await {
                    return lost(why);
                }
            }
            let until = ask_at.map_or(self.beat_at, |at| at.min(self.beat_at));
            let said = tokio::select! {
                heard = timeout_at(until, connection::hear(connection)) => match heard {
                    Err(_) => continue,
                    Ok(Ok(Packet::Event(event, data))) => {
                        let looked_at = matches!(&*event, "reroute" | "refused");
                        let data = if looked_at { data.value() } else { Value::Null };
                        return Next::Event(event, data);
                    }
                    Ok(Ok(Packet::Answer(to, answer))) => {
                        self.answered(to, &answer.value());
                        continue;
                    }
                    Ok(Ok(_)) => continue,
                    Ok(Err(why)) => return lost(why),
                },
                order = self.orders.recv() => match order {
                    Some(Order::Vanish) => return Next::End(Left::For(How::Vanished)),
                    Some(Order::Say(event, data)) => connection.ask(&event, &data).await,
                    Some(Order::Quit) | None => return Next::End(Left::Quit),
                },
            };
            if let Err(why) = said {
                return lost(why);
            }
        }
    }

    /// Sends a probe, whose round trip is measured, and in a room one of the configured events.
    async fn beat(&mut self, connection: &mut Connection, in_room: bool) -> Result<(), String> {
        let probe = connection.ask(PROBE, &Value::Null).await?;
        self.asked.insert(probe, (Instant::now(), PROBE));
        let says = &self.shared.says;
        if in_room && !says.is_empty() {
            let (event, data) = &says[self.random.random_range(0..says.len())];
            let said = connection.ask(event, data).await?;
            self.asked.insert(said, (Instant::now(), "say"));
        }
        Ok(())
    }

    fn answered(&mut self, to: u64, answer: &Value) {
        let Some((at, what)) = self.asked.remove(&to) else { return };
        let mut record = self.shared.record.lock();
        if what == PROBE {
            record.trips.push(at.elapsed());
        } else if let Some(code) = answer["error"]["code"].as_str() {
            record.refused(what, code);
        }
    }

    fn refused(&self, why: &Value) {
        let [event, code] = ["event", "code"].map(|name| why[name].as_str().unwrap_or_default());
        self.shared.record.lock().refused(event, code);
    }
}
