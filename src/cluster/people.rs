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
    /// Every connection, registered or not.
    visitors: HashMap<ConnId, Visitor>,
    /// The connection of each player who is in the lobby.
    present: HashMap<PlayerId, ConnId>,
    watching: HashSet<ConnId>,
    returned: HashMap<PlayerId, (RoomId, String, Instant)>,
}

struct Visitor {
    conn: Conn,
    who: Who,
}

enum Who {
    Unregistered,
    /// Known, but his room may be dying: until `until`, what he asks waits, so that he is told first
    /// why he is back.
    Arriving {
        player: Player,
        until: Instant,
        waiting: Vec<Message>,
    },
    Here(Player),
}

impl People {
    pub fn add(&mut self, conn: Conn) {
        self.visitors.insert(conn.id, Visitor { conn, who: Who::Unregistered });
    }

    /// The connection is this player's from now on. Returns the one that it replaces, and whether the
    /// player had arrived with it.
    pub fn enter(&mut self, conn: ConnId, player: Player) -> Option<(Conn, bool)> {
        let before = self.present.insert(player.id.clone(), conn).filter(|before| *before != conn);
        if let Some(visitor) = self.visitors.get_mut(&conn) {
            visitor.who = Who::Here(player);
        }
        let replaced = self.visitors.get_mut(&before?)?;
        let who = std::mem::replace(&mut replaced.who, Who::Unregistered);
        Some((replaced.conn.clone(), matches!(who, Who::Here(_))))
    }

    /// Lets a player wait for his room's verdict.
    pub fn wait(&mut self, conn: ConnId, until: Instant) {
        if let Some(Visitor { who, .. }) = self.visitors.get_mut(&conn)
            && let Who::Here(player) = who
        {
            *who = Who::Arriving { player: player.clone(), until, waiting: Vec::new() };
        }
    }

    /// Lets a player arrive who waited; returns what he asked meanwhile.
    pub fn stop_waiting(&mut self, conn: ConnId) -> Option<(Player, Vec<Message>)> {
        let who = &mut self.visitors.get_mut(&conn)?.who;
        let Who::Arriving { player, waiting, .. } = who else {
            return None;
        };
        let (player, waiting) = (player.clone(), std::mem::take(waiting));
        *who = Who::Here(player.clone());
        Some((player, waiting))
    }

    /// Keeps a message of somebody who waits, or gives it back.
    pub fn keep_waiting(&mut self, conn: ConnId, message: Message) -> Option<Message> {
        match self.visitors.get_mut(&conn) {
            Some(Visitor { who: Who::Arriving { waiting, .. }, .. }) => {
                waiting.push(message);
                None
            }
            _ => Some(message),
        }
    }

    /// Those who wait, and until when.
    pub fn waiting(&self) -> impl Iterator<Item = (ConnId, Instant)> {
        self.visitors.iter().filter_map(|(conn, visitor)| match &visitor.who {
            Who::Arriving { until, .. } => Some((*conn, *until)),
            Who::Here(_) | Who::Unregistered => None,
        })
    }

    /// Forgets a connection; returns the player who is not in the lobby any more, if he had arrived.
    pub fn remove(&mut self, conn: ConnId) -> Option<Player> {
        self.watching.remove(&conn);
        match self.visitors.remove(&conn)?.who {
            Who::Unregistered => None,
            Who::Arriving { player, .. } => {
                self.present.remove(&player.id);
                None
            }
            Who::Here(player) => {
                self.present.remove(&player.id);
                Some(player)
            }
        }
    }

    pub fn conn(&self, conn: ConnId) -> Option<Conn> {
        Some(self.visitors.get(&conn)?.conn.clone())
    }

    pub fn conn_of(&self, player: &PlayerId) -> Option<Conn> {
        self.conn(*self.present.get(player)?)
    }

    pub fn everyone(&self) -> impl Iterator<Item = &Conn> {
        self.visitors.values().map(|visitor| &visitor.conn)
    }

    pub fn player(&self, conn: ConnId) -> Option<Player> {
        match &self.visitors.get(&conn)?.who {
            Who::Here(player) => Some(player.clone()),
            Who::Arriving { .. } | Who::Unregistered => None,
        }
    }

    /// Shows the list of rooms now and whenever it changes.
    pub fn watch(&mut self, conn: ConnId, list: &Value) {
        if let Some(visitor) = self.visitors.get(&conn) {
            let _ = visitor.conn.tell("rooms", list);
            self.watching.insert(conn);
        }
    }

    pub fn unwatch(&mut self, conn: ConnId) {
        self.watching.remove(&conn);
    }

    pub fn watchers(&self) -> impl Iterator<Item = &Conn> {
        let visitors = self.watching.iter().filter_map(|conn| self.visitors.get(conn));
        visitors.map(|visitor| &visitor.conn)
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
