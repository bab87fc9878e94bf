//! Who is in the lobby: connections, the players behind them, and what each is to be told when he is
//! back from a room.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    time::Duration,
};

use serde_json::Value;
use tokio::time::Instant;

use crate::{
    auth::token::Login,
    runtime::clock,
    socketio::{
        connection::{Conn, Message},
        packet::ConnId,
    },
    types::{LeaveReason, Player, PlayerId, Refusal, RoomId},
};

/// Who does not come back within this is not told any more why his room ended.
const REMEMBERED: Duration = Duration::from_secs(600);
/// So few of them are never looked through.
const FEW: usize = 1000;

pub(crate) struct Sessions {
    /// Every connection, and who it belongs to, once registered.
    connections: HashMap<ConnId, (Conn, Option<Login>)>,
    /// The connection of each player who is in the lobby.
    by_player: HashMap<PlayerId, ConnId>,
    /// Connections whose players have gone to a room since: their pages are about to hang up.
    stale: HashSet<ConnId>,
    pending: HashMap<ConnId, Pending>,
    /// Connections for which `on_register` is at work.
    registering: HashSet<ConnId>,
    watching: HashSet<ConnId>,
    exit_notices: HashMap<PlayerId, (RoomId, LeaveReason, Instant)>,
    /// When there are so many of these, those who have not come back in time are forgotten.
    forget_at: usize,
    /// Until the lobby restarts: nothing is kept on disk.
    banned: HashMap<PlayerId, String>,
}

/// Somebody whose room may be dying: until then, what he asks waits, so that he is told first why he
/// is back.
struct Pending {
    until: Instant,
    waiting: Vec<Message>,
}

impl Default for Sessions {
    fn default() -> Self {
        Sessions {
            connections: HashMap::new(),
            by_player: HashMap::new(),
            stale: HashSet::new(),
            pending: HashMap::new(),
            registering: HashSet::new(),
            watching: HashSet::new(),
            exit_notices: HashMap::new(),
            forget_at: 0,
            banned: HashMap::new(),
        }
    }
}

impl Sessions {
    pub fn add(&mut self, conn: Conn) {
        self.connections.insert(conn.id, (conn, None));
    }

    /// The connection is this player's from now on. Returns the one that it replaces, and whether the
    /// player had arrived with it.
    pub fn enter(&mut self, conn: ConnId, login: Login) -> Option<(Conn, bool)> {
        let before = self.by_player.insert(login.player.id.clone(), conn);
        if let Some((_, who)) = self.connections.get_mut(&conn) {
            *who = Some(login);
        }
        let before = before.filter(|before| *before != conn)?;
        let (replaced, who) = self.connections.get_mut(&before)?;
        *who = None;
        Some((replaced.clone(), self.pending.remove(&before).is_none()))
    }

    /// Forgets a connection; returns the player who is not in the lobby any more, if he had arrived.
    pub fn remove(&mut self, conn: ConnId) -> Option<Player> {
        self.watching.remove(&conn);
        self.registering.remove(&conn);
        self.stale.remove(&conn);
        let had_arrived = self.pending.remove(&conn).is_none();
        let player = self.connections.remove(&conn)?.1?.player;
        self.by_player.remove(&player.id);
        had_arrived.then_some(player)
    }

    /// Somebody wants to be a player. False: he does so already, and one at a time is enough.
    pub fn begins_to_register(&mut self, conn: ConnId) -> bool {
        self.registering.insert(conn)
    }

    /// It is known who he is. False: he is gone.
    pub fn ends_to_register(&mut self, conn: ConnId) -> bool {
        self.registering.remove(&conn)
    }

    /// Lets a connection wait for the verdict of its player's room.
    pub fn wait(&mut self, conn: ConnId, until: Instant) {
        self.pending.insert(conn, Pending { until, waiting: Vec::new() });
    }

    /// Ends the wait; returns what was asked meanwhile.
    pub fn stop_waiting(&mut self, conn: ConnId) -> Option<(Player, Vec<Message>)> {
        let waiting = self.pending.remove(&conn)?.waiting;
        Some((self.player(conn)?, waiting))
    }

    /// Keeps a message of a connection that waits, or gives it back.
    pub fn keep_waiting(&mut self, conn: ConnId, message: Message) -> Option<Message> {
        let Some(pending) = self.pending.get_mut(&conn) else {
            return Some(message);
        };
        pending.waiting.push(message);
        None
    }

