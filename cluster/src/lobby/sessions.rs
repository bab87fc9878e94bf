//! The lobby's sessions: one for each connection, with the player behind it once they are known.
//! Also what outlives a connection: bans, logouts, and why a player left their last room.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;

use crate::auth::Login;
use crate::hosts::Change;
use crate::lobby::bounded_map::BoundedMap;
use crate::runtime::{clock, make_room};
use crate::socketio::{Conn, ConnId, Message};
use crate::types::{AnyPlayer, LeaveReason, PlayerId, Refusal, RoomId};

/// Players who do not return to the lobby within this time are not told any more why they left
/// their room.
const EXIT_NOTICE_TTL: Duration = Duration::from_secs(600);
/// Logouts that are remembered, some ten megabytes. In memory only: a restarted lobby accepts their
/// tokens again.
const MAX_LOGOUTS: usize = 100_000;
/// Changed profiles that are remembered, some ten megabytes.
const MAX_PROFILES: usize = 10_000;

/// A reload keeps what outlives a connection.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Sessions {
    #[serde(skip)]
    sessions: HashMap<ConnId, Session>,
    /// The session of each player who is in the lobby. Their newest connection wins.
    #[serde(skip)]
    pub by_player: HashMap<PlayerId, ConnId>,
    /// What to tell players when they return.
    pub exit_notices: HashMap<PlayerId, ExitNotice>,
    /// Players who are refused, and why; until the lobby restarts.
    pub banned: HashMap<PlayerId, String>,
    /// The logins that were logged out before their tokens expire.
    pub logouts: BoundedMap<(), MAX_LOGOUTS>,
    /// Profiles that are newer than those in tokens, which players may have kept.
    pub profiles: BoundedMap<Value, MAX_PROFILES>,
    /// Takes what outlives this lobby, if another one stands by.
    #[serde(skip)]
    changes: Option<UnboundedSender<Change>>,
    /// Players who may have changed in the list that pages watch.
    #[serde(skip)]
    pub touched: BTreeSet<String>,
}

/// The room that a player left, and why.
#[derive(Serialize, Deserialize)]
pub(crate) struct ExitNotice {
    room: RoomId,
    reason: LeaveReason,
    #[serde(with = "clock::time_left")]
    until: Instant,
}

struct Session {
    conn: Conn,
    /// `on_register` is running.
    registering: bool,
    /// The player; `None` before they are registered.
    login: Option<Login>,
    /// What they ask before `on_arrive`: until then they are pending. `--max-queued-events` bounds
    /// the queue.
    queued: Option<Vec<Message>>,
    /// The player has joined a room since, so this connection is about to close. A message from it
    /// shows that they are still here.
    stale: bool,
}

impl Session {
    fn has_arrived(&self) -> bool {
        self.login.is_some() && self.queued.is_none()
    }
}

impl Sessions {
    pub fn add(&mut self, conn: Conn) {
        let session = Session { conn, registering: false, login: None, queued: None, stale: false };
        self.sessions.insert(session.conn.id, session);
    }

    /// Begins a registration, one at a time for each connection.
    pub fn begin_registration(&mut self, conn: ConnId) -> Result<(), Refusal> {
        let session = self.sessions.get_mut(&conn).ok_or(Refusal::INTERNAL)?;
        if session.login.is_some() {
            return Err(Refusal::ALREADY_REGISTERED);
        }
        if std::mem::replace(&mut session.registering, true) {
            return Err(Refusal::TOO_FAST);
        }
        Ok(())
    }

    /// Ends a registration, whatever its result. Returns `false` if the connection has closed
    /// meanwhile.
    pub fn end_registration(&mut self, conn: ConnId) -> bool {
        let session = self.sessions.get_mut(&conn);
        session.map(|session| session.registering = false).is_some()
    }

    /// Assigns a connection to this player; its session is then pending. Returns the connection
    /// that it replaces, and whether the player had arrived with that one.
    pub fn enter(&mut self, conn: ConnId, login: Login) -> Option<(Conn, bool)> {
        self.touched.insert(login.player.id.0.clone());
        let replaced = self.by_player.insert(login.player.id.clone(), conn);
        if let Some(session) = self.sessions.get_mut(&conn) {
            (session.login, session.queued) = (Some(login), Some(Vec::new()));
        }
        let replaced = self.sessions.remove(&replaced?)?;
        Some((replaced.conn.clone(), replaced.has_arrived()))
    }

    /// Ends the pending state: the player arrives. Returns what they asked meanwhile; `None` if the
    /// session is not pending.
    pub fn arrive(&mut self, player: &PlayerId) -> Option<(Conn, Login, Vec<Message>)> {
        let session = self.sessions.get_mut(self.by_player.get(player)?)?;
        let queued = session.queued.take()?;
        self.touched.insert(player.0.clone());
        Some((session.conn.clone(), session.login.clone()?, queued))
    }

    /// Takes in a message: gives it back to be handled now, or queues it while the session is
    /// pending.
    pub fn receive(&mut self, conn: ConnId, message: Message) -> Option<Message> {
        let session = self.sessions.get_mut(&conn)?;
        if std::mem::take(&mut session.stale) {
            self.touched.extend(session.login.as_ref().map(|login| login.player.id.0.clone()));
        }
        if let Some(queued) = &mut session.queued {
            queued.push(message);
            return None;
        }
        Some(message)
    }

