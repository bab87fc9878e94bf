//! Why a request was refused.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Serialize, Serializer};

use crate::types::raw::short;

/// Why a request was refused: a code for programs and a message for players. On the wire `{ code,
/// message }`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    code: Cow<'static, str>,
    #[serde(serialize_with = "shortened")]
    message: Cow<'static, str>,
}

/// A refusal of your own, with a code in snake_case: `Err(refuse("not_host", "Only the host can
/// start."))`.
pub fn refuse(
    code: impl Into<Cow<'static, str>>,
    message: impl Into<Cow<'static, str>>,
) -> Refusal {
    Refusal { code: code.into(), message: message.into() }
}

macro_rules! refusals {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $message:literal;)*) => {
        impl Refusal {
            $(
                $(#[$doc])*
                pub const $name: Refusal =
                    Refusal { code: Cow::Borrowed($code), message: Cow::Borrowed($message) };
            )*
        }
    };
}

refusals! {
    /// A request that only players may make.
    NOT_REGISTERED = "not_registered", "Register first.";
    /// A second registration on one connection.
    ALREADY_REGISTERED = "already_registered", "You are registered already.";
    /// The name is empty, too long, or cannot be shown.
    BAD_NAME = "bad_name", "A name has 1 to 24 visible characters.";
    /// The token is forged, expired, or its login was ended.
    BAD_TOKEN = "bad_token", "Your login is no longer valid; please register again.";
    /// The ticket was used before, has expired, or never existed.
    BAD_TICKET = "bad_ticket", "This ticket is no longer valid; ask for a room again.";
    /// The same player has connected in another window.
    REPLACED = "replaced", "You are connected in another window.";
    /// A rate limit was exceeded.
    TOO_FAST = "too_fast", "Too many requests; try again in a moment.";
    /// Too many wrong codes of private rooms.
    TOO_MANY_GUESSES = "too_many_guesses", "Too many wrong codes; try again in a minute.";
    /// The login of this connection was ended.
    LOGGED_OUT = "logged_out", "You have logged out.";
    /// The program has no kind of room with this name.
    NO_SUCH_KIND = "no_such_kind", "There is no such kind of room.";
    /// The room does not exist, or is private.
    NO_SUCH_ROOM = "no_such_room", "There is no such room.";
    /// All seats are taken.
    ROOM_FULL = "room_full", "The room is full.";
    /// The room is locked, or about to end.
    ROOM_LOCKED = "room_locked", "The room takes no more players.";
    /// The room ended while the player was on the way.
    ROOM_GONE = "room_gone", "The room ended before you joined; try another one.";
    /// The limit of rooms of one player, or of one address, is reached.
    TOO_MANY_ROOMS = "too_many_rooms", "Room limit reached for you or your network.";
    /// More than 32 players are to join together.
    PARTY_TOO_LARGE = "party_too_large", "At most 32 players can join together.";
    /// Too many server-initiated reroutes.
    REROUTE_LOOP = "reroute_loop", "You were sent from room to room too often, so you stay here.";
    /// The lobby is stopping.
    STOPPING = "stopping", "The server is stopping; come back in a moment.";
    /// A hook panicked.
    INTERNAL = "internal", "Something went wrong on the server; try again.";
}

impl Refusal {
    /// The code on the wire, in snake_case.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The message for players.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// No request has this name.
    pub fn unknown_event(name: &str) -> Self {
        refuse("unknown_event", format!("There is no event '{}'.", start_of(name, 40)))
    }

    /// The data of a request does not parse.
    pub(crate) fn bad_message(why: impl fmt::Display) -> Self {
        refuse("bad_message", format!("Malformed message: {}", start_of(&why.to_string(), 200)))
    }

    /// A message is larger than allowed.
    pub(crate) fn too_large(most: u64) -> Self {
        refuse("too_large", format!("A message has at most {most} bytes."))
    }

    /// No room can be opened.
    pub(crate) fn no_room(why: impl fmt::Display) -> Self {
        refuse("no_room", format!("No room can be opened now: {why}"))
    }

    /// Kicked from the room or the lobby, with this message.
    pub(crate) fn kicked(reason: &str) -> Self {
        refuse("kicked", short(reason))
    }

    /// Kicked and not admitted again, with this message.
    pub(crate) fn banned(reason: &str) -> Self {
        refuse("banned", short(reason))
    }

    /// Adds the event's name, which the default of a hook does not know.
    pub(crate) fn named(self, event: &str) -> Self {
        if self == Refusal::unknown_event("") { Refusal::unknown_event(event) } else { self }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refusal {}

/// Cuts text of a browser that is sent back.
fn start_of(text: &str, chars: usize) -> String {
    text.chars().take(chars).collect()
}

fn shortened<S: Serializer>(message: &str, to: S) -> Result<S::Ok, S::Error> {
    short(message).serialize(to)
}