    /// The connections that wait, and until when.
    pub fn waiting(&self) -> impl Iterator<Item = (ConnId, Instant)> {
        self.pending.iter().map(|(conn, pending)| (*conn, pending.until))
    }

    pub fn conn(&self, conn: ConnId) -> Option<Conn> {
        Some(self.connections.get(&conn)?.0.clone())
    }

    pub fn player(&self, conn: ConnId) -> Option<Player> {
        Some(self.connections.get(&conn)?.1.as_ref()?.player.clone())
    }

    /// The new token that a connection is to be told of. Told once.
    pub fn take_token(&mut self, conn: ConnId) -> Option<String> {
        self.connections.get_mut(&conn)?.1.as_mut()?.token.take()
    }

    /// The connection that belongs to this login.
    pub fn conn_of_login(&self, login: &Login) -> Option<Conn> {
        let (conn, who) = self.connections.get(self.by_player.get(&login.player.id)?)?;
        (who.as_ref()?.sid == login.sid).then(|| conn.clone())
    }

    pub fn is_present(&self, player: &PlayerId) -> bool {
        self.by_player.contains_key(player)
    }

    pub fn conn_of(&self, player: &PlayerId) -> Option<Conn> {
        self.conn(*self.by_player.get(player)?)
    }

    /// Where a player in the lobby connects from; `None` for this machine itself.
    pub fn address_of(&self, player: &PlayerId) -> Option<IpAddr> {
        self.conn_of(player)?.address()
    }

    /// The connection with which a player can be sent somewhere: not the one that he has left behind.
    pub fn newest_conn_of(&self, player: &PlayerId) -> Option<Conn> {
        self.conn_of(player).filter(|conn| !self.stale.contains(&conn.id))
    }

    /// The player is in a room now: from there he is sent on, unless he says something here.
    pub fn mark_stale(&mut self, player: &PlayerId) {
        self.stale.extend(self.by_player.get(player));
    }

    /// Somebody says something.
    pub fn is_here(&mut self, conn: ConnId) {
        self.stale.remove(&conn);
    }

    pub fn everyone(&self) -> impl Iterator<Item = &Conn> {
        self.connections.values().map(|(conn, _)| conn)
    }

    /// Shows the list of rooms now and whenever it changes.
    pub fn watch(&mut self, conn: ConnId, list: &Value) {
        if let Some((visitor, _)) = self.connections.get(&conn) {
            let _ = visitor.tell("rooms", list);
            self.watching.insert(conn);
        }
    }

    pub fn is_watching(&self, conn: ConnId) -> bool {
        self.watching.contains(&conn)
    }

    pub fn unwatch(&mut self, conn: ConnId) {
        self.watching.remove(&conn);
    }

    pub fn watchers(&self) -> impl Iterator<Item = &Conn> {
        self.watching.iter().filter_map(|conn| Some(&self.connections.get(conn)?.0))
    }

    /// Remembers what to tell a player when he is back.
    pub fn add_exit_notice(&mut self, player: PlayerId, room: RoomId, reason: LeaveReason) {
        // Looked through seldom: with many who leave for good, each one who does would cost all of them.
        if self.exit_notices.len() >= self.forget_at {
            self.exit_notices.retain(|_, (_, _, since)| clock::now() - *since < REMEMBERED);
            self.forget_at = FEW.max(2 * self.exit_notices.len());
        }
        self.exit_notices.insert(player, (room, reason, clock::now()));
    }

    /// From which room a player is back, and why. Told once.
    pub fn take_exit_notice(&mut self, player: &PlayerId) -> Option<(RoomId, LeaveReason)> {
        let (room, reason, since) = self.exit_notices.remove(player)?;
        (clock::now() - since < REMEMBERED).then_some((room, reason))
    }

    pub fn ban(&mut self, player: PlayerId, reason: String) {
        self.banned.insert(player, reason);
    }

    pub fn unban(&mut self, player: &PlayerId) {
        self.banned.remove(player);
    }

    /// Whether a player may be here.
    pub fn admit(&self, player: &PlayerId) -> Result<(), Refusal> {
        let reason = self.banned.get(player);
        reason.map_or(Ok(()), |reason| Err(Refusal::banned(reason)))
    }

    pub fn has_exit_notice(&self, player: &PlayerId) -> bool {
        self.exit_notices.contains_key(player)
    }
}
