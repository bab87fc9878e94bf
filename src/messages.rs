//! Message types: browser and lobby, browser and room, lobby and room. A variant, in snake_case, is
//! the name of an event; its fields are the event's data.
//!
//! A lobby in development writes them to `static/messages.d.ts`, with which `npm run check` checks
//! the page.

use cluster::PlayerId;

cluster::messages! {
    // HOOK: what does the page ask of the lobby, besides `play` and `join`?
    pub enum LobbyRequest {
        /// Open a new room and join it.
        Create { title: String },
    }

    // HOOK: what does the lobby send to the page?
    pub enum LobbyEvent {
        /// What has happened in the room with this title, for everyone in the lobby.
        News { title: String, text: String },
    }

    // HOOK: what does the page ask of a room?
    pub enum RoomRequest {
        /// The direction to move in: each of x and y from -1 to 1.
        Steer { x: f32, y: f32 },
        /// After a round: begin the next one as soon as everyone has asked for it.
        PlayAgain,
    }

    // HOOK: what does a room send to the page?
    pub enum RoomEvent {
        /// Everything that the arena shows. Positions are fractions of its width, from 0 to 1.
        State { dots: Vec<Dot>, coin: (f32, f32), goal: u32, results: Option<Results> },
        /// A player took the coin.
        Scored { player: PlayerId, score: u32 },
    }

    /// A player in the arena.
    pub struct Dot {
        pub id: PlayerId,
        pub name: String,
        /// Theirs until they leave, from 1. The page picks their color by it.
        pub number: u32,
        pub x: f32,
        pub y: f32,
        /// Not sent.
        #[serde(skip)]
        pub direction: [f32; 2],
        pub score: u32,
        /// Whether they have asked to play again.
        pub ready: bool,
    }

    /// How a round has ended.
    pub struct Results {
        /// The winner first.
        pub scores: Vec<Dot>,
        /// Until the next round begins.
        pub seconds: f32,
    }

    // HOOK: the options of a room: given at creation, shown in the list of rooms.
    #[derive(Default)]
    pub struct Options {
        pub title: String,
        /// Coins that win a round.
        pub goal: u32,
    }

    // HOOK: what does a room tell the lobby?
    #[derive(PartialEq)]
    pub enum ToLobby {
        Scored { name: String, score: u32 },
        Won { name: String },
    }
}
