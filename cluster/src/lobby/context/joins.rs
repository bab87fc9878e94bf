//! How hooks of the lobby send players to rooms.

use std::future::ready;

use serde_json::{Value, json};
use tokio::sync::oneshot;
use tracing::error;

use crate::lobby::{Lobby, LobbyContext, RoomOf};
use crate::socketio::refused;
use crate::types::{
    Answer, AnyPlayer, Player, PlayerId, Refusal, Reply, RoomId, deferred, encode_data, reply,
};

/// The join options of a party, in bytes of JSON: they fit into one frame of 64 KiB with 32
/// players.
const MAX_JOIN_OPTIONS: usize = 8 * 1024;

/// Players who join together, and what each brings along.
type Party = Vec<(AnyPlayer, Option<Value>)>;

impl<L: Lobby> LobbyContext<L> {
    /// Reserves a seat for a player, or one for each of a party, and reroutes them to the room.
    /// They may be in the lobby or in another room. Answers `{ room }` when they are on the way.
    ///
    /// A player who has a seat in the room keeps it. A seat in another room is released when they
    /// go.
    ///
    /// A party is a slice of at most 32 players, of whom the first is the one who asks. All of them
    /// get seats, or none. If one of them loses their connection meanwhile, their seat is kept for
    /// `--ticket-ttl`. They are sent there when they return.
    ///
    /// ```
    /// # use cluster::{Answer, Lobby, LobbyContext, Player, RoomId};
    /// # fn hook<L>(lobby: &LobbyContext<L>, pair: [Player; 2], room: &RoomId) -> Answer
    /// # where L: Lobby<Profile = ()> {
    /// lobby.join(&pair, room)
    /// # }
    /// ```
    ///
    /// # Errors
    /// - `no_such_room`: also for a private room, unless one of the players is its host or has a
    ///   seat there
    /// - `room_full`, `room_locked`, `party_too_large`
    /// - `room_gone`: the room ended before the players were on the way
    /// - `no_room`: the room did not become ready
    /// - `too_fast`: the room does not keep up with its messages
    /// - `stopping`: the lobby is stopping
    /// - a refusal of the room's `on_open` or `on_admit`
    pub fn join(&self, players: impl AsRef<[Player<L::Profile>]>, room: &RoomId) -> Answer {
        self.check_private(players.as_ref(), room)?;
        self.request_join(self.party(players.as_ref())?, room)
    }

    /// Like [`join`](Self::join), and passes something on to the room with each seat, such as a
    /// side: [`RoomContext::join_options`] has it from `on_admit` on. A player who has
    /// a seat there keeps what they came with.
    ///
    /// ```
    /// # use cluster::{Answer, Lobby, LobbyContext, Player, Room, RoomId, RoomOf};
    /// # cluster::messages! { #[derive(Default)] pub struct Seat { spectator: bool } }
    /// # fn hook<L, Duel>(lobby: &LobbyContext<L>, from: &Player, room: &RoomId) -> Answer
    /// # where L: Lobby<Profile = ()>, Duel: RoomOf<L> + Room<JoinOptions = Seat> {
    /// lobby.join_with::<Duel>(from, room, |_player| Seat { spectator: true })
    /// # }
    /// ```
    ///
    /// # Errors
    /// As `join`, and
    /// - `no_such_room`: the room is of another kind
    /// - `internal`: the options of all players together are larger than 8 KiB as JSON, or cannot
    ///   be serialized and parsed again; the log says why
    ///
    /// [`RoomContext::join_options`]: crate::RoomContext::join_options
    pub fn join_with<R: RoomOf<L>>(
        &self,
        players: impl AsRef<[Player<L::Profile>]>,
        room: &RoomId,
        options: impl Fn(&Player<L::Profile>) -> R::JoinOptions,
    ) -> Answer {
        self.check_private(players.as_ref(), room)?;
        self.request_join(self.party_with::<R>(players.as_ref(), room, options)?, room)
    }

    /// Refuses players a private room, unless one of them is its host or has a seat there.
    fn check_private(&self, players: &[Player<L::Profile>], room: &RoomId) -> Result<(), Refusal> {
        let found = self.rooms.borrow().find(room);
        let Some(private) = found.filter(|found| found.code.is_some()) else { return Ok(()) };
        let may_join = |player: &Player<L::Profile>| {
            private.host.as_ref() == Some(&player.id) || self.seat_of(player).as_ref() == Some(room)
        };
        players.iter().any(may_join).then_some(()).ok_or(Refusal::NO_SUCH_ROOM)
    }

