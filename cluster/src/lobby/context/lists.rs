//! The lists that pages watch: the public rooms, and where players are.
//!
//! Sending the whole list to every watcher after each change costs entries × watchers, all at once,
//! while other events wait. Here a page gets the whole list when it begins to watch, and then only
//! changes. A change is serialized once and sent to a part of the watchers at a time.

use std::cell::{RefCell, RefMut};
use std::collections::BTreeMap;
use std::iter;
use std::mem::take;
use std::time::Duration;

use serde_json::{Value, json};

use crate::lobby::{Lobby, LobbyContext};
use crate::socketio::{Conn, ConnId, Encoded};
use crate::types::{Answer, PlayerId, RoomId, ok};

/// How often those who watch a list are sent what has changed.
pub(crate) const LISTS_PERIOD: Duration = Duration::from_millis(100);
/// A change is sent in at most four parts, so that other events are handled in between.
const PARTS: usize = 4;
/// Fewer watchers than this are not worth a pause.
const MIN_PART: usize = 16;
/// The pause between two parts. All pauses together are shorter than [`LISTS_PERIOD`].
const PAUSE: Duration = Duration::from_millis(20);
/// The events that carry a [`List`]: whole, and what has changed.
const EVENTS: [(&str, &str); 2] = [("rooms", "rooms_changed"), ("players", "players_changed")];

#[derive(Clone, Copy)]
pub(crate) enum List {
    Rooms,
    Players,
}

/// Those who watch a list.
#[derive(Default)]
pub(crate) struct Feed {
    watchers: BTreeMap<ConnId, Conn>,
    /// Those who are still to be sent the latest change. Others, who came since, have a newer list.
    waiting: BTreeMap<ConnId, Conn>,
}

/// One for each [`List`].
pub(crate) type Lists = [RefCell<Feed>; 2];

impl<L: Lobby> LobbyContext<L> {
    /// Sends a list, and from now on what changes in it. Those who watch it already have it.
    pub(crate) fn watch(&self, list: List, conn: &Conn) -> Answer {
        if self.feed(list).watchers.insert(conn.id, conn.clone()).is_some() {
            return ok();
        }
        let ids: Vec<_> = match list {
            List::Rooms => self.rooms.borrow().ids().into_iter().map(|id| id.0).collect(),
            List::Players => self.known_players().into_iter().map(|id| id.0).collect(),
        };
        let entries: Value = ids.iter().filter_map(|id| self.entry(list, id)).collect();
        conn.tell(EVENTS[list as usize].0, &entries);
        ok()
    }

    pub(crate) fn unwatch(&self, list: List, conn: ConnId) -> Answer {
        let mut feed = self.feed(list);
        feed.watchers.remove(&conn);
        feed.waiting.remove(&conn);
        ok()
    }

    /// Begins to send what has changed in a list since this was called last. Changes wait while
    /// those before them are still being sent.
    pub(crate) fn publish(&self, list: List) {
        let mut feed = self.feed(list);
        if !feed.waiting.is_empty() {
            return;
        }
        let touched = match list {
            List::Rooms => take(&mut self.rooms.borrow_mut().touched_rooms),
            List::Players => {
                let mut touched = take(&mut self.rooms.borrow_mut().touched_players);
                touched.append(&mut self.sessions.borrow_mut().touched);
                touched
            }
        };
        if touched.is_empty() || feed.watchers.is_empty() {
            return;
        }
        let change: Value = touched.iter().map(|id| (&**id, self.entry(list, id))).collect();
        feed.waiting = feed.watchers.clone();
        drop(feed);
        self.send_change(list, Encoded::own(EVENTS[list as usize].1, &change));
    }

    /// Sends a change to some who wait for it, and to the others after a pause.
    fn send_change(&self, list: List, change: Encoded) {
        let mut feed = self.feed(list);
        let part = feed.watchers.len().div_ceil(PARTS).max(MIN_PART);
        for (_, conn) in iter::from_fn(|| feed.waiting.pop_first()).take(part) {
            conn.emit(&change);
        }
        if !feed.waiting.is_empty() {
            self.scheduler.after(PAUSE, move |_, context| context.send_change(list, change));
        }
    }

    /// An entry as pages see it; `None` if it is not in the list.
    fn entry(&self, list: List, id: &str) -> Option<Value> {
        match list {
            List::Rooms => {
                let room = self.rooms.borrow().find(&RoomId(id.to_owned()));
                room.filter(|room| room.code.is_none()).map(|room| json!(room))
            }
            List::Players => self.listed_player(&PlayerId(id.to_owned())),
        }
    }

    fn feed(&self, list: List) -> RefMut<'_, Feed> {
        self.lists[list as usize].borrow_mut()
    }
}
