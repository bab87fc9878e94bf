//! Message types of the lobby and the rooms in this folder.

use std::collections::BTreeMap;

use cluster::{PlayerId, RoomId};
use serde_json::Value;

pub type Player = cluster::Player<Profile>;

cluster::messages! {
    #[derive(Default, PartialEq)]
    pub struct Profile {
        pub color: String,
        pub level: u32,
    }

    #[derive(Default)]
    #[serde(default, deny_unknown_fields)]
    pub struct Options {
        /// How long the seat of a disconnected player is kept.
        pub grace_ms: Option<u64>,
        /// How often the state is sent, in times a second.
        pub sync_rate: Option<u32>,
        /// The side that is not admitted.
        pub refuses: Option<String>,
        /// `state` panics while the number is this one.
        pub panics_at: Option<u32>,
        /// In `on_open`.
        pub locked: bool,
        pub announces_nobody: bool,
    }

    #[derive(Default)]
    pub struct Listing {
        pub score: u32,
        pub text: String,
    }

    /// Join options.
    #[derive(Default)]
    pub struct Seat {
        pub side: String,
    }

    /// A page's request to the lobby.
    pub enum Ask {
        Arena {
            seats: Option<usize>,
            #[serde(default)]
            private: bool,
            #[serde(default)]
            options: Options,
        },
        Chat,
        Worker,
        /// Join, with a side for each name; `chat`: as if the room were a chat.
        JoinWith {
            room: RoomId,
            players: Vec<PlayerId>,
            sides: BTreeMap<String, String>,
            #[serde(default)]
            chat: bool,
        },
        /// Answered with the refusal in `rerouted`.
        RerouteWith {
            room: RoomId,
            players: Vec<PlayerId>,
            sides: BTreeMap<String, String>,
        },
        SendThere {
            room: RoomId,
            players: Vec<PlayerId>,
        },
        SetProfile {
            player: PlayerId,
            profile: Profile,
        },
        Find {
            player: PlayerId,
        },
        Everyone,
        /// The rooms of each kind, as the hooks see them.
        AllRooms,
        TellArena {
            room: RoomId,
            text: String,
        },
        TellWorker {
            room: RoomId,
            text: String,
        },
        Close {
            room: RoomId,
        },
        Kick {
            player: PlayerId,
        },
        SendTo {
            players: Vec<PlayerId>,
            text: String,
        },
        /// Allow or forbid to watch players.
        Watching {
            allowed: bool,
        },
        /// All that hooks were called with so far.
        Calls,
    }

    pub enum News {
        Line(String),
        /// The end of `reroute_with`.
        Rerouted { refusal: Option<String> },
        /// The worker that replaces another.
        Replaced { worker: RoomId },
    }

    /// A page's request to an arena.
    pub enum Request {
        /// Sets the number, without a sync.
        Set { n: u32 },
        Sync,
        /// So many times in a row, from one, with a sync each.
        Count { to: u32 },
        /// Counts by one at each tick until this number, with a sync each.
        CountByTick { to: u32 },
        SyncRate { hz: u32 },
        List { score: u32, text: String },
        /// Sets the listing at each tick, until this score.
        ListByTick { to: u32 },
        /// What only this player sees.
        Deal { player: PlayerId, card: u32 },
        /// The side of a player, by their join options.
        SideOf { player: PlayerId },
        /// The calls of `on_admit` and `on_join` with the join options of the player.
        Sides,
        WhoIsHere,
        SendTo { players: Vec<PlayerId>, text: String },
        /// Volatile events of this size to a player, with these numbers.
        SendVolatile { player: PlayerId, from: u32, to: u32, bytes: usize },
        TickEvery { ms: u64 },
        Ticks,
        /// Sets the number, and ends the room.
        Finish { n: u32 },
        KickFromRoom { player: PlayerId },
        SendToRoom { player: PlayerId, room: RoomId },
        Hog,
        Crash,
    }

    pub enum Event {
        Line(String),
        Brief { n: u32, padding: String },
        Hand { card: u32 },
    }

    pub struct State {
        pub n: u32,
    }

    /// A page's request to a chat.
    pub enum Say {
        Text(String),
        Hog,
    }

    pub enum Said {
        Text { from: String, text: String },
    }
}

/// What `on_register` passes on: what it has seen.
#[derive(Default)]
pub struct Account(pub Value);
