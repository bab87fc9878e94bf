//! A player without a person: a bot does what the page does (`cluster/web/cluster.js`), and tells
//! its script what happens.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::pin::Pin;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

pub use self::script::{BotCommand, BotEvent, Disconnect, Request, Script};
use crate::testing::{Connection, Packet, Payload};

mod script;

/// Connections are lost in groups: each bot waits a random part of this.
const RECONNECT_DELAY: Duration = Duration::from_millis(500);
/// The longest wait between two attempts to reach the lobby.
const MAX_RECONNECT_DELAY: Duration = Duration::from_secs(5);
/// Consecutive reroutes that may fail before the seat is given up.
const MAX_FAILED_REROUTES: u32 = 5;
/// How long a person takes to press the button; with a kept seat they are rerouted earlier.
const FIRST_REQUEST_DELAY: Duration = Duration::from_millis(300);
/// A bot in the lobby asks again after about this long.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);
/// Without an answer for this long the connection counts as lost; a hung room is killed earlier.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// A bot that leaves in order has asked some things only just now. What it has asked earlier than
/// this should have been answered.
const ANSWER_GRACE: Duration = Duration::from_secs(1);
/// Timers are as exact as this. A bot that is later than that is kept from sending.
const TIMER_RESOLUTION: Duration = Duration::from_millis(2);

/// A player who registers, plays, and returns, by a [`Script`]. Whatever ends their connection,
/// they reconnect to the lobby after a random part of half a second.
pub struct Bot<S> {
    url: String,
    name: String,
    script: S,
    orders: mpsc::UnboundedReceiver<BotCommand>,
    random: StdRng,
    token: Option<String>,
    /// Consecutive failed attempts to reach the lobby, and failed reroutes.
    attempts: u32,
    misses: u32,
    /// Requests of this connection that wait for answers, oldest first.
    asked: VecDeque<(u64, Instant, Cow<'static, str>)>,
    say_at: Instant,
    timer: Pin<Box<Sleep>>,
}

/// What happens next on a connection.
enum Next {
    Event(String, Value),
    /// It is time to ask the lobby for a room.
    Ask,
    End(Disconnect),
}

impl<S: Script> Bot<S> {
    /// Starts a bot that connects to the lobby at `url` at this time. It quits when the returned
    /// sender is dropped.
    pub fn start(
        url: &str,
        name: String,
        connect_at: Instant,
        seed: u64,
        script: S,
    ) -> mpsc::UnboundedSender<BotCommand> {
        let (order, orders) = mpsc::unbounded_channel();
        let bot = Bot {
            url: url.to_owned(),
            name,
            script,
            orders,
            random: StdRng::seed_from_u64(seed),
            token: None,
            attempts: 0,
            misses: 0,
            asked: VecDeque::new(),
            say_at: connect_at,
            timer: Box::pin(sleep(Duration::ZERO)),
        };
        tokio::spawn(bot.live(connect_at));
        order
    }

    async fn live(mut self, mut connect_at: Instant) {
        loop {
            sleep_until(connect_at).await;
            let left = self.visit(connect_at).await;
            self.give_up_requests(&left);
            if left == Disconnect::Quit {
                return self.script.on_event(BotEvent::Gone);
            }
            self.script.on_event(BotEvent::Lost { how: &left });
            let most = MAX_RECONNECT_DELAY.min(RECONNECT_DELAY * 2_u32.pow(self.attempts.min(8)));
            self.attempts += 1;
            connect_at = Instant::now() + most.mul_f64(self.random.random());
        }
    }

    /// A bot that leaves in order does not wait for answers to what it has only just asked.
    fn give_up_requests(&mut self, left: &Disconnect) {
        let patience = match left {
            Disconnect::Vanished => Duration::MAX,
            Disconnect::Quit | Disconnect::Sent => ANSWER_GRACE,
            Disconnect::Lost(_) => Duration::ZERO,
        };
        for (_, at, event) in self.asked.drain(..) {
            let waited = at.elapsed();
            if waited >= patience {
                self.script.on_event(BotEvent::Unanswered { event: &event, waited });
            }
        }
    }

