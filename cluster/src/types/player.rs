//! Players, and the ids of players and rooms.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::types::{Data, Refusal, encode_data};

/// Identifies a player in all rooms and across connections: the subject of their token. 1 to 256
/// bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(debug_assertions, derive(ts_rs::TS))]
pub struct PlayerId(pub String);

/// Identifies a room, which is one process: a number as text, such as `7`, or `h1-7` on the host
/// `h1`. A lobby never reuses one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(debug_assertions, derive(ts_rs::TS))]
pub struct RoomId(pub String);

impl RoomId {
    /// Its number: later rooms have larger ones.
    pub(crate) fn number(&self) -> Option<u64> {
        self.0.rsplit('-').next()?.parse().ok()
    }
}

impl fmt::Display for PlayerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for RoomId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A registered player. Methods that take `impl AsRef<PlayerId>` take it, or its id.
///
/// `Profile` is the one of the lobby. A project that has one may write
/// `pub type Player = cluster::Player<Profile>;`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(debug_assertions, derive(ts_rs::TS))]
pub struct Player<Profile = ()> {
    /// The same at each connection, for as long as their token is valid.
    pub id: PlayerId,
    /// Their name, as `on_register` returned it. Show it as text, never as HTML.
    pub name: String,
    /// What `on_register` or `set_profile` added.
    #[serde(default)]
    pub profile: Profile,
}

/// The longest profile, in bytes of JSON: the token with it fits into a cookie, and a party of 32
/// into one frame of 64 KiB.
pub(crate) const MAX_PROFILE: usize = 512;

/// A player of any lobby, whose profile is JSON.
pub(crate) type AnyPlayer = Player<Value>;

impl AnyPlayer {
    /// The player with a typed profile. One that does not parse was written by an earlier build: it
    /// is replaced by the default.
    pub(crate) fn typed<P: Data>(self) -> Player<P> {
        let profile = serde_json::from_value(self.profile).unwrap_or_default();
        Player { id: self.id, name: self.name, profile }
    }
}

impl<P: Data> Player<P> {
    /// The player with the profile as JSON. Refuses one that is too large or no JSON with
    /// `internal`; the log says why.
    pub(crate) fn erased(&self) -> Result<AnyPlayer, Refusal> {
        let profile = encode_data("a profile", &self.profile, MAX_PROFILE)?;
        Ok(Player { id: self.id.clone(), name: self.name.clone(), profile })
    }
}

impl AsRef<PlayerId> for PlayerId {
    fn as_ref(&self) -> &PlayerId {
        self
    }
}

impl<P> AsRef<PlayerId> for Player<P> {
    fn as_ref(&self) -> &PlayerId {
        &self.id
    }
}

/// A single player is a party of one.
impl<P> AsRef<[Player<P>]> for Player<P> {
    fn as_ref(&self) -> &[Player<P>] {
        std::slice::from_ref(self)
    }
}

/// A room, its Socket.IO path, and the ticket to join it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Route {
    pub room: RoomId,
    /// The origin of its host; empty: that of the lobby.
    pub url: String,
    pub path: String,
    pub ticket: String,
}

/// The Socket.IO path of a room of the lobby at this path.
pub(crate) fn path_of(lobby: &str, room: &RoomId) -> String {
    format!("{lobby}/rooms/{room}/socket.io")
}
