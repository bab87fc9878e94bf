//! The words that lobby, rooms and browsers share: who somebody is, why somebody was refused, why
//! a player left, how a room ended, and how a hook answers.

use std::{borrow::Cow, fmt, pin::Pin};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, value::RawValue};

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(any(test, feature = "testing"), derive(ts_rs::TS))]
        pub struct $name(pub String);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// Who a player is, for days: the subject of the token. Never a socket id.
    PlayerId
);
text_id!(
    /// One room: one process, one session of play or work.
    RoomId
);

/// A registered person, the same in the lobby and in rooms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "testing"), derive(ts_rs::TS))]
pub struct Player {
    #[allow(missing_docs)] // A doc would be in the types of every page.
    pub id: PlayerId,
    /// As the person typed it, checked by `on_register`. Show it as text, never as HTML.
    pub name: String,
}

impl AsRef<PlayerId> for PlayerId {
    fn as_ref(&self) -> &PlayerId {
        self
    }
}

impl AsRef<PlayerId> for Player {
    fn as_ref(&self) -> &PlayerId {
        &self.id
    }
}

/// A player is the smallest party.
impl AsRef<[Player]> for Player {
    fn as_ref(&self) -> &[Player] {
        std::slice::from_ref(self)
    }
}

/// Why somebody was not given what he asked for: a code that a browser can match and a text that a
/// person can read. On the wire `{ code, message }`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A request that only players may make.
    #[error("Register first.")]
    NotRegistered,
    /// A second registration on one connection.
    #[error("You are registered already.")]
    AlreadyRegistered,
    /// The name is empty, too long, or cannot be shown.
    #[error("A name has 1 to 24 visible characters.")]
    BadName,
    /// The token is forged, expired, or its login was ended.
    #[error("This token is not valid any more; register again.")]
    BadToken,
    /// The ticket was used before, has expired, or never existed.
    #[error("This ticket is not valid any more.")]
    BadTicket,
    /// The same player has connected in another window.
    #[error("You are connected in another window.")]
    Replaced,
    /// The text is the reason that was given.
    #[error("{0}")]
    Kicked(String),
    /// The text is the reason that was given.
    #[error("{0}")]
    Banned(String),
    /// No request has this name.
    #[error("There is no event '{0}'.")]
    UnknownEvent(String),
    /// The data of a request cannot be read, and why.
    #[error("That message is not of the right form: {0}")]
    BadMessage(String),
    /// A rate limit was exceeded.
    #[error("Too many at once; try again in a moment.")]
    TooFast,
    /// So many bytes are allowed.
    #[error("A message has at most {0} bytes.")]
    TooLarge(u64),
    /// Too many wrong codes of private rooms.
    #[error("Too many wrong codes; try again in a minute.")]
    TooManyGuesses,
    /// The login of this connection was ended.
    #[error("You have logged out.")]
    LoggedOut,
    /// The room does not exist, or is private.
    #[error("There is no such room.")]
    NoSuchRoom,
    /// All seats are taken.
    #[error("The room is full.")]
    RoomFull,
    /// The room is locked, or about to end.
    #[error("The room takes no more players.")]
    RoomLocked,
    /// The room ended while the player was on the way.
    #[error("The room ended before you were in it.")]
    RoomGone,
    /// No room can be opened, and why.
    #[error("No room can be opened now: {0}")]
    NoRoom(String),
    /// The limit of rooms of one player, or of one address, is reached.
    #[error("You, or others in your network, have opened as many rooms as may be.")]
    TooManyRooms,
    /// More than 32 players are to join together.
    #[error("So many cannot go together.")]
    PartyTooLarge,
    /// Too many reroutes that nobody asked for.
    #[error("Sent from room to room again and again; stopped here.")]
    RerouteLoop,
    /// The lobby is stopping.
    #[error("The server is stopping.")]
    Stopping,
    /// A hook panicked.
    #[error("Something went wrong here.")]
    Internal,
    /// A refusal of your own, made with [`refuse`].
    #[error("{message}")]
    Other {
        /// For programs, in snake_case.
        code: Cow<'static, str>,
        /// For people.
        message: String,
    },
}

/// A refusal with a code and a text of your own: `Err(refuse("not_host", "Only the host starts."))`.
pub fn refuse(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Refusal {
    Refusal::Other { code: code.into(), message: message.into() }
}

impl Refusal {
    /// The code on the wire, in snake_case.
    pub fn code(&self) -> &str {
        match self {
            Refusal::NotRegistered => "not_registered",
            Refusal::AlreadyRegistered => "already_registered",
            Refusal::BadName => "bad_name",
            Refusal::BadToken => "bad_token",
            Refusal::BadTicket => "bad_ticket",
            Refusal::Replaced => "replaced",
            Refusal::Kicked(_) => "kicked",
            Refusal::Banned(_) => "banned",
            Refusal::UnknownEvent(_) => "unknown_event",
            Refusal::BadMessage(_) => "bad_message",
            Refusal::TooFast => "too_fast",
            Refusal::TooLarge(_) => "too_large",
            Refusal::TooManyGuesses => "too_many_guesses",
            Refusal::LoggedOut => "logged_out",
            Refusal::NoSuchRoom => "no_such_room",
            Refusal::RoomFull => "room_full",
            Refusal::RoomLocked => "room_locked",
            Refusal::RoomGone => "room_gone",
            Refusal::NoRoom(_) => "no_room",
            Refusal::TooManyRooms => "too_many_rooms",
            Refusal::PartyTooLarge => "party_too_large",
            Refusal::RerouteLoop => "reroute_loop",
            Refusal::Stopping => "stopping",
            Refusal::Internal => "internal",
            Refusal::Other { code, .. } => code,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct RefusalOnWire<'a> {
    code: Cow<'a, str>,
    message: Cow<'a, str>,
}

impl Serialize for Refusal {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        RefusalOnWire { code: self.code().into(), message: short(self.to_string()).into() }
            .serialize(to)
    }
}

impl<'de> Deserialize<'de> for Refusal {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let wire = RefusalOnWire::deserialize(from)?;
        Ok(refuse(wire.code.into_owned(), wire.message))
    }
}

/// Why a player left a room for good. On the wire its text, which is the reason that his page gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leave {
    /// He asked to.
    Left,
    /// His connection was lost, and he did not return within the grace that `on_drop` gave.
    Dropped,
    /// He had a seat and never came to take it.
    Expired,
    /// The room closed with an outcome.
    Finished,
    /// The room closed without one: the lobby wanted it to, for this reason.
    Closed(String),
    /// He is on his way to another room.
    Moved,
    /// A reason of your own, given to `send_to_lobby`.
    Sent(String),
    /// Put out by the room or the lobby, with `kick` or `ban`, for this reason.
    Kicked(String),
}