    /// Joins the private room with this code, also in lower case or without its hyphen. Refuses as
    /// [`join`](Self::join).
    ///
    /// After too many wrong codes (`--max-code-attempts-per-minute`), even the right one is refused
    /// with `too_many_guesses`.
    pub fn join_by_code(&self, players: impl AsRef<[Player<L::Profile>]>, code: &str) -> Answer {
        let players = players.as_ref();
        let asker = &players.first().ok_or(Refusal::NO_SUCH_ROOM)?.id;
        let address = self.sessions.borrow().conn_of(asker).and_then(|conn| conn.address());
        self.code_attempts.check(asker, address)?;
        let Some(room) = self.rooms.borrow().find_code(code) else {
            self.code_attempts.count(asker, address);
            return Err(Refusal::NO_SUCH_ROOM);
        };
        self.request_join(self.party(players)?, &room)
    }

    /// Reserves seats for players who asked.
    fn request_join(&self, party: Party, room: &RoomId) -> Answer {
        let asker = party.first().map(|(player, _)| player.id.clone());
        let party = self.not_yet_rerouted(party, room);
        if party.is_empty() && asker.is_some() {
            return reply(json!({ "room": room }));
        }
        let placed = self.rooms.borrow_mut().join(party, asker, room)?;
        deferred(async { placed.await.unwrap_or(Err(Refusal::ROOM_GONE)) })
    }

    /// The players as the registry of rooms knows them. A hook may have kept one whose profile has
    /// changed since.
    fn party(&self, players: &[Player<L::Profile>]) -> Result<Party, Refusal> {
        let sessions = self.sessions.borrow();
        let erased = players.iter().map(|player| {
            let mut player = player.erased()?;
            if let Some(profile) = sessions.profiles.get(&player.id.0) {
                player.profile = profile.clone();
            }
            Ok((player, None))
        });
        erased.collect()
    }

    /// The same with the options of each, for a room of this kind.
    fn party_with<R: RoomOf<L>>(
        &self,
        players: &[Player<L::Profile>],
        room: &RoomId,
        options: impl Fn(&Player<L::Profile>) -> R::JoinOptions,
    ) -> Result<Party, Refusal> {
        let found = self.rooms.borrow().find(room).filter(|room| room.kind == R::NAME);
        found.ok_or(Refusal::NO_SUCH_ROOM)?;
        let options: Vec<_> = players.iter().map(options).collect();
        let options = encode_data("join options", &options, MAX_JOIN_OPTIONS)?;
        let options = options.as_array().cloned().unwrap_or_default();
        let party = self.party(players)?.into_iter().zip(options);
        Ok(party.map(|((player, _), options)| (player, Some(options))).collect())
    }

    /// Joins players to a room without their request, a private one as well. Players who are in the
    /// room stay there.
    ///
    /// A refusal is sent to the players as `refused`. Each player can be rerouted ten times at once
    /// and once a second; above that limit they stay where they are and are refused with
    /// `reroute_loop`.
    pub fn reroute(&self, players: impl AsRef<[Player<L::Profile>]>, room: &RoomId) {
        self.reroute_then(players, room, |_, _, _| {});
    }

    /// Like [`reroute`](Self::reroute), and calls `done` when the players are on the way. It gets a
    /// refusal if one holds for all of them.
    ///
    /// ```
    /// # use cluster::{Lobby, LobbyContext, Player, RoomId};
    /// # fn hook<L>(lobby: &LobbyContext<L>, pair: [Player; 2], room: RoomId)
    /// # where L: Lobby<Profile = ()> {
    /// lobby.reroute_then(&pair, &room.clone(), move |_state, lobby, sent| {
    ///     if sent.is_err() {
    ///         let _ = lobby.close(&room, "Your opponent has left.");
    ///     }
    /// });
    /// # }
    /// ```
    pub fn reroute_then(
        &self,
        players: impl AsRef<[Player<L::Profile>]>,
        room: &RoomId,
        done: impl FnOnce(&mut L, &Self, Result<(), Refusal>) + 'static,
    ) {
        self.reroute_party(players.as_ref(), self.party(players.as_ref()), room, done);
    }

    /// Like [`reroute_then`](Self::reroute_then), and passes something on to the room with each
    /// seat, as [`join_with`](Self::join_with).
    ///
    /// ```
    /// # use cluster::{Lobby, LobbyContext, Player, Room, RoomId, RoomOf};
    /// # cluster::messages! { #[derive(Default)] pub struct Seat { side: usize } }
    /// # fn hook<L, Duel>(lobby: &LobbyContext<L>, pair: [Player; 2], room: &RoomId)
    /// # where L: Lobby<Profile = ()>, Duel: RoomOf<L> + Room<JoinOptions = Seat> {
    /// let seat = |player: &Player| Seat { side: usize::from(player.id == pair[1].id) };
    /// lobby.reroute_with::<Duel>(&pair, room, seat, |_state, _lobby, _sent| {});
    /// # }
    /// ```
    pub fn reroute_with<R: RoomOf<L>>(
        &self,
        players: impl AsRef<[Player<L::Profile>]>,
        room: &RoomId,
        options: impl Fn(&Player<L::Profile>) -> R::JoinOptions,
        done: impl FnOnce(&mut L, &Self, Result<(), Refusal>) + 'static,
    ) {
        let party = self.party_with::<R>(players.as_ref(), room, options);
        self.reroute_party(players.as_ref(), party, room, done);
    }

