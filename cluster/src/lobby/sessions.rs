//! Who is in the lobby: connections, the players behind them, and what each is to be told when he is
//! back from a room.

use std::{
    collections::{HashMap, HashSet, VecDeque, hash_map::Entry},
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
    types::{Player, PlayerId, Refusal, RoomId},
};

/// Who is sent to rooms so often, within this time and without asking, goes round in circles.
const MAX_HOPS: (usize, Duration) = (10, Duration::from_secs(10));
/// Who does not come back within this is not told any more why his room ended.
const REMEMBERED: Duration = Duration::from_secs(600);
/// So few of them are never looked through.
const FEW: usize = 1000;

#[derive(Default)]
pub(crate) struct People {
    /// Every connection, and who it belongs to, once registered.
    visitors: HashMap<ConnId, (Conn, Option<Login>)>,
    /// The connection of each player who is in the lobby.
    present: HashMap<PlayerId, ConnId>,
    /// Connections whose players have gone to a room since: their pages are about to hang up.
    left_behind: HashSet<ConnId>,
    arriving: HashMap<ConnId, Arriving>,
    /// Connections for which `on_register` is at work.
    registering: HashSet<ConnId>,
    watching: HashSet<ConnId>,
    returned: HashMap<PlayerId, (RoomId, String, Instant)>,
    /// When there are so many of these, those who have not come back in time are forgotten.
    forget_at: usize,
    /// Who was sent to a room lately without having asked for it, oldest first, and how often.
    hops: (VecDeque<(Instant, PlayerId)>, HashMap<PlayerId, usize>),
    /// Until the lobby restarts: nothing is kept on disk.
    banned: HashMap<PlayerId, String>,
}

/// Somebody whose room may be dying: until then, what he asks waits, so that he is told first why he
/// is back.
struct Arriving {
    until: Instant,
    waiting: Vec<Message>,
}

impl People {
    pub fn add(&mut self, conn: Conn) {
        self.visitors.insert(conn.id, (conn, None));
    }

    /// The connection is this player's from now on. Returns the one that it replaces, and whether the
    /// player had arrived with it.
    pub fn enter(&mut self, conn: ConnId, login: Login) -> Option<(Conn, bool)> {
        let before = self.present.insert(login.player.id.clone(), conn);
        if let Some((_, who)) = self.visitors.get_mut(&conn) {
            *who = Some(login);
        }
        let before = before.filter(|before| *before != conn)?;
        let (replaced, who) = self.visitors.get_mut(&before)?;
        *who = None;
        Some((replaced.clone(), self.arriving.remove(&before).is_none()))
    }

    /// Forgets a connection; returns the player who is not in the lobby any more, if he had arrived.
    pub fn remove(&mut self, conn: ConnId) -> Option<Player> {
        self.watching.remove(&conn);
        self.registering.remove(&conn);
        self.left_behind.remove(&conn);
        let had_arrived = self.arriving.remove(&conn).is_none();
        let player = self.visitors.remove(&conn)?.1?.player;
        self.present.remove(&player.id);
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
        self.arriving.insert(conn, Arriving { until, waiting: Vec::new() });
    }

    /// Ends the wait; returns what was asked meanwhile.
    pub fn stop_waiting(&mut self, conn: ConnId) -> Option<(Player, Vec<Message>)> {
        let waiting = self.arriving.remove(&conn)?.waiting;
        Some((self.player(conn)?, waiting))
    }

    /// Keeps a message of a connection that waits, or gives it back.
    pub fn keep_waiting(&mut self, conn: ConnId, message: Message) -> Option<Message> {
        let Some(arriving) = self.arriving.get_mut(&conn) else {
            return Some(message);
        };
        arriving.waiting.push(message);
        None
    }

    /// The connections that wait, and until when.
    pub fn waiting(&self) -> impl Iterator<Item = (ConnId, Instant)> {
        self.arriving.iter().map(|(conn, arriving)| (*conn, arriving.until))
    }

