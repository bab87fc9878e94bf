//! What the lobby's hooks see of a room.

use serde::Serialize;

use crate::process::Usage;
use crate::room::Room;
use crate::rooms::AnyRoom;
use crate::types::{PlayerId, RoomId};

/// What the lobby knows about a room of the kind `R`, at the time of the call. The list of rooms
/// has the same fields, without the code and the usage.
#[derive(Serialize)]
#[serde(bound = "")]
pub struct RoomInfo<R: Room> {
    /// Its id.
    #[serde(rename = "room")]
    pub id: RoomId,
    /// Its kind: its name in [`kinds!`](crate::kinds).
    pub kind: &'static str,
    /// What it was created with.
    pub options: R::Options,
    /// What it shows of itself in the list, set with
    /// [`RoomContext::set_listing`](crate::RoomContext::set_listing); at first the default.
    pub listing: R::Listing,
    /// The player for whom it was created; `None` if the lobby created it by itself. They may have
    /// left.
    pub host: Option<PlayerId>,
    /// The code with which players join a private room, such as `BCDFG-HJKLM`; `None`: it is
    /// public.
    #[serde(skip)]
    pub code: Option<String>,
    /// Seats taken: by players in the room, disconnected within their grace period, or on the way.
    pub players: usize,
    /// All seats, taken or not.
    pub capacity: usize,
    /// Accepts no more players: the lobby or the room has locked it, or it is ending.
    pub locked: bool,
    /// Processor time and memory of its process. Pages do not get it.
    #[serde(skip)]
    pub usage: Usage,
}

impl AnyRoom {
    /// The same as a room of its kind, which has this name. A listing that does not parse counts as
    /// the default: it comes from the room.
    pub(crate) fn typed<R: Room>(self, kind: &'static str) -> RoomInfo<R> {
        let AnyRoom { id, options, listing, host, code, players, capacity, locked, usage, .. } =
            self;
        let options = serde_json::from_value(options).expect("checked at the creation");
        let listing = serde_json::from_value(listing).unwrap_or_default();
        RoomInfo { id, kind, options, listing, host, code, players, capacity, locked, usage }
    }
}