    /// Connects, joins rooms, and returns when the connection ends.
    async fn visit(&mut self, connect_at: Instant) -> Disconnect {
        let mut lobby = match self.enter_lobby(since(connect_at)).await {
            Ok(lobby) => lobby,
            Err(why) => return Disconnect::Lost(why),
        };
        let pause = FIRST_REQUEST_DELAY.mul_f64(self.random.random_range(0.3..1.0));
        let mut ask_at = self.script.enter().map(|_| Instant::now() + pause);
        let mut asked = None;
        let to = loop {
            match self.next(&mut lobby, ask_at, false).await {
                Next::Event(event, to) if event == "reroute" && to["to"] == "room" => break to,
                Next::Event(..) => {}
                Next::Ask => {
                    let Some((event, data)) = self.script.enter() else { continue };
                    let at = since(ask_at.unwrap_or_else(Instant::now));
                    if let Err(why) = self.ask(&mut lobby, event, &data, at).await {
                        return Disconnect::Lost(why);
                    }
                    asked.get_or_insert(at);
                    let later = RETRY_INTERVAL.mul_f64(self.random.random_range(0.5..1.5));
                    ask_at = Some(Instant::now() + later);
                }
                Next::End(Disconnect::Quit) => {
                    lobby.leave().await;
                    return Disconnect::Quit;
                }
                Next::End(left) => return left,
            }
        };
        self.follow(lobby, to, asked.map(|at: Instant| at.elapsed())).await
    }

    /// Connects to the lobby and registers, or returns by token.
    async fn enter_lobby(&mut self, since: Instant) -> Result<Connection, String> {
        let auth = self.token.as_ref().map_or(json!({}), |token| json!({ "token": token }));
        let mut lobby = Connection::connect_to_lobby(&self.url, &auth).await?;
        let welcome = lobby.event("welcome").await?;
        let took = since.elapsed();
        let mut you = welcome["you"].clone();
        if self.token.is_some() && you.is_null() {
            self.script.on_event(BotEvent::TokenRefused(&welcome["refused"]));
            self.token = None;
        }
        if self.token.is_none() {
            let mut answer = lobby.answer("register", &json!({ "name": self.name })).await?;
            let Some(token) = answer["ok"]["token"].as_str() else {
                let code = answer["error"]["code"].as_str().unwrap_or("nothing");
                self.script.on_event(BotEvent::Refused { event: "register", code });
                return Err(code.to_owned());
            };
            self.token = Some(token.to_owned());
            you = answer["ok"]["you"].take();
        }
        let reason = welcome["returned"]["reason"]["code"].as_str();
        self.script.on_event(BotEvent::InLobby { took, you: &you, reason });
        self.attempts = self.misses;
        self.settle();
        Ok(lobby)
    }

    /// Follows reroutes from room to room until the last connection ends.
    async fn follow(
        &mut self,
        lobby: Connection,
        mut to: Value,
        took: Option<Duration>,
    ) -> Disconnect {
        let (mut lobby, mut took) = (Some(lobby), took);
        // The lobby may acknowledge the request for a room after its `reroute`.
        self.asked.clear();
        loop {
            let rerouted = Instant::now();
            let room = to["room"].as_str().unwrap_or_default();
            self.script.on_event(BotEvent::Rerouted { room, took: took.take() });
            let url = to["url"].as_str().filter(|url| !url.is_empty()).unwrap_or(&self.url);
            let path = to["path"].as_str().unwrap_or_default();
            let ticket = json!({ "ticket": to["ticket"] });
            let joined = async {
                let mut seat = Connection::connect(url, path, &ticket).await?;
                seat.event("joined").await?;
                Ok::<_, String>(seat)
            };
            let mut seat = match joined.await {
                Ok(seat) => seat,
                Err(why) => {
                    self.misses += 1;
                    if let Some(lobby) =
                        lobby.as_mut().filter(|_| self.misses.is_multiple_of(MAX_FAILED_REROUTES))
                    {
                        let _ = lobby.ask("leave_room", &Value::Null).await;
                    }
                    return Disconnect::Lost(format!("not let in: {why}"));
                }
            };
            if let Some(lobby) = lobby.take() {
                tokio::spawn(lobby.leave());
            }
            (self.attempts, self.misses) = (0, 0);
            self.script.on_event(BotEvent::Joined { took: rerouted.elapsed() });
            self.settle();
            to = loop {
                match self.next(&mut seat, None, true).await {
                    Next::Event(event, to) if event == "reroute" => match to["to"] == "room" {
                        true => break to,
                        false => return Disconnect::Sent,
                    },
                    Next::Event(..) | Next::Ask => {}
                    Next::End(Disconnect::Quit) => {
                        seat.leave().await;
                        return Disconnect::Quit;
                    }
                    Next::End(left) => return left,
                }
            };
        }
    }