    pub fn conn(&self, conn: ConnId) -> Option<Conn> {
        Some(self.visitors.get(&conn)?.0.clone())
    }

    pub fn player(&self, conn: ConnId) -> Option<Player> {
        Some(self.visitors.get(&conn)?.1.as_ref()?.player.clone())
    }

    /// The new token that a connection is to be told of. Told once.
    pub fn take_token(&mut self, conn: ConnId) -> Option<String> {
        self.visitors.get_mut(&conn)?.1.as_mut()?.token.take()
    }

    /// The connection that belongs to this login.
    pub fn conn_of_login(&self, login: &Login) -> Option<Conn> {
        let (conn, who) = self.visitors.get(self.present.get(&login.player.id)?)?;
        (who.as_ref()?.sid == login.sid).then(|| conn.clone())
    }

    pub fn is_present(&self, player: &PlayerId) -> bool {
        self.present.contains_key(player)
    }

    pub fn conn_of(&self, player: &PlayerId) -> Option<Conn> {
        self.conn(*self.present.get(player)?)
    }

    /// Where a player in the lobby connects from; `None` for this machine itself.
    pub fn address_of(&self, player: &PlayerId) -> Option<IpAddr> {
        self.conn_of(player)?.address()
    }

    /// The connection with which a player can be sent somewhere: not the one that he has left behind.
    pub fn newest_conn_of(&self, player: &PlayerId) -> Option<Conn> {
        self.conn_of(player).filter(|conn| !self.left_behind.contains(&conn.id))
    }

    /// The player is in a room now: from there he is sent on, unless he says something here.
    pub fn leave_behind(&mut self, player: &PlayerId) {
        self.left_behind.extend(self.present.get(player));
    }

    /// Somebody says something.
    pub fn is_here(&mut self, conn: ConnId) {
        self.left_behind.remove(&conn);
    }

    pub fn everyone(&self) -> impl Iterator<Item = &Conn> {
        self.visitors.values().map(|(conn, _)| conn)
    }

    /// Shows the list of rooms now and whenever it changes.
    pub fn watch(&mut self, conn: ConnId, list: &Value) {
        if let Some((visitor, _)) = self.visitors.get(&conn) {
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
        self.watching.iter().filter_map(|conn| Some(&self.visitors.get(conn)?.0))
    }

    /// Remembers what to tell a player when he is back.
    pub fn remember(&mut self, player: PlayerId, room: RoomId, reason: String) {
        // Looked through seldom: with many who leave for good, each one who does would cost all of them.
        if self.returned.len() >= self.forget_at {
            self.returned.retain(|_, (_, _, since)| clock::now() - *since < REMEMBERED);
            self.forget_at = FEW.max(2 * self.returned.len());
        }
        self.returned.insert(player, (room, reason, clock::now()));
    }

    /// From which room a player is back, and why. Told once.
    pub fn recall(&mut self, player: &PlayerId) -> Option<(RoomId, String)> {
        let (room, reason, since) = self.returned.remove(player)?;
        (clock::now() - since < REMEMBERED).then_some((room, reason))
    }

    /// Counts that a player is sent to a room without having asked. False: it was too often.
    pub fn may_hop(&mut self, player: &PlayerId, now: Instant) -> bool {
        let (recent, counts) = &mut self.hops;
        while let Some((_, old)) = recent.pop_front_if(|(at, _)| *at + MAX_HOPS.1 <= now) {
            if let Entry::Occupied(mut count) = counts.entry(old) {
                *count.get_mut() -= 1;
                if *count.get() == 0 {
                    count.remove();
                }
            }
        }
        recent.push_back((now, player.clone()));
        let count = counts.entry(player.clone()).or_default();
        *count += 1;
        *count <= MAX_HOPS.0
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

    pub fn has_news(&self, player: &PlayerId) -> bool {
        self.returned.contains_key(player)
    }
}
