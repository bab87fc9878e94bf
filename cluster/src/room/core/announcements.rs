//! Tells pages what changes about the players of the room. A thousand players who join would be
//! told of each other in a million events. So the larger the room, the more changes share one
//! event. Announcements come before any later event to the same page. Answers, and the last event
//! of a page that leaves, do not wait for them.

use std::mem::replace;
use std::rc::Rc;
use std::time::Duration;

use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use crate::room::core::Core;
use crate::room::{Output, Room};
use crate::runtime::Throttle;
use crate::socketio::{ConnId, Encoded};

/// The time between two announcements is this, times the number of pages. Sending to one page takes
/// about 10 µs, so announcements take at most 2 % of a processor: 5 ms apart in a room of 10, half
/// a second in one of 1,000. If the room sends something else earlier, they go out with that.
const PERIOD_PER_PAGE: Duration = Duration::from_micros(500);

pub(super) struct Announcements {
    pub due: Throttle,
    period_per_page: Duration,
    /// Announced, but not yet sent to every page.
    pending: Vec<(&'static str, Box<RawValue>)>,
    /// How many were announced before the pending ones.
    before: u64,
    /// The event made last, and the numbers after which it begins and with which it ends.
    event: Option<(u64, u64, Rc<Encoded>)>,
}

impl Announcements {
    /// `is_test`: the period is zero, so changes are announced at once.
    pub fn new(is_test: bool) -> Self {
        let period_per_page = if is_test { Duration::ZERO } else { PERIOD_PER_PAGE };
        let due = Throttle::new(period_per_page);
        Announcements { due, period_per_page, pending: Vec::new(), before: 0, event: None }
    }

    /// The number of the last one.
    pub fn last(&self) -> u64 {
        self.before + self.pending.len() as u64
    }

    /// All after this number, as one event.
    fn event(&mut self, after: u64) -> Option<Rc<Encoded>> {
        let (after, last) = (after.max(self.before), self.last());
        if let Some((from, to, event)) = &self.event
            && (*from, *to) == (after, last)
        {
            return Some(event.clone());
        }
        let event = match &self.pending[(after - self.before) as usize..] {
            [] => return None,
            [(name, data)] => Encoded::own(name, data),
            several => Encoded::own("announcements", &several),
        };
        let event = Rc::new(event);
        self.event = Some((after, last, event.clone()));
        Some(event)
    }
}

impl<R: Room> Core<R> {
    /// Announces something about a player, unless the room announces nobody or ends.
    pub(super) fn announce(&mut self, name: &'static str, data: &Value) {
        if self.room.announces.get() && !self.is_ending() {
            let data = to_raw_value(data).expect("JSON");
            let Announcements { due, period_per_page, pending, .. } = &mut self.announcements;
            pending.push((name, data));
            due.period.set(*period_per_page * self.room.seats.get_mut().by_conn.len() as u32);
            due.marked.set(true);
        }
    }

    /// Sends an event to a page, after what was announced before it.
    pub(super) fn emit_to(&mut self, to: ConnId, event: Rc<Encoded>, volatile: bool) {
        self.send_announcements(to);
        self.output.push_back(Output::Emit { to, event, volatile });
    }

    /// Sends every page the announcements that it has not been sent.
    pub(super) fn send_all_announcements(&mut self) {
        for to in self.room.recipients(None) {
            self.send_announcements(to);
        }
        self.announcements.before = self.announcements.last();
        self.announcements.pending.clear();
        self.announcements.event = None;
    }

    fn send_announcements(&mut self, to: ConnId) {
        let last = self.announcements.last();
        if !self.announcements.pending.is_empty()
            && let Some(seat) = self.room.seats.get_mut().by_conn(to)
            && let Some(event) =
                self.announcements.event(replace(&mut seat.sent.announcement, last))
        {
            self.output.push_back(Output::Emit { to, event, volatile: false });
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::test_room::core::{Event, Game, ann, core, reserve};
    use crate::types::PlayerId;

    /// Player `n` joins, over connection `n`.
    fn join(core: &mut Core<Game>, n: u64) {
        let mut player = ann();
        player.id = PlayerId(n.to_string());
        reserve(core, n, &n.to_string(), &player);
        core.connected(n, &player.id);
    }

    /// The events that this connection is sent, with the ids of players that they are about.
    fn sent(core: &mut Core<Game>, conn: u64) -> Vec<String> {
        let output = std::iter::from_fn(|| core.pop_output()).filter_map(|output| match output {
            Output::Emit { to, event, .. } if to == conn => Some(event),
            _ => None,
        });
        let id = |data: &Value| data["player"]["id"].as_str().unwrap_or_default().to_owned();
        let describe = |event: Rc<Encoded>| match &*event {
            Encoded::Json { name, data } => {
                let data = serde_json::from_str::<Value>(data.get()).unwrap();
                let several = data.as_array().into_iter().flatten();
                let ids: Vec<_> = several.map(|event| id(&event[1])).chain([id(&data)]).collect();
                format!("{name} {}", ids.join(" ")).trim().to_owned()
            }
            Encoded::Binary(_) => unreachable!(),
        };
        output.map(describe).collect()
    }

    #[test]
    fn many_joins_are_one_event_and_later_players_hear_only_of_what_follows() {
        let told = |conn| {
            let (mut core, _) = core(100);
            (1..=5).for_each(|n| join(&mut core, n));
            core.advance(core.now());
            sent(&mut core, conn)
        };
        assert_eq!(told(1), ["joined", "announcements 2 3 4 5"]);
        assert_eq!(told(4), ["joined", "player_joined 5"]);
        assert_eq!(told(5), ["joined"]);
    }

    #[test]
    fn in_a_larger_room_more_changes_share_an_event() {
        let (mut core, _) = core(1_000);
        let start = core.now();
        (1..=100).for_each(|n| join(&mut core, n));
        core.advance(start);
        sent(&mut core, 1);
        for n in 101..=103 {
            join(&mut core, n);
            core.advance(start + Duration::from_millis(n - 60));
        }
        let due = start + 103 * PERIOD_PER_PAGE;
        assert_eq!((sent(&mut core, 1).len(), core.deadline()), (0, Some(due)));
        core.advance(due);
        assert_eq!(sent(&mut core, 1), ["announcements 101 102 103"]);
        join(&mut core, 104);
        core.advance(due + Duration::from_secs(1));
        assert_eq!(sent(&mut core, 1), ["player_joined 104"], "at once after a while");
    }

    #[test]
    fn what_a_hook_sends_comes_after_what_was_announced_before_it() {
        let (mut core, _) = core(100);
        let start = core.now();
        join(&mut core, 1);
        core.advance(start);
        join(&mut core, 2);
        core.advance(start);
        core.hook("a hook", |_, room| room.broadcast(Event::Hello));
        core.advance(start + Duration::from_secs(1));
        assert_eq!(sent(&mut core, 1), ["joined", "player_joined 2", "hello"]);
    }

    #[test]
    fn a_room_that_announces_nobody_tells_each_player_only_of_themselves() {
        let (mut core, _) = core(100);
        core.room.announce_players(false);
        let start = core.now();
        (1..=3).for_each(|n| join(&mut core, n));
        core.disconnected(3, false);
        core.set_profile(1, json!(null));
        core.advance(start + Duration::from_secs(1));
        assert_eq!(core.room.players().len(), 2);
        assert_eq!(sent(&mut core, 1), ["joined", "player_changed 1"]);
    }
}
