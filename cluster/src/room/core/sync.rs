//! What pages show of the room: its state, the same for all, and each player's snapshot. Both are
//! encoded, compared with what was sent last, and sent whole if they differ.

use std::rc::Rc;

use serde_json::value::{RawValue, to_raw_value};
use tokio::time::Instant;
use tracing::error;

use crate::process::FromRoom;
use crate::room::Room;
use crate::room::core::Core;
use crate::socketio::{ConnId, Encoded, encode};

/// The latest state, as the event `room_state { version, state }`.
#[derive(Default)]
pub(super) struct SentState {
    /// Raised whenever the state has changed; 0 before there is one.
    version: u64,
    json: Option<Box<RawValue>>,
    event: Option<Rc<Encoded>>,
}

impl<R: Room> Core<R> {
    /// Sends the state and the listing, if they may have changed and it is time.
    pub(super) fn send_changes(&mut self, now: Instant) {
        if !self.is_ending() && self.room.sync.take(now) {
            self.sync();
        }
        if self.announcements.due.take(now) {
            self.send_all_announcements();
        }
        if self.room.listing_changed.take(now) {
            let listing = self.room.listing.borrow().clone();
            self.frame(FromRoom::Listed(listing));
        }
    }

    /// Sends everyone what has changed.
    pub(super) fn sync(&mut self) {
        self.refresh_state();
        for to in self.room.recipients(None) {
            self.send_state(to);
        }
        // What `state` and `snapshot` have queued, but for a sync, which would never end.
        self.room.sync.marked.set(false);
        self.resolve_outbox();
    }

    /// Encodes the state. If it has changed, its version is raised.
    pub(super) fn refresh_state(&mut self) {
        let Some(state) = self.invoke("state", |game, room| game.state(room)).flatten() else {
            return;
        };
        match to_raw_value(&state) {
            Err(error) => error!(%error, "the state cannot be encoded as JSON"),
            Ok(json) if self.state.json.as_ref().is_some_and(|last| last.get() == json.get()) => {}
            Ok(json) => {
                let version = self.state.version + 1;
                let text = format!(r#"{{"version":{version},"state":{json}}}"#);
                let data = RawValue::from_string(text).expect("valid JSON");
                let event = Encoded::Json { name: "room_state".to_owned(), data };
                self.state = SentState { version, json: Some(json), event: Some(Rc::new(event)) };
            }
        }
    }

    /// Sends a player's page the latest state and their snapshot, unless it has them.
    pub(super) fn send_state(&mut self, to: ConnId) {
        let Some(seat) = self.room.seats.get_mut().by_conn(to) else { return };
        let player = seat.player.clone();
        if seat.sent.version != self.state.version
            && let Some(event) = self.state.event.clone()
        {
            seat.sent.version = self.state.version;
            self.emit_to(to, event, false);
        }
        let event = self.invoke("snapshot", |game, room| game.snapshot(room, &player)).flatten();
        if let Some(event) = event.as_ref().and_then(encode).map(Rc::new)
            && let Some(seat) = self.room.seats.get_mut().by_conn(to)
            && seat.sent.snapshot.as_ref().is_none_or(|last| last.as_json() != event.as_json())
        {
            seat.sent.snapshot = Some(event.clone());
            self.emit_to(to, event, false);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::room::RoomContext;
    use crate::testing::TestRoom;
    use crate::types::{Answer, Player, Refusal, ok};

    use super::*;

    crate::messages! {
        enum Ask { Press }
        struct Presses(u32);
    }

    /// Sends its players away at the third press.
    struct Button(u32);

    impl Room for Button {
        crate::room_types! {
            type Request = Ask;
            type State = Presses;
        }

        async fn on_open(_: (), _: &RoomContext<Self>) -> Result<Self, Refusal> {
            Ok(Button(0))
        }

        fn state(&self, _: &RoomContext<Self>) -> Option<Presses> {
            Some(Presses(self.0))
        }

        fn on_request(&mut self, room: &RoomContext<Self>, _: &Player, _: Ask) -> Answer {
            self.0 += 1;
            room.sync();
            if self.0 == 3 {
                room.players().iter().for_each(|player| room.send_to_lobby(player, "You won."));
            }
            ok()
        }
    }

    #[test]
    fn players_who_are_sent_away_have_seen_the_last_state() {
        let mut room = TestRoom::<Button>::open((), 2, 7).unwrap();
        let (ann, bob) = (room.join("Ann").unwrap(), room.join("Bob").unwrap());
        for _ in 0..3 {
            room.emit(&ann, "press", json!({})).unwrap();
        }
        for player in [&ann, &bob] {
            assert_eq!(room.state(player), Some(&json!(3)));
            assert_eq!(room.sent(player).last().unwrap().event, "reroute");
        }
    }
}
