//! What the event loop knows for the metrics.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::hosts::HostFigures;
use crate::lobby::{Lobby, LobbyContext};
use crate::process::Usage;
use crate::rooms::counts::RoomFigures;
use crate::runtime::clock;
use crate::types::PlayerId;

/// How often the processor time and the memory of rooms are read.
pub(crate) const USAGE_PERIOD: Duration = Duration::from_secs(5);

pub(crate) struct Figures {
    pub rooms: RoomFigures,
    /// By place.
    pub players: BTreeMap<&'static str, u64>,
    /// How late a timer was at most, since this was asked last.
    pub lag: Duration,
    pub hosts: Option<Vec<HostFigures>>,
}

impl<L: Lobby> LobbyContext<L> {
    pub(crate) fn figures(&self) -> Figures {
        let names = ["lobby", "on_the_way", "room", "away"];
        let mut players = BTreeMap::from(names.map(|name| (name, 0)));
        for place in self.known_players().iter().filter_map(|id| self.find(id)) {
            *players.entry(place.shown().0).or_default() += 1;
        }
        let (rooms, lag) = (self.rooms.borrow().figures(), self.scheduler.lag.take());
        Figures { rooms, players, lag, hosts: self.host_figures() }
    }

    /// `None`: rooms run on this machine.
    fn host_figures(&self) -> Option<Vec<HostFigures>> {
        self.hosts.as_ref().map(|hosts| hosts.figures())
    }

    /// For the admin page.
    pub(crate) fn overview(&self) -> Value {
        let player = |id: &PlayerId| {
            let (place, room) = self.find(id)?.shown();
            let name = self.any_player(id)?.name;
            Some(json!({ "id": id, "name": name, "place": place, "room": room }))
        };
        let rooms = self.rooms.borrow();
        let left = rooms.closes_at.map(|at| at.saturating_duration_since(clock::now()));
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "draining_s": left.map(|left| left.as_secs()),
            "lag_ms": self.scheduler.lag.get().as_millis() as u64,
            "hosts": self.host_figures(),
            "rooms": rooms.overview(),
            "players": self.known_players().iter().filter_map(player).collect::<Vec<_>>(),
        })
    }

    /// Reads what the rooms use, on another thread.
    pub(crate) fn measure_rooms(&self) {
        self.rooms.borrow_mut().update_remote_usage();
        let rooms = self.rooms.borrow().processes();
        if rooms.is_empty() {
            return;
        }
        let read = tokio::spawn(async move {
            let usage = |(room, process)| Some((room, Usage::of(process)?));
            rooms.into_iter().filter_map(usage).collect::<Vec<_>>()
        });
        self.scheduler.spawn(read, |_, context, read| {
            let mut rooms = context.rooms.borrow_mut();
            read.unwrap_or_default().iter().for_each(|(room, usage)| rooms.set_usage(room, *usage));
        });
    }
}