impl fmt::Display for Leave {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Leave::Left => "left",
            Leave::Dropped => "dropped",
            Leave::Expired => "expired",
            Leave::Finished => "finished",
            Leave::Moved => "moved",
            Leave::Closed(reason) | Leave::Sent(reason) | Leave::Kicked(reason) => reason,
        })
    }
}

impl Serialize for Leave {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// How a room ended; `on_room_exit` gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit<Outcome> {
    /// The room called `close(outcome)`.
    Finished(Outcome),
    /// It ended in order without an outcome: empty for too long, or closed by the lobby.
    Closed,
    /// The process died, or said something that no room says. The text is for the log.
    Crashed(String),
    /// It gave no sign of life for too long and was killed.
    Hung,
    /// It did not become ready in time, or said why it cannot.
    NeverReady(String),
}

impl<Outcome> Exit<Outcome> {
    /// The reason that the room's players are told.
    pub fn reason(&self) -> &'static str {
        match self {
            Exit::Finished(_) => "finished",
            Exit::Closed => "closed",
            Exit::Crashed(_) => "crashed",
            Exit::Hung => "hung",
            Exit::NeverReady(_) => "never_ready",
        }
    }
}

impl Exit<Box<RawValue>> {
    /// With the outcome as the lobby's hook gets it.
    pub(crate) fn typed<Outcome: DeserializeOwned>(self) -> Exit<Outcome> {
        match self {
            Exit::Finished(outcome) => match from_raw(&outcome) {
                Ok(outcome) => Exit::Finished(outcome),
                Err(error) => Exit::Crashed(format!("an outcome that does not parse: {error}")),
            },
            Exit::Closed => Exit::Closed,
            Exit::Crashed(what) => Exit::Crashed(what),
            Exit::Hung => Exit::Hung,
            Exit::NeverReady(why) => Exit::NeverReady(why),
        }
    }
}

/// What a hook answers to a request: `done()`, `reply(value)`, `later(future)`, or a refusal.
/// The player gets `{ ok: … }` or `{ error: { code, message } }`.
pub type Answer = Result<Reply, Refusal>;

/// The good half of an [`Answer`].
pub enum Reply {
    /// The answer.
    Now(Value),
    /// The answer, once this has it.
    Later(Pin<Box<dyn Future<Output = Result<Value, Refusal>>>>),
}

/// Answers `{ ok: {} }`.
pub fn done() -> Answer {
    Ok(Reply::Now(Value::Object(Default::default())))
}

/// Answers `{ ok: value }`.
pub fn reply(value: impl Serialize) -> Answer {
    to_value(value).map(Reply::Now)
}

/// Answers when the future is done. It does not borrow the state, and other hooks run meanwhile.
pub fn later<T: Serialize>(future: impl Future<Output = Result<T, Refusal>> + 'static) -> Answer {
    Ok(Reply::Later(Box::pin(async move { to_value(future.await?) })))
}

fn to_value(value: impl Serialize) -> Result<Value, Refusal> {
    serde_json::to_value(value).map_err(|error| {
        tracing::error!(%error, "an answer cannot be written as JSON");
        Refusal::Internal
    })
}

/// The largest message between lobby and room; the rest of a frame fits beside it.
const MAX_RAW: usize = 60 * 1024;

/// What one of them says to the other, as JSON text that is passed on without looking inside.
pub(crate) fn to_raw(value: &impl Serialize) -> anyhow::Result<Box<RawValue>> {
    let raw = serde_json::value::to_raw_value(value)?;
    let bytes = raw.get().len();
    anyhow::ensure!(bytes <= MAX_RAW, "{bytes} bytes are over the limit of {MAX_RAW}");
    Ok(raw)
}

/// Bytes of a reason or a message for a person.
const MAX_TEXT: usize = 1024;

/// A text that fits into a frame: the beginning of a longer one.
pub(crate) fn short(text: impl Into<String>) -> String {
    let mut text = text.into();
    text.truncate(text.floor_char_boundary(MAX_TEXT));
    text
}

/// A room's options on their way to it. The list of rooms is made of values: what cannot be one shows here.
pub(crate) fn options_to_raw(options: &impl Serialize) -> anyhow::Result<Box<RawValue>> {
    to_raw(&serde_json::to_value(options)?)
}

/// What [`to_raw`] wrote, as a value again.
pub(crate) fn from_raw<T: DeserializeOwned>(raw: &RawValue) -> anyhow::Result<T> {
    Ok(serde_json::from_str(raw.get())?)
}
