//! A bot's script: it plays by the plan, and counts what happens.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use super::figures::{Figures, Time};
use super::{Plan, View};
use crate::testing::{BotEvent, Disconnect, Payload, Request, Script};

pub(super) struct Player {
    plan: Plan,
    figures: Arc<Mutex<Figures>>,
    view: View,
    place: Place,
    has_lost: bool,
    /// When the last tick came.
    ticked: Option<Instant>,
}

#[derive(Debug, PartialEq, Eq)]
enum Place {
    OnTheWay { to: Option<String> },
    Lobby,
    Room(String),
}

impl Player {
    pub fn new(plan: &Plan, figures: &Arc<Mutex<Figures>>) -> Player {
        let (plan, figures) = (plan.clone(), figures.clone());
        let place = Place::OnTheWay { to: None };
        Player { plan, figures, view: View::default(), place, has_lost: false, ticked: None }
    }

    fn is_at(&mut self, figures: &mut Figures, place: Place) {
        match &self.place {
            Place::Lobby => figures.in_lobby -= 1,
            Place::Room(room) => {
                if let Some(players) = figures.rooms.get_mut(room) {
                    *players -= 1;
                }
                figures.rooms.retain(|_, players| *players > 0);
            }
            Place::OnTheWay { .. } => {}
        }
        match &place {
            Place::Lobby => figures.in_lobby += 1,
            Place::Room(room) => *figures.rooms.entry(room.clone()).or_default() += 1,
            Place::OnTheWay { .. } => {}
        }
        self.place = place;
    }

    /// Whether requests are the ones of the plan, and not the one for a room.
    fn plays(&self) -> bool {
        matches!(self.place, Place::Room(_)) || self.plan.enter.is_none()
    }

    fn heard(&mut self, figures: &mut Figures, name: &str, data: &Payload) {
        figures.deliveries += 1;
        figures.bytes += data.text().len() as u64;
        self.view.heard(name, data);
        let Some((_, interval)) = self.plan.ticks.filter(|(event, _)| *event == name) else {
            return;
        };
        let now = Instant::now();
        if let Some(before) = self.ticked.replace(now) {
            figures.record_tick((now - before).abs_diff(interval), interval);
        }
    }

    fn lost(&mut self, figures: &mut Figures, how: &Disconnect) {
        self.has_lost = true;
        match how {
            Disconnect::Sent => figures.sent_back += 1,
            Disconnect::Vanished => figures.drops += 1,
            Disconnect::Lost(why) => figures.error(format!("lost: {why}")),
            Disconnect::Quit => {}
        }
        self.is_at(figures, Place::OnTheWay { to: None });
    }
}

impl Script for Player {
    fn enter(&self) -> Option<Request> {
        self.plan.enter.clone()
    }

    fn interval(&self) -> Duration {
        self.plan.interval
    }

    fn say(&mut self, _in_room: bool) -> Vec<Request> {
        if !self.plays() {
            return vec![];
        }
        let said = (self.plan.say)(&self.view);
        said.map(|(event, data)| (event.into(), data)).into_iter().collect()
    }

    fn on_event(&mut self, event: BotEvent<'_>) {
        let figures = self.figures.clone();
        let mut figures = figures.lock().expect("nobody panics while holding this");
        match event {
            BotEvent::InLobby { took, you, .. } => {
                figures.record(Time::Connect, took);
                self.view.you = you.clone();
                self.is_at(&mut figures, Place::Lobby);
            }
            BotEvent::TokenRefused(why) => figures.error(format!("token: {}", why["code"])),
            BotEvent::Rerouted { room, took } => {
                if let Some(took) = took {
                    figures.record(Time::Reroute, took);
                }
                self.view.last.clear();
                self.ticked = None;
                self.is_at(&mut figures, Place::OnTheWay { to: Some(room.to_owned()) });
            }
            BotEvent::Joined { took } => {
                figures.record(Time::Join, took);
                figures.returns += u64::from(std::mem::take(&mut self.has_lost));
                if let Place::OnTheWay { to: Some(room) } = &self.place {
                    let room = Place::Room(room.clone());
                    self.is_at(&mut figures, room);
                }
            }
            BotEvent::Event { name, data } => self.heard(&mut figures, name, data),
            BotEvent::Answered { event, took, refusal } => {
                if self.plays() {
                    figures.requests += 1;
                    figures.record(Time::RoundTrip, took);
                }
                if let Some(code) = refusal {
                    figures.error(format!("{event}: {code}"));
                }
            }
            BotEvent::Unanswered { event, waited } => {
                if self.plays() {
                    figures.requests += 1;
                    figures.record(Time::RoundTrip, waited);
                }
                figures.error(format!("{event}: unanswered"));
            }
            BotEvent::Refused { event, code } => figures.error(format!("{event}: {code}")),
            BotEvent::Lost { how } => self.lost(&mut figures, how),
            BotEvent::Gone => {
                self.is_at(&mut figures, Place::OnTheWay { to: None });
                figures.gone += 1;
            }
        }
    }
}