    /// Removes a connection. Returns its player if they had arrived with it.
    pub fn remove(&mut self, conn: ConnId) -> Option<AnyPlayer> {
        let session = self.sessions.remove(&conn)?;
        let player = session.login?.player;
        self.by_player.remove(&player.id);
        self.touched.insert(player.id.0.clone());
        session.queued.is_none().then_some(player)
    }

    /// The player of a connection; `None` before they are registered.
    pub fn player(&self, conn: ConnId) -> Option<AnyPlayer> {
        Some(self.sessions.get(&conn)?.login.as_ref()?.player.clone())
    }

    /// The connections that have got `welcome`, of visitors as well.
    pub fn welcomed(&self) -> impl Iterator<Item = &Conn> {
        let welcomed = self.sessions.values().filter(|session| session.queued.is_none());
        welcomed.map(|session| &session.conn)
    }

    /// A player who has arrived, or is about to.
    pub fn player_of(&self, id: &PlayerId) -> Option<&AnyPlayer> {
        Some(&self.session_of(id)?.login.as_ref()?.player)
    }

    /// Remembers a player's new profile. Returns their login, if they are in the lobby or about to
    /// arrive, and their connection if they have arrived.
    pub fn set_profile(
        &mut self,
        id: &PlayerId,
        profile: &Value,
    ) -> Option<(&mut Login, Option<&Conn>)> {
        self.profiles.insert(id.0.clone(), profile.clone());
        self.pass_on("profile", &id.0, profile.clone());
        self.touched.insert(id.0.clone());
        let session = self.sessions.get_mut(self.by_player.get(id)?)?;
        let login = session.login.as_mut()?;
        login.player.profile = profile.clone();
        Some((login, session.queued.is_none().then_some(&session.conn)))
    }

    fn session_of(&self, player: &PlayerId) -> Option<&Session> {
        self.sessions.get(self.by_player.get(player)?)
    }

    /// The connection of a player who has arrived.
    pub fn arrived(&self, player: &PlayerId) -> Option<Conn> {
        self.session_of(player).filter(|found| found.has_arrived()).map(|found| found.conn.clone())
    }

    /// The connection of a player who has arrived, or is about to.
    pub fn conn_of(&self, player: &PlayerId) -> Option<Conn> {
        Some(self.session_of(player)?.conn.clone())
    }

    /// The connection of a player who has arrived, unless it is stale.
    pub fn newest_conn_of(&self, player: &PlayerId) -> Option<Conn> {
        self.arrived(player).filter(|_| self.session_of(player).is_some_and(|found| !found.stale))
    }

    /// The player has joined a room. From now on they are rerouted through that room, until they
    /// send something here.
    pub fn mark_stale(&mut self, player: &PlayerId) {
        let conn = self.by_player.get(player);
        if let Some(session) = conn.and_then(|conn| self.sessions.get_mut(conn)) {
            session.stale = true;
            self.touched.insert(player.0.clone());
        }
    }

    /// Ends a login: its tokens are not valid any more. Returns the connection that uses it.
    pub fn log_out(&mut self, login: &Login) -> Option<Conn> {
        if self.logouts.get(&login.sid).is_none() {
            self.logouts.insert(login.sid.clone(), ());
            self.pass_on("logout", &login.sid, Value::Null);
        }
        let session = self.session_of(&login.player.id)?;
        (session.login.as_ref()?.sid == login.sid).then(|| session.conn.clone())
    }

    /// Remembers what to tell a player when they return to the lobby.
    pub fn add_exit_notice(&mut self, player: PlayerId, room: RoomId, reason: LeaveReason) {
        let now = clock::now();
        make_room(&mut self.exit_notices, |notice| now < notice.until);
        self.exit_notices.insert(player, ExitNotice { room, reason, until: now + EXIT_NOTICE_TTL });
    }

    /// The room that a player returns from, and why they left it. Each notice is told once.
    pub fn take_exit_notice(&mut self, player: &PlayerId) -> Option<(RoomId, LeaveReason)> {
        let ExitNotice { room, reason, until } = self.exit_notices.remove(player)?;
        (clock::now() < until).then_some((room, reason))
    }

    /// Bans a player, or lifts the ban.
    pub fn ban(&mut self, player: &PlayerId, reason: Option<String>) {
        self.pass_on("ban", &player.0, json!(reason));
        match reason {
            Some(reason) => self.banned.insert(player.clone(), reason),
            None => self.banned.remove(player),
        };
    }

    /// Goes on after earlier lobbies, with what they have passed on, and passes on the same.
    pub fn follow(&mut self, before: Vec<Change>, changes: UnboundedSender<Change>) {
        for (kind, id, value) in before {
            match (&*kind, value) {
                ("ban", Value::String(reason)) => drop(self.banned.insert(PlayerId(id), reason)),
                ("logout", _) => self.logouts.insert(id, ()),
                ("profile", profile) => self.profiles.insert(id, profile),
                _ => {}
            }
        }
        self.changes = Some(changes);
    }

    fn pass_on(&self, kind: &str, id: &str, value: Value) {
        let change = || (kind.to_owned(), id.to_owned(), value);
        self.changes.as_ref().map(|changes| changes.send(change()));
    }

    /// Refuses a player who is banned.
    pub fn check_ban(&self, player: &PlayerId) -> Result<(), Refusal> {
        self.banned.get(player).map_or(Ok(()), |reason| Err(Refusal::banned(reason)))
    }
}
