//! What goes out of a room, and what hooks send to players: events, bytes, and the room's state.

use std::rc::Rc;
use std::time::Duration;

use crate::Bytes;
use crate::process::FromRoom;
use crate::room::{Room, RoomContext};
use crate::socketio::{ConnId, Encoded, encode};
use crate::types::{LeaveReason, PlayerId, encode_data};

/// What goes out of a room, in the order in which hooks and the core queued it.
pub(crate) enum Output {
    /// An event. A volatile one may be dropped if the connection is slow.
    Emit { to: ConnId, event: Rc<Encoded>, volatile: bool },
    /// Closes a connection.
    HangUp(ConnId),
    /// A frame for the lobby.
    Frame(FromRoom),
    /// The player returns to the lobby. Hooks queue this; the core replaces it by what it leads to.
    Leave(PlayerId, LeaveReason),
}

/// The longest listing, in bytes of JSON: everyone who watches the list of rooms gets each.
pub(crate) const MAX_LISTING: usize = 1024;

impl<R: Room> RoomContext<R> {
    /// Sends an event to one player. A player who is away gets the state and their snapshot on
    /// return instead.
    ///
    /// ```
    /// # cluster::messages! { pub enum News { Line(String), Hand(Vec<u8>) } }
    /// # use cluster::{Player, Room, RoomContext};
    /// # fn hook<R: Room<Event = News>>(room: &RoomContext<R>, player: &Player) {
    /// room.send(player, News::Hand(vec![7, 12, 40]));
    /// room.broadcast_except(player, News::Line(format!("{} draws three cards.", player.name)));
    /// # }
    /// ```
    pub fn send(&self, to: impl AsRef<PlayerId>, event: R::Event) {
        self.emit(self.conn_of(to.as_ref()), encode(&event), false);
    }

    /// Sends an event to one player that the next one replaces, such as the part of the map that
    /// only they see; otherwise as [`broadcast_volatile`](Self::broadcast_volatile).
    ///
    /// ```
    /// # cluster::messages! { pub enum News { View(Vec<u8>) } }
    /// # use cluster::{Room, RoomContext};
    /// # fn hook<R: Room<Event = News>>(room: &RoomContext<R>) {
    /// for player in room.players().iter() {
    ///     room.send_volatile(player, News::View(vec![])); // what this player sees
    /// }
    /// # }
    /// ```
    pub fn send_volatile(&self, to: impl AsRef<PlayerId>, event: R::Event) {
        self.emit(self.conn_of(to.as_ref()), encode(&event), true);
    }

    /// Sends an event to these players, such as a team. It is encoded once.
    ///
    /// ```
    /// # cluster::messages! { pub enum News { Flag } }
    /// # use cluster::{Player, Room, RoomContext};
    /// # fn hook<R: Room<Event = News>>(room: &RoomContext<R>, team: &[Player]) {
    /// room.send_to(team, News::Flag);
    /// # }
    /// ```
    pub fn send_to<P: AsRef<PlayerId>>(&self, to: impl IntoIterator<Item = P>, event: R::Event) {
        let conns = to.into_iter().filter_map(|player| self.conn_of(player.as_ref()));
        self.emit(conns, encode(&event), false);
    }

    /// Sends an event to everyone in the room.
    pub fn broadcast(&self, event: R::Event) {
        self.emit(self.recipients(None), encode(&event), false);
    }

    /// Sends an event to everyone but one player.
    pub fn broadcast_except(&self, except: impl AsRef<PlayerId>, event: R::Event) {
        self.emit(self.recipients(Some(except.as_ref())), encode(&event), false);
    }

    /// Sends an event that the next one replaces, such as positions. A slow browser misses some of
    /// these events, and such an event may overtake others.
    pub fn broadcast_volatile(&self, event: R::Event) {
        self.emit(self.recipients(None), encode(&event), true);
    }

    /// Sends bytes to one player, whose page gets the event `binary`.
    pub fn send_binary(&self, to: impl AsRef<PlayerId>, data: impl Into<Bytes>) {
        self.emit(self.conn_of(to.as_ref()), Some(Encoded::Binary(data.into())), false);
    }

    /// Sends bytes to everyone in the room.
    pub fn broadcast_binary(&self, data: impl Into<Bytes>) {
        self.emit(self.recipients(None), Some(Encoded::Binary(data.into())), false);
    }

    /// Sends bytes that the next ones replace, as [`broadcast_volatile`](Self::broadcast_volatile).
    pub fn broadcast_binary_volatile(&self, data: impl Into<Bytes>) {
        self.emit(self.recipients(None), Some(Encoded::Binary(data.into())), true);
    }

    /// Sends [`Room::state`] and each player's [`Room::snapshot`], if they have changed, after the
    /// events of this hook. It takes effect at most 20 times a second, or as often as
    /// [`set_sync_rate`](Self::set_sync_rate) says: further calls wait, and one sync follows for
    /// all of them.
    ///
    /// [`Room`] has an example.
    pub fn sync(&self) {
        self.sync.marked.set(true);
    }

    /// How often [`sync`](Self::sync) takes effect, in times a second; at least 1. Default: 20.
    ///
    /// ```
    /// # use cluster::{Room, RoomContext};
    /// # fn hook<R: Room>(room: &RoomContext<R>) {
    /// room.set_sync_rate(5); // a state that need not be smooth
    /// # }
    /// ```
    pub fn set_sync_rate(&self, hz: u32) {
        self.sync.period.set(Duration::from_secs(1) / hz.max(1));
    }

    /// Changes what the list of rooms shows of this room, such as the score; at most 1 KiB as JSON.
    /// A larger one is logged and not shown. `on_open` may set the first one. The lobby is told of
    /// the latest, if it differs from the last, at most ten times a second; its hooks find it in
    /// [`RoomInfo::listing`](crate::RoomInfo::listing).
    ///
    /// ```
    /// # cluster::messages! { #[derive(Default)] pub struct Score { red: u32, blue: u32 } }
    /// # use cluster::{Room, RoomContext};
    /// # fn hook<R: Room<Listing = Score>>(room: &RoomContext<R>) {
    /// room.set_listing(Score { red: 2, blue: 1 });
    /// # }
    /// ```
    pub fn set_listing(&self, listing: R::Listing) {
        if let Ok(listing) = encode_data("a listing", &listing, MAX_LISTING)
            && self.listing.replace(listing.clone()) != listing
        {
            self.listing_changed.marked.set(true);
        }
    }

    /// The connections of all connected players but one.
    pub(super) fn recipients(&self, except: Option<&PlayerId>) -> Vec<ConnId> {
        let seats = self.seats.borrow();
        let others = seats.iter().filter(|(player, _)| Some(*player) != except);
        others.filter_map(|(_, seat)| seat.conn).collect()
    }

    pub(super) fn conn_of(&self, player: &PlayerId) -> Option<ConnId> {
        self.seats.borrow().get(player)?.conn
    }

    fn emit(&self, to: impl IntoIterator<Item = ConnId>, event: Option<Encoded>, volatile: bool) {
        if let Some(event) = event.map(Rc::new) {
            let emit = |to| Output::Emit { to, event: event.clone(), volatile };
            self.outbox.borrow_mut().extend(to.into_iter().map(emit));
        }
    }
}
