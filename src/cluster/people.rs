//! Who is in the lobby: connections, the players behind them, and what each is to be told when he is
//! back from a room.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use serde_json::Value;
use tokio::time::Instant;

use super::{
    connection::{Conn, ConnId, Message},
    words::{Player, PlayerId, RoomId},
};

/// Who does not come back within this is not told any more why his room ended.
const REMEMBERED: Duration = Duration::from_secs(600);

#[derive(Default)]
pub(crate) struct People {
    /// Every connection, and who it belongs to, once registered.
    visitors: HashMap<ConnId, (Conn, Option<Player>)>,
    /// The connection of each player who is in the lobby.
    present: HashMap<PlayerId, ConnId>,
    arriving: HashMap<ConnId, Arriving>,
    watching: HashSet<ConnId>,
    returned: HashMap<PlayerId, (RoomId, String, Instant)>,
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
    pub fn enter(&mut self, conn: ConnId, player: Player) -> Option<(Conn, bool)> {
        let before = self.present.insert(player.id.clone(), conn);
        if let Some((_, who)) = self.visitors.get_mut(&conn) {
            *who = Some(player);
        }
        let before = before.filter(|before| *before != conn)?;
        let (replaced, who) = self.visitors.get_mut(&before)?;
        *who = None;
        Some((replaced.clone(), self.arriving.remove(&before).is_none()))
    }

    /// Forgets a connection; returns the player who is not in the lobby any more, if he had arrived.
    pub fn remove(&mut self, conn: ConnId) -> Option<Player> {
        self.watching.remove(&conn);
        let had_arrived = self.arriving.remove(&conn).is_none();
        let player = self.visitors.remove(&conn)?.1?;
        self.present.remove(&player.id);
        had_arrived.then_some(player)
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
        self.visitors.get(&conn)?.1.clone()
    }

    pub fn conn_of(&self, player: &PlayerId) -> Option<Conn> {
        self.conn(*self.present.get(player)?)
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

    pub fn unwatch(&mut self, conn: ConnId) {
        self.watching.remove(&conn);
    }

    pub fn watchers(&self) -> impl Iterator<Item = &Conn> {
        self.watching.iter().filter_map(|conn| Some(&self.visitors.get(conn)?.0))
    }

    /// Remembers what to tell a player when he is back.
    pub fn remember(&mut self, player: PlayerId, room: RoomId, reason: String) {
        self.returned.retain(|_, (_, _, since)| since.elapsed() < REMEMBERED);
        self.returned.insert(player, (room, reason, Instant::now()));
    }

    /// From which room a player is back, and why. Told once.
    pub fn recall(&mut self, player: &PlayerId) -> Option<(RoomId, String)> {
        let (room, reason, _) = self.returned.remove(player)?;
        Some((room, reason))
    }

    pub fn has_news(&self, player: &PlayerId) -> bool {
        self.returned.contains_key(player)
    }
}
