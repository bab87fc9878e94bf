//! A player under chaos: a bot, and a record of what happens to it.

use std::sync::Arc;
use std::time::Duration;

use cluster::testing::{Bot, BotCommand, BotEvent, Request, Script};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;

use crate::Shared;
use crate::record::{Place, key};

/// A request that reaches no hook: its name belongs to the structure.
const PROBE: &str = "welcome";

pub struct Player {
    number: usize,
    shared: Arc<Shared>,
    random: StdRng,
    /// The index of the loss, while they are on their way back.
    lost: Option<usize>,
    /// The room they are in or rerouted to.
    room: Option<String>,
}

impl Player {
    pub fn start(number: usize, shared: &Arc<Shared>) -> UnboundedSender<BotCommand> {
        let seed = shared.seed.wrapping_add(number as u64);
        let random = StdRng::seed_from_u64(seed);
        let player = Player { number, shared: shared.clone(), random, lost: None, room: None };
        Bot::start(&shared.url, format!("Player {number}"), Instant::now(), seed, player)
    }
}

impl Script for Player {
    fn enter(&self) -> Option<Request> {
        Some(request(&self.shared.enter))
    }

    fn interval(&self) -> Duration {
        self.shared.beat
    }

    /// A probe, whose round trip is measured, and in a room one of the configured events.
    fn say(&mut self, in_room: bool) -> Vec<Request> {
        let mut requests = vec![(PROBE.into(), Value::Null)];
        let says = &self.shared.says;
        if in_room && !says.is_empty() {
            requests.push(request(&says[self.random.random_range(0..says.len())]));
        }
        requests
    }

    fn on_event(&mut self, event: BotEvent<'_>) {
        let mut record = self.shared.record.lock();
        let place = match event {
            BotEvent::InLobby { reason, .. } => {
                if let Some(lost) = self.lost.take() {
                    record.is_back(lost, reason.map(str::to_owned));
                }
                self.room = None;
                Place::Lobby
            }
            BotEvent::Rerouted { room, .. } => {
                self.room = Some(key(record.era, room));
                return;
            }
            BotEvent::Joined { .. } => Place::Room(self.room.clone().unwrap_or_default()),
            BotEvent::Lost { how } => {
                let room = self.room.take();
                self.lost.get_or_insert_with(|| record.lost(self.number, room, how.clone()));
                Place::OnTheWay
            }
            BotEvent::Gone => Place::Gone,
            BotEvent::TokenRefused(why) => {
                return record.violation(format!("a token was refused: {why}"));
            }
            BotEvent::Answered { event: PROBE, took, .. } => return record.trips.push(took),
            BotEvent::Answered { event, refusal: Some(code), .. }
            | BotEvent::Refused { event, code } => return record.refused(event, code),
            BotEvent::Answered { .. } | BotEvent::Unanswered { .. } | BotEvent::Event { .. } => {
                return;
            }
        };
        record.places[self.number] = place;
    }
}

fn request((event, data): &(String, Value)) -> Request {
    (event.clone().into(), data.clone())
}
