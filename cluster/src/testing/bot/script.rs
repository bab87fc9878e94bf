//! What a bot does and says, and what happens to it.

use std::borrow::Cow;
use std::time::Duration;

use serde_json::Value;

use crate::testing::Payload;

/// A request: the event and its data.
pub type Request = (Cow<'static, str>, Value);

/// What a [`Bot`](super::Bot) asks for and says, and who learns what happens to it.
pub trait Script: Send + 'static {
    /// The request that brings the bot from the lobby to a room. `None`: it stays in the lobby.
    fn enter(&self) -> Option<Request>;

    /// How often [`say`](Script::say) is called.
    fn interval(&self) -> Duration;

    /// What the bot says now, in a room or in the lobby.
    fn say(&mut self, in_room: bool) -> Vec<Request>;

    /// Something has happened to the bot.
    fn on_event(&mut self, event: BotEvent<'_>);
}

/// What happens to a [`Bot`](super::Bot). Times count from when the bot was to act, also if it was
/// late: what kept it is part of what a player waits for.
#[derive(Debug)]
#[allow(missing_docs, reason = "what the fields are is said with their variants")]
pub enum BotEvent<'a> {
    /// The lobby has answered `welcome` after this time, and knows the player. `reason`: the code
    /// why their last room has ended for them.
    InLobby { took: Duration, you: &'a Value, reason: Option<&'a str> },
    /// The lobby does not accept the token, for this reason.
    TokenRefused(&'a Value),
    /// It is sent to this room. `took`: since it has asked, if it did.
    Rerouted { room: &'a str, took: Option<Duration> },
    /// It is in the room, this long after `reroute`.
    Joined { took: Duration },
    /// An event of the room or the lobby.
    Event { name: &'a str, data: &'a Payload },
    /// A request is answered, or refused with this code.
    Answered { event: &'a str, took: Duration, refusal: Option<&'a str> },
    /// The event `refused`, or a registration that is.
    Refused { event: &'a str, code: &'a str },
    /// A request is not answered, after this time.
    Unanswered { event: &'a str, waited: Duration },
    /// Its place is lost. It reconnects.
    Lost { how: &'a Disconnect },
    /// It has left for good.
    Gone,
}

/// Why a [`Bot`](super::Bot) is not where it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disconnect {
    /// The room has sent it to the lobby.
    Sent,
    /// It was told to vanish.
    Vanished,
    /// The connection ended or was refused, for this reason.
    Lost(String),
    /// It was told to quit.
    Quit,
}

/// What a [`Bot`](super::Bot) is told to do.
#[derive(Debug)]
pub enum BotCommand {
    /// Drop the connection, as a bad network does.
    Vanish,
    /// Send this once.
    Say(Request),
    /// Leave for good, gracefully.
    Quit,
}
