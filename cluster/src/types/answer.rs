//! Answers to requests: replies and refusals.

use std::borrow::Cow;
use std::fmt::Display;
use std::pin::Pin;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::types::truncate;

/// A hook's answer to a request: `ok()`, `reply(value)`, `deferred(future)`, or a refusal. The page
/// gets `{ ok: … }` or `{ error: { code, message } }`.
///
/// ```
/// # use cluster::{Answer, deferred, ok, refuse, reply};
/// # async fn load() -> Result<u32, cluster::Refusal> { Ok(1) }
/// # fn hook(n: u32) -> Answer {
/// match n {
///     0 => ok(),
///     1 => reply("some value"),
///     2 => deferred(async { load().await }),
///     _ => Err(refuse("too_large", "At most 2.")),
/// }
/// # }
/// ```
pub type Answer = Result<Reply, Refusal>;

/// A successful [`Answer`], made by [`ok()`], [`reply()`] or [`deferred()`].
pub enum Reply {
    /// The value, which is sent at once.
    Now(Value),
    /// The value, which is sent when the future is done. `Err` is sent as a refusal.
    Later(Pin<Box<dyn Future<Output = Result<Value, Refusal>>>>),
}

/// Answers `{ ok: {} }`: done, and there is nothing to say.
pub fn ok() -> Answer {
    Ok(Reply::Now(Value::Object(Default::default())))
}

/// Answers `{ ok: value }`. A value that cannot be JSON is refused with `internal`, and logged.
pub fn reply(value: impl Serialize) -> Answer {
    to_value(value).map(Reply::Now)
}

/// Answers when the future is done. Other hooks run meanwhile, so it cannot borrow the state. To
/// change the state with the result, use [`spawn`](crate::Scheduler::spawn).
pub fn deferred<T: Serialize>(
    future: impl Future<Output = Result<T, Refusal>> + 'static,
) -> Answer {
    Ok(Reply::Later(Box::pin(async move { to_value(future.await?) })))
}

fn to_value(value: impl Serialize) -> Result<Value, Refusal> {
    serde_json::to_value(value).map_err(|error| {
        tracing::error!(%error, "an answer cannot be encoded as JSON");
        Refusal::INTERNAL
    })
}

/// Why a request was refused: a code for programs and a message for people. On the wire `{ code,
/// message }`.
///
/// [`refuse()`] makes your own. The constants are refusals of the cluster. Five more have a message
/// of their own each time: `unknown_event`, `bad_message`, `too_large`, `kicked` and `banned`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    code: Cow<'static, str>,
    message: Cow<'static, str>,
}

/// A refusal of your own, with a code in snake_case. A message longer than 1 KiB is cut off.
///
/// ```
/// # use cluster::{Answer, refuse};
/// fn start(is_host: bool) -> Answer {
///     if !is_host {
///         return Err(refuse("not_host", "Only the host can start the game."));
///     }
///     cluster::ok()
/// }
/// ```
pub fn refuse(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Refusal {
    Refusal { code: code.into(), message: truncate(message).into() }
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
    /// The request needs a registered player.
    NOT_REGISTERED = "not_registered", "Register first.";
    /// A second registration on one connection.
    ALREADY_REGISTERED = "already_registered", "You are already registered.";
    /// The name is empty, too long, or cannot be shown.
    BAD_NAME = "bad_name", "A name has 1 to 24 visible characters.";
    /// The lobby does not allow it.
    NOT_ALLOWED = "not_allowed", "This is not allowed here.";
    /// The token is forged, expired, or logged out.
    BAD_TOKEN = "bad_token", "Your login has expired. Please register again.";
    /// The ticket was used, has expired, or never existed.
    BAD_TICKET = "bad_ticket", "This ticket is not valid any more. Try to join again.";
    /// The player connected in another window.
    REPLACED = "replaced", "You are connected in another window.";
    /// A rate limit was exceeded, or the room is busy.
    TOO_FAST = "too_fast", "Too many requests. Try again in a moment.";
    /// Too many wrong codes of private rooms.
    TOO_MANY_GUESSES = "too_many_guesses", "Too many wrong codes. Try again in a minute.";
    /// The player logged out.
    LOGGED_OUT = "logged_out", "You have logged out.";
    /// No room can be started, or the room did not start.
    NO_ROOM = "no_room", "No room can be opened now. Try again later.";
    /// No kind of room with this name is registered.
    NO_SUCH_KIND = "no_such_kind", "There is no such kind of room.";
    /// The room does not exist, or is private.
    NO_SUCH_ROOM = "no_such_room", "There is no such room.";
    /// All seats are taken.
    ROOM_FULL = "room_full", "The room is full.";
    /// The room is locked or ending.
    ROOM_LOCKED = "room_locked", "The room does not accept new players.";
    /// The player has left the room, or gone to another one.
    NOT_IN_ROOM = "not_in_room", "You are not in this room any more.";
    /// The room ended before the player joined.
    ROOM_GONE = "room_gone", "The room has ended.";
    /// The room limit of a player or an address is reached.
    TOO_MANY_ROOMS = "too_many_rooms", "Room limit reached for you or your network.";
    /// More than 32 players asked to join together.
    PARTY_TOO_LARGE = "party_too_large", "At most 32 players can join together.";
    /// Too many reroutes that the player did not ask for.
    REROUTE_LOOP = "reroute_loop", "You were sent from room to room too often. You stay where you are.";
    /// The lobby is stopping.
    STOPPING = "stopping", "The server is stopping.";
    /// The server failed, for example because a hook panicked; the log says why.
    INTERNAL = "internal", "An internal error occurred. Try again.";
}

impl Refusal {
    /// The code for programs, in snake_case.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// The message for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// There is no request of this name. With an empty name, the name of the request is put in.
    pub fn unknown_event(name: &str) -> Self {
        refuse("unknown_event", format!("There is no event '{name:.40}'."))
    }

    /// The data of a request cannot be parsed. A long error, which may quote it, is cut off.
    pub(crate) fn bad_message(error: impl Display) -> Self {
        refuse("bad_message", format!("Malformed message: {:.200}", error.to_string()))
    }

    /// A message exceeds the size limit.
    pub(crate) fn too_large(most: u64) -> Self {
        refuse("too_large", format!("A message has at most {most} bytes."))
    }

    /// The room or the lobby banned the player.
    pub(crate) fn banned(reason: &str) -> Self {
        refuse("banned", reason)
    }

    /// A hook's default implementation refuses without knowing the event's name; this adds the
    /// name.
    pub(crate) fn named(self, event: &str) -> Self {
        if self == Refusal::unknown_event("") { Refusal::unknown_event(event) } else { self }
    }
}
