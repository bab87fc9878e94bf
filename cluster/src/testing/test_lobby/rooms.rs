//! What the test does in place of rooms.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::lobby::{Kinds, RoomOf};
use crate::process::{FromRoom, ProcessEvent, Usage};
use crate::room::Room;
use crate::testing::test_lobby::channel::Effect;
use crate::testing::test_lobby::played_room::PlayedRoom;
use crate::testing::{Sent, TestLobby};
use crate::types::{Exit, LeaveReason, Player, PlayerId, Refusal, RoomId, to_raw};

impl<L: Kinds> TestLobby<L> {
    /// The rooms that run, oldest first.
    pub fn rooms(&self) -> Vec<RoomId> {
        self.context.rooms.borrow().ids()
    }

    /// From now on new rooms wait for [`ready`](Self::ready) or
    /// [`refuse_to_open`](Self::refuse_to_open), and those who join wait for them; or not any more.
    /// After `--ready-timeout` the lobby gives up a room that waits.
    pub fn hold_rooms(&mut self, hold: bool) {
        self.hold = hold;
    }

    /// A room that is held is ready: `on_room_ready` follows.
    ///
    /// # Panics
    /// Like the methods below: if there is no such room, or it is ready already.
    pub fn ready(&mut self, room: &RoomId) {
        assert!(!self.any_room(room).is_ready, "room {room} is ready already");
        self.in_room(room, PlayedRoom::ready);
    }

    /// The `on_open` of a room that is held refuses. `on_room_exit` follows.
    pub fn refuse_to_open(&mut self, room: &RoomId, refusal: Refusal) {
        assert!(!self.any_room(room).is_ready, "room {room} is ready already");
        let exit = Exit::NeverReady(refusal.to_string());
        self.in_room(room, |room| {
            room.effects.push_back(Effect::Frame(FromRoom::Failed(refusal)));
            room.effects.push_back(Effect::Exit(exit));
        });
    }

    /// From now on the room's `on_admit` refuses everyone (`Some`) or nobody.
    pub fn refuse_joins(&mut self, room: &RoomId, refusal: impl Into<Option<Refusal>>) {
        self.any_room(room).refusal = refusal.into();
    }

    /// The room sends a message: `on_room_message` follows.
    ///
    /// # Panics
    /// If the room is not ready or of another kind, or the message cannot be serialized.
    pub fn tell_lobby<R: RoomOf<L>>(&mut self, room: &RoomId, message: R::ToLobby) {
        self.check_kind::<R>(room);
        let raw = to_raw(&message).expect("a message of at most 60 KiB that serializes as JSON");
        self.frame(room, FromRoom::Message(raw));
    }

    /// The messages that the lobby has sent to the room since the last call.
    ///
    /// # Panics
    /// If there is no such room of this kind, or it could not parse a message.
    pub fn told<R: RoomOf<L>>(&mut self, room: &RoomId) -> Vec<R::FromLobby> {
        self.check_kind::<R>(room);
        let messages = std::mem::take(&mut self.any_room(room).told).into_iter();
        messages
            .map(|raw| serde_json::from_str(raw.get()).expect("a message that can be parsed"))
            .collect()
    }

    /// The room changes what the list of rooms shows of it.
    pub fn set_listing<R: RoomOf<L>>(&mut self, room: &RoomId, listing: R::Listing) {
        self.check_kind::<R>(room);
        self.frame(room, FromRoom::Listed(serde_json::to_value(listing).expect("a listing")));
    }

    /// What the lobby has passed on with the player's seat in the room, by `join_with` or
    /// `reroute_with`.
    pub fn join_options<R: Room>(
        &mut self,
        room: &RoomId,
        player: &Player<L::Profile>,
    ) -> Option<R::JoinOptions> {
        let options = self.any_room(room).options_of(&player.id)?;
        Some(serde_json::from_value(options.clone()).expect("options that can be parsed"))
    }

    /// The room locks or unlocks itself.
    pub fn lock_room(&mut self, room: &RoomId, locked: bool) {
        self.in_open_room(room, |room| room.lock(locked));
    }

    /// A player leaves the room in which they are, for this reason; their page returns to the
    /// lobby. `on_player_left` and `on_arrive` follow.
    ///
    /// # Panics
    /// Like the next two: if they are in no room.
    pub fn leave(&mut self, player: &Player<L::Profile>, reason: LeaveReason) {
        self.in_room_of(player, |room| {
            if reason == LeaveReason::Left {
                room.tell_way(&player.id, &reason);
            }
            room.leave(&player.id, reason);
        });
    }

    /// A player in a room loses their connection, and their page is gone. The room keeps their seat
    /// for the grace period, within which they may [`connect`](Self::connect); without one they
    /// leave at once.
    pub fn drop_player(&mut self, player: &Player<L::Profile>, grace: impl Into<Option<Duration>>) {
        let grace = grace.into();
        self.in_room_of(player, |room| room.disconnected(&player.id, grace));
    }

    /// A room sends a player who is in it to another room, as by `send_to_room`.
    pub fn send_to_room(&mut self, player: &Player<L::Profile>, to: &RoomId) {
        self.in_room_of(player, |room| room.ask_transfer(&player.id, to.clone()));
    }

    /// The room ends in this way. Its players leave, and their pages return to the lobby.
    /// `on_player_left` for each, `on_room_exit` and `on_arrive` follow.
    pub fn end(&mut self, room: &RoomId, exit: Exit) {
        let (_, reason) = exit.code_and_reason();
        self.in_room(room, |room| room.end(exit, reason));
    }

