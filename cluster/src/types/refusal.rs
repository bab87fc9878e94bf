//! Why a request was refused.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::types::raw::short;

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
    /// The program has no kind of room with this name.
    #[error("There is no such kind of room.")]
    NoSuchKind,
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
    /// The default of a hook refuses an event without its name: this adds it.
    pub(crate) fn named(self, event: &str) -> Self {
        match self {
            Refusal::UnknownEvent(name) if name.is_empty() => {
                Refusal::UnknownEvent(event.chars().take(40).collect())
            }
            other => other,
        }
    }

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
            Refusal::NoSuchKind => "no_such_kind",
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