    /// On a new connection nothing is asked yet. The first thing is said after a random part of the
    /// interval, so that not all bots send at the same moment.
    fn settle(&mut self) {
        self.asked.clear();
        self.say_at = Instant::now() + self.script.interval().mul_f64(self.random.random());
    }

    /// Returns the next event that moves the bot. Meanwhile sends requests and follows orders.
    async fn next(
        &mut self,
        connection: &mut Connection,
        ask_at: Option<Instant>,
        in_room: bool,
    ) -> Next {
        loop {
            let now = Instant::now();
            if ask_at.is_some_and(|at| at <= now) {
                return Next::Ask;
            }
            if self.say_at <= now {
                if let Err(why) = self.say(connection, in_room).await {
                    return Next::End(Disconnect::Lost(why));
                }
                continue;
            }
            let wake = ask_at.map_or(self.say_at, |at| at.min(self.say_at));
            if self.timer.deadline() != wake {
                self.timer.as_mut().reset(wake);
            }
            tokio::select! {
                packet = connection.next() => match packet {
                    Ok(Packet::Event(name, data)) => if let Some(next) = self.event(name, &data) {
                        return next;
                    },
                    Ok(Packet::Answer(to, answer)) => self.answered(to, &answer),
                    Ok(Packet::Disconnected) => {
                        return Next::End(Disconnect::Lost("the server has hung up".to_owned()));
                    }
                    Ok(_) => {}
                    Err(why) => return Next::End(Disconnect::Lost(why)),
                },
                () = self.timer.as_mut() => {}
                order = self.orders.recv() => match order {
                    Some(BotCommand::Vanish) => return Next::End(Disconnect::Vanished),
                    Some(BotCommand::Say((event, data))) => {
                        if let Err(why) = self.ask(connection, event, &data, now).await {
                            return Next::End(Disconnect::Lost(why));
                        }
                    }
                    Some(BotCommand::Quit) | None => return Next::End(Disconnect::Quit),
                },
            }
        }
    }

    /// What the script says now. Its times are counted from when it was to be said.
    async fn say(&mut self, connection: &mut Connection, in_room: bool) -> Result<(), String> {
        let at = since(self.say_at);
        self.say_at += self.script.interval();
        if self.asked.front().is_some_and(|(_, asked, _)| asked.elapsed() > ANSWER_TIMEOUT) {
            return Err("no answer".to_owned());
        }
        for (event, data) in self.script.say(in_room) {
            self.ask(connection, event, &data, at).await?;
        }
        Ok(())
    }

    async fn ask(
        &mut self,
        connection: &mut Connection,
        event: Cow<'static, str>,
        data: &Value,
        at: Instant,
    ) -> Result<(), String> {
        let id = connection.ask(&event, data).await?;
        self.asked.push_back((id, at, event));
        Ok(())
    }

    fn event(&mut self, name: String, data: &Payload) -> Option<Next> {
        match &*name {
            "reroute" => return Some(Next::Event(name, data.value())),
            "refused" => {
                let data = data.value();
                let [event, code] =
                    ["event", "code"].map(|name| data[name].as_str().unwrap_or_default());
                self.script.on_event(BotEvent::Refused { event, code });
            }
            _ => self.script.on_event(BotEvent::Event { name: &name, data }),
        }
        None
    }

    fn answered(&mut self, to: u64, answer: &Payload) {
        let Some(index) = self.asked.iter().position(|(id, ..)| *id == to) else { return };
        let Some((_, at, event)) = self.asked.remove(index) else { return };
        let took = at.elapsed();
        // What is not refused is not parsed.
        let refused = !answer.text().starts_with(r#"[{"ok""#);
        let value = if refused { answer.value() } else { Value::Null };
        let refusal = value["error"]["code"].as_str();
        self.script.on_event(BotEvent::Answered { event: &event, took, refusal });
    }
}

/// The start of what was due then: that time, or now if only the timer was late.
fn since(at: Instant) -> Instant {
    let now = Instant::now();
    if now - at > TIMER_RESOLUTION { at } else { now }
}
