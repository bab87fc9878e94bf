//! Message types: browser and lobby, browser and room, room and lobby. A variant, in snake_case, is
//! the name of an event; its fields are the event's data. Pages also get the room's state, which is
//! `Game` in `room/game.rs`.
//!
//! A lobby in development writes them to `static/messages.d.ts`, with which `npm run check` checks
//! the page.

cluster::messages! {
    // HOOK: what does the page ask of the lobby, besides `play` and `join`?
    pub enum LobbyRequest {
        /// Join the matchmaking queue.
        FindOpponent,
        /// Leave the queue.
        StopWaiting,
        /// Open a private room; its code lets a friend in.
        InviteFriend,
        /// Join the private room with this code.
        JoinFriend { code: String },
    }

    // HOOK: what does the lobby send to the page?
    pub enum LobbyEvent {
        /// The player's place in the queue, from 1, and how many wait.
        Place { place: usize, waiting: usize },
        /// How the last games ended, the newest first.
        News { lines: Vec<String> },
    }

    // HOOK: what does the page ask of a room?
    pub enum RoomRequest {
        /// Drop a disc into this column: 0 to 6, from the left.
        Play { column: usize },
        /// Another game, if both players ask for it.
        Rematch,
    }

    // HOOK: the options of a room: given at creation, shown in the list of rooms.
    #[derive(Default)]
    pub struct Options {
        /// Seconds to wait for an opponent.
        pub patience: u32,
    }

    // HOOK: what does a room tell the lobby?
    #[derive(PartialEq)]
    pub enum ToLobby {
        /// Both names and the games that each has won, the better one first.
        Scores([(String, u32); 2]),
    }
}