    /// Whether the lobby has asked the room to close, and with which reason. It does so when nobody
    /// has a seat in it any more, or else when its time is over: `--stop-timeout`, or
    /// `--drain-timeout` if the lobby stops.
    pub fn closing(&mut self, room: &RoomId) -> Option<String> {
        self.any_room(room).draining.as_ref().map(|(_, reason)| reason.clone())
    }

    fn frame(&mut self, room: &RoomId, frame: FromRoom) {
        self.in_open_room(room, |room| room.effects.push_back(Effect::Frame(frame)));
    }

    fn in_room_of(&mut self, player: &Player<L::Profile>, act: impl FnOnce(&mut PlayedRoom)) {
        let room = self.page(&player.id).room.clone();
        let room = room.unwrap_or_else(|| panic!("{} is in no room: see `enter`", player.name));
        self.in_open_room(&room, act);
    }

    fn in_open_room(&mut self, room: &RoomId, act: impl FnOnce(&mut PlayedRoom)) {
        assert!(self.any_room(room).is_ready, "room {room} is not ready: see `ready`");
        self.in_room(room, act);
    }

    /// Events of the cluster in the room.
    fn note_in_room(&mut self, player: &PlayerId, sent: Sent) {
        let page = self.page_mut(player);
        if sent.event == "reroute" {
            page.route = serde_json::from_value(sent.data.clone()).ok();
        }
        page.sent.push(sent);
    }

    /// Lets a room act, and then all that follows.
    pub(super) fn in_room(&mut self, room: &RoomId, act: impl FnOnce(&mut PlayedRoom)) {
        self.act(room, act);
        self.follow();
    }

    fn act(&mut self, id: &RoomId, act: impl FnOnce(&mut PlayedRoom)) {
        let now = self.now;
        let room = self.any_room(id);
        room.now = now;
        act(room);
        let mut gone = false;
        while let Some(effect) = self.rooms.get_mut(id).and_then(|room| room.effects.pop_front()) {
            match effect {
                Effect::Frame(frame) => self.inbox.push_back(frame_of(id, &frame)),
                Effect::Emit(player, sent) => self.note_in_room(&player, sent),
                Effect::HangUp { player, returns } => self.out_of(id, &player, returns),
                Effect::Exit(exit) => {
                    self.inbox.push_back(exited(id, exit));
                    gone = true;
                }
            }
        }
        if gone {
            self.remove(id);
        }
    }

    /// The room's process has ended.
    fn remove(&mut self, id: &RoomId) {
        self.rooms.remove(id);
        let inside = self.pages.iter().filter(|(_, page)| page.room.as_ref() == Some(id));
        for player in inside.map(|(player, _)| player.clone()).collect::<Vec<_>>() {
            self.out_of(id, &player, true);
        }
        for (player, page) in &mut self.pages {
            if page.route.take_if(|route| route.room == *id).is_some() {
                self.returning.push_back(player.clone());
            }
        }
    }

    fn out_of(&mut self, room: &RoomId, player: &PlayerId, returns: bool) {
        let page = self.page_mut(player);
        if page.room.take_if(|current| current == room).is_some() && returns {
            self.returning.push_back(player.clone());
        }
    }

    /// Takes in what the lobby has sent to rooms. Returns `false` if there is nothing.
    pub(super) fn read_channels(&mut self) -> bool {
        for (id, channel) in self.started.take() {
            let room = PlayedRoom::new(id.clone(), channel, &self.context.settings, self.now);
            self.rooms.insert(id, room);
        }
        for room in self.rooms.values_mut() {
            let id = room.id.clone();
            if let Ok(exit) = room.channel.killed.try_recv() {
                self.inbox.push_back(exited(&id, exit));
                self.remove(&id);
                return true;
            }
            if let Ok((line, _)) = room.channel.frames.try_recv() {
                let frame = serde_json::from_str(&line).expect("a frame that parses");
                let hold = self.hold;
                self.act(&id, |room| {
                    let had_opened = room.spec.is_some();
                    room.receive(frame);
                    if !had_opened && !hold {
                        room.ready();
                    }
                });
                return true;
            }
        }
        false
    }

    /// Lets rooms do what is due. Returns `false` if nothing is.
    pub(super) fn expire_in_rooms(&mut self) -> bool {
        let now = self.now;
        let is_due = |room: &&PlayedRoom| room.is_due(now);
        let Some(id) = self.rooms.values().find(is_due).map(|room| room.id.clone()) else {
            return false;
        };
        self.act(&id, PlayedRoom::expire);
        true
    }

    fn check_kind<R: RoomOf<L>>(&mut self, id: &RoomId) {
        let spec = self.any_room(id).spec.as_ref();
        let is = spec.map(|spec| spec.kind.clone()).unwrap_or_default();
        assert_eq!(is, R::NAME, "the kind of room {id}");
    }

    /// The room, ready or not.
    pub(super) fn any_room(&mut self, room: &RoomId) -> &mut PlayedRoom {
        let found = self.rooms.get_mut(room);
        found.unwrap_or_else(|| panic!("there is no room {room}, or it has ended"))
    }
}

fn exited(room: &RoomId, exit: Exit) -> ProcessEvent {
    ProcessEvent::Exited(room.clone(), exit, Usage::default())
}

/// A frame as the lobby reads it: serialized and parsed.
fn frame_of(room: &RoomId, frame: &FromRoom) -> ProcessEvent {
    let line = serde_json::to_string(frame).expect("a frame that serializes as JSON");
    let frame = serde_json::from_str(&line).expect("a frame that parses");
    let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().expect("a permit");
    ProcessEvent::Frame(room.clone(), frame, permit)
}
