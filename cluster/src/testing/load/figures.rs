//! What is counted.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};
use tokio::time::Instant;

/// What takes time.
#[derive(Debug, Clone, Copy)]
pub(super) enum Time {
    /// From the intended connect to `welcome`.
    Connect,
    /// From the request for a room to `reroute`.
    Reroute,
    /// From `reroute` to `joined`.
    Join,
    /// From the intended request to its answer.
    RoundTrip,
    /// How much later or earlier than it should a tick comes.
    TickJitter,
}

impl Time {
    pub const ALL: [Time; 5] =
        [Time::Connect, Time::Reroute, Time::Join, Time::RoundTrip, Time::TickJitter];

    pub fn name(self) -> &'static str {
        ["connect", "reroute", "join", "round_trip", "tick_jitter"][self as usize]
    }
}

/// All bots share it.
pub(super) struct Figures {
    pub start: Instant,
    /// In microseconds.
    times: [Histogram<u64>; 5],
    pub errors: BTreeMap<String, u64>,
    /// Players by room, without empty rooms.
    pub rooms: HashMap<String, usize>,
    pub in_lobby: usize,
    pub gone: usize,
    /// Events that players have received.
    pub deliveries: u64,
    pub bytes: u64,
    /// Requests of players in rooms, answered or not.
    pub requests: u64,
    /// Connections that were dropped on purpose, and players who are back in a room after a loss.
    pub drops: u64,
    pub returns: u64,
    /// How often rooms have sent a player to the lobby.
    pub sent_back: u64,
}

impl Figures {
    pub fn new() -> Figures {
        // Up to an hour, with three digits.
        let empty = || Histogram::new_with_bounds(1, 3_600_000_000, 3).expect("good bounds");
        Figures {
            start: Instant::now(),
            times: Time::ALL.map(|_| empty()),
            errors: BTreeMap::new(),
            rooms: HashMap::new(),
            in_lobby: 0,
            gone: 0,
            deliveries: 0,
            bytes: 0,
            requests: 0,
            drops: 0,
            returns: 0,
            sent_back: 0,
        }
    }

    pub fn record(&mut self, time: Time, took: Duration) {
        self.times[time as usize].saturating_record(micros(took));
    }

    /// The same for ticks: those that should have come within this time, and did not, count, too.
    pub fn record_tick(&mut self, late: Duration, interval: Duration) {
        let histogram = &mut self.times[Time::TickJitter as usize];
        let (late, interval) = (micros(late), micros(interval));
        histogram.saturating_record(late);
        let missing = (1..).map_while(|n| late.checked_sub(n * interval));
        missing.filter(|late| *late > 0).for_each(|late| histogram.saturating_record(late));
    }

    pub fn error(&mut self, what: String) {
        *self.errors.entry(what).or_default() += 1;
    }

    pub fn in_rooms(&self) -> usize {
        self.rooms.values().sum()
    }

    /// One of the percentiles so far in ms, if anything was measured.
    pub fn percentile(&self, time: Time, percent: f64) -> Option<f64> {
        let histogram = &self.times[time as usize];
        (!histogram.is_empty()).then(|| histogram.value_at_quantile(percent / 100.0) as f64 / 1e3)
    }

    pub fn times(&self, time: Time) -> Value {
        let histogram = &self.times[time as usize];
        let is_empty = histogram.is_empty();
        let at = |percent| self.percentile(time, percent);
        json!({
            "count": histogram.len(),
            "mean": (!is_empty).then(|| (histogram.mean()).round() / 1e3),
            "p50": at(50.0),
            "p90": at(90.0),
            "p99": at(99.0),
            "p99.9": at(99.9),
            "max": (!is_empty).then(|| histogram.max() as f64 / 1e3),
        })
    }
}

fn micros(time: Duration) -> u64 {
    time.as_micros().try_into().unwrap_or(u64::MAX)
}