    fn reroute_party(
        &self,
        players: &[Player<L::Profile>],
        party: Result<Party, Refusal>,
        room: &RoomId,
        done: impl FnOnce(&mut L, &Self, Result<(), Refusal>) + 'static,
    ) {
        let party = party.map(|party| self.not_yet_rerouted(party, room));
        let ids: Vec<_> = match &party {
            Ok(party) => party.iter().map(|(player, _)| player.id.clone()).collect(),
            Err(_) => players.iter().map(|player| player.id.clone()).collect(),
        };
        let joined = party.and_then(|party| self.rooms.borrow_mut().join(party, None, room));
        if let Err(refusal) = &joined {
            ids.iter().for_each(|id| self.notify_refused(id, refusal));
        }
        let placed = async { joined?.await.unwrap_or(Err(Refusal::ROOM_GONE)).map(drop) };
        self.scheduler.spawn(placed, done);
    }

    /// Leaves out players who are in the room or on the way there, unless they are back in the
    /// lobby.
    fn not_yet_rerouted(&self, mut party: Party, room: &RoomId) -> Party {
        let (rooms, sessions) = (self.rooms.borrow(), self.sessions.borrow());
        let is_there =
            |id: &PlayerId| rooms.was_rerouted_to(id, room) && sessions.conn_of(id).is_none();
        party.retain(|(player, _)| !is_there(&player.id));
        party
    }

    /// Sends a player to the room that [`pick`](crate::RoomManager::pick) picks, as the page's
    /// `play` does. `pick` is called after the current hook.
    ///
    /// Answers and refuses as [`join`](Self::join). If you drop the answer, a refusal is sent to
    /// the player as `refused`.
    pub fn play<R: RoomOf<L>>(&self, player: &Player<L::Profile>) -> Answer {
        let player = player.erased()?;
        let (tell, answer) = oneshot::channel();
        self.scheduler.spawn(ready(()), move |lobby, context, ()| {
            let id = player.id.clone();
            if let Err(Err(refusal)) = tell.send(context.play_kind(lobby, R::NAME, player)) {
                context.notify_refused(id, &refusal);
            }
        });
        deferred(async {
            match answer.await.unwrap_or(Err(Refusal::INTERNAL))? {
                Reply::Now(value) => Ok(value),
                Reply::Later(value) => value.await,
            }
        })
    }

    /// The request `play`. A player who has a seat in a room of this kind keeps it.
    pub(crate) fn play_kind(&self, lobby: &mut L, kind: &str, player: AnyPlayer) -> Answer {
        let kind = self.kind(kind).ok_or(Refusal::NO_SUCH_KIND)?;
        // A hook may have asked for a player who has left, or was banned, since.
        self.sessions.borrow().check_ban(&player.id)?;
        if self.seat_of(&player).is_none() && !self.is_here(&player) {
            return Err(Refusal::NOT_REGISTERED);
        }
        let active = self.rooms.borrow().room_to_play_in(&player.id);
        if let Some(room) = active.filter(|room| room.kind == kind.name) {
            return self.request_join(vec![(player, None)], &room.id);
        }
        let room = (kind.pick)(lobby, self, player.clone())?;
        if self.rooms.borrow().find(&room).is_some_and(|found| found.kind != kind.name) {
            error!(%room, kind = kind.name, "pick: this room is of another kind");
            return Err(Refusal::INTERNAL);
        }
        self.request_join(vec![(player, None)], &room)
    }

    /// Reroutes a player to the room that keeps a seat for them. Returns `false` if there is none.
    pub fn send_back(&self, player: &Player<L::Profile>) -> bool {
        let active = self.rooms.borrow().active_room_of(&player.id);
        active.map(|room| self.reroute(player, &room.id)).is_some()
    }

    /// The room in which a player has a seat: they are in it, on the way, or may return to it.
    pub fn seat_of(&self, player: impl AsRef<PlayerId>) -> Option<RoomId> {
        self.rooms.borrow().seat_of(player.as_ref())
    }

    /// Tells a player, in the lobby or in a room, that they cannot go where they wanted: the hook
    /// `refused` of their page gets it, with the event `reroute`.
    ///
    /// ```
    /// # use cluster::{Lobby, LobbyContext, Player, refuse};
    /// # fn hook<L: Lobby>(lobby: &LobbyContext<L>, player: &Player) {
    /// lobby.notify_refused(player, &refuse("no_chat", "This chat cannot be opened now."));
    /// # }
    /// ```
    pub fn notify_refused(&self, player: impl AsRef<PlayerId>, refusal: &Refusal) {
        let player = player.as_ref();
        match self.sessions.borrow().newest_conn_of(player) {
            Some(conn) => conn.tell("refused", &refused("reroute", refusal)),
            None => self.rooms.borrow().notify_refused(player, refusal),
        }
    }
}
