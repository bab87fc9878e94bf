//! Where players are, and their profiles.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::auth;
use crate::lobby::{Lobby, LobbyContext};
use crate::rooms::SeatPlace;
use crate::types::{AnyPlayer, MAX_PROFILE, Player, PlayerId, Refusal, RoomId, encode_data};

/// Where a player is; [`LobbyContext::find`] tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In the lobby. A room may keep a seat for them: [`LobbyContext::seat_of`].
    Lobby,
    /// On the way to this room.
    OnTheWay(RoomId),
    /// In this room, connected.
    Room(RoomId),
    /// They lost their connection.
    Away {
        /// The room that keeps their seat.
        room: RoomId,
        /// For how long it still keeps it.
        left: Duration,
    },
}

impl Place {
    /// As pages see it: its name, and a room.
    pub(crate) fn shown(self) -> (&'static str, Option<RoomId>) {
        match self {
            Place::Lobby => ("lobby", None),
            Place::OnTheWay(room) => ("on_the_way", Some(room)),
            Place::Room(room) => ("room", Some(room)),
            Place::Away { room, .. } => ("away", Some(room)),
        }
    }
}

impl<L: Lobby> LobbyContext<L> {
    /// Where a player is; `None` if they are not in the lobby and have no seat in a room.
    ///
    /// ```
    /// # use cluster::{Answer, Lobby, LobbyContext, Place, Player, PlayerId, refuse};
    /// # fn hook<L>(lobby: &LobbyContext<L>, from: &Player, friend: &PlayerId) -> Answer
    /// # where L: Lobby<Profile = ()> {
    /// match lobby.find(friend) {
    ///     Some(Place::Room(room)) => lobby.join(from, &room),
    ///     _ => Err(refuse("not_playing", "Your friend is not in a room.")),
    /// }
    /// # }
    /// ```
    ///
    /// ```
    /// # use cluster::{Lobby, LobbyContext, Place, Player};
    /// # fn hook<L: Lobby>(lobby: &LobbyContext<L>, friend: &Player<L::Profile>) {
    /// if let Some(Place::Room(room)) = lobby.find(friend) {
    ///     println!("{} is in room {room}", friend.name);
    /// }
    /// # }
    /// ```
    pub fn find(&self, player: impl AsRef<PlayerId>) -> Option<Place> {
        let id = player.as_ref();
        let in_lobby = self.sessions.borrow().newest_conn_of(id).is_some();
        let mut place = in_lobby.then_some(Place::Lobby);
        for (room, seat) in self.rooms.borrow().places_of(id) {
            match seat {
                SeatPlace::Connected => return Some(Place::Room(room)),
                SeatPlace::Expected => place = Some(Place::OnTheWay(room)),
                SeatPlace::Away { until } => {
                    let left = until.saturating_duration_since(self.scheduler.now.get());
                    place = place.or(Some(Place::Away { room, left }));
                }
            }
        }
        place
    }

    /// The player with this id; `None` if they are in the lobby or have a seat nowhere.
    ///
    /// ```
    /// # use cluster::{Lobby, LobbyContext, PlayerId};
    /// # fn hook<L: Lobby>(lobby: &LobbyContext<L>, winner: &PlayerId) {
    /// let name = lobby.player(winner).map(|player| player.name);
    /// # }
    /// ```
    pub fn player(&self, id: &PlayerId) -> Option<Player<L::Profile>> {
        self.any_player(id).map(AnyPlayer::typed)
    }

    pub(crate) fn any_player(&self, id: &PlayerId) -> Option<AnyPlayer> {
        let here = self.sessions.borrow().player_of(id).cloned();
        here.or_else(|| self.rooms.borrow().seated_player(id).cloned())
    }

    /// All players who are in the lobby or have a seat in a room, sorted by their id.
    ///
    /// ```
    /// # use cluster::{Lobby, LobbyContext, Place};
    /// # fn hook<L: Lobby>(lobby: &LobbyContext<L>) {
    /// let away = lobby.players().iter().filter(|(_, at)| matches!(at, Place::Away { .. })).count();
    /// # }
    /// ```
    pub fn players(&self) -> Vec<(Player<L::Profile>, Place)> {
        let known = self.known_players().into_iter();
        known.filter_map(|id| Some((self.player(&id)?, self.find(&id)?))).collect()
    }

    /// Those who are somewhere, and perhaps others.
    pub(crate) fn known_players(&self) -> BTreeSet<PlayerId> {
        let (rooms, sessions) = (self.rooms.borrow(), self.sessions.borrow());
        rooms.with_seats().chain(sessions.by_player.keys()).cloned().collect()
    }

    /// Where a player is, as pages see it: the id of a private room is not shown.
    pub(crate) fn listed_player(&self, id: &PlayerId) -> Option<Value> {
        let (place, room) = self.find(id)?.shown();
        let room = room.filter(|room| self.rooms.borrow().is_public(room));
        let AnyPlayer { id, name, profile } = self.any_player(id)?;
        Some(json!({ "id": id, "name": name, "profile": profile, "place": place, "room": room }))
    }

    /// Gives a player another profile, of at most 512 bytes as JSON. Their page is told, and so are
    /// the rooms in which they have a seat, and everyone there. They get a new token: at once, or
    /// when they are in the lobby again.
    ///
    /// The lobby remembers the newest 10,000 changes until it restarts; after that, an old token
    /// brings its old profile back. A profile that is too large is refused with `internal`; the log
    /// says why.
    ///
    /// ```
    /// # cluster::messages! { #[derive(Default)] pub struct Profile { color: String } }
    /// # use cluster::{Lobby, LobbyContext, Player, Refusal};
    /// # fn hook<L>(lobby: &LobbyContext<L>, ann: &Player<Profile>) -> Result<(), Refusal>
    /// # where L: Lobby<Profile = Profile> {
    /// lobby.set_profile(ann, Profile { color: "teal".to_owned() })
    /// # }
    /// ```
    pub fn set_profile(
        &self,
        player: impl AsRef<PlayerId>,
        profile: L::Profile,
    ) -> Result<(), Refusal> {
        let profile = encode_data("a profile", &profile, MAX_PROFILE)?;
        self.store_profile(player.as_ref(), &profile);
        Ok(())
    }

    pub(crate) fn store_profile(&self, player: &PlayerId, profile: &Value) {
        let mut sessions = self.sessions.borrow_mut();
        if let Some((login, conn)) = sessions.set_profile(player, profile) {
            self.tokens.renew(login, auth::now());
            // Before their `welcome`, that brings it.
            if let Some(conn) = conn {
                let changed = json!({ "you": login.player, "token": login.token.take() });
                conn.tell("profile_changed", &changed);
            }
        }
        self.rooms.borrow_mut().set_profile(player, profile);
    }
}
