//! Message types, declared with [`messages!`](crate::messages), and their TypeScript declarations.
//! Messages between lobby and room are JSON text that only the receiver parses.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use tracing::error;

use crate::types::Refusal;

/// A type that a page sends or receives. Declare it with [`cluster::messages!`](crate::messages).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a message type",
    note = "declare it in `cluster::messages! {{ … }}`"
)]
pub trait Message: Sized + 'static {
    /// Adds the TypeScript declarations of the type and its parts; returns its name there.
    #[doc(hidden)]
    #[cfg(debug_assertions)]
    fn declare(types: &mut crate::types::typescript::Declarations) -> String;
}

/// What is passed on with a player, a seat or a room: a struct of [`messages!`](crate::messages)
/// that implements `Default`, or `()`.
pub trait Data: Message + Serialize + DeserializeOwned + Clone + Default {}

impl<T: Message + Serialize + DeserializeOwned + Clone + Default> Data for T {}

/// The message type of a hook that has no messages: an enum without variants.
/// [`lobby_types!`](crate::lobby_types) and [`room_types!`](crate::room_types) set it.
#[derive(Debug, Clone, Serialize, serde::Deserialize)]
pub enum Nothing {}

impl Message for Nothing {
    #[cfg(debug_assertions)]
    fn declare(_: &mut crate::types::typescript::Declarations) -> String {
        "never".to_owned()
    }
}

impl Message for () {
    #[cfg(debug_assertions)]
    fn declare(_: &mut crate::types::typescript::Declarations) -> String {
        "null".to_owned()
    }
}

/// Declares message types: enums and structs without generics.
///
/// Each gets `Debug`, `Clone`, serde's `Serialize` and `Deserialize`, and a TypeScript declaration
/// in `static/messages.d.ts`. An enum's variant, in snake_case, is the name of an event; its fields
/// are the event's data. Types may contain each other: a variant without fields is its name, and an
/// `Option` is `T | null`. A field whose type has no declaration, such as one of another crate,
/// names its TypeScript type: `#[cfg_attr(debug_assertions, ts(type = "string"))]`.
///
/// ```
/// cluster::messages! {
///     pub enum Say { Text(String), MoveTo { x: f32, y: f32 } }
///
///     #[derive(Default)]
///     pub struct Options { pub title: String }
/// }
/// # assert_eq!(serde_json::to_string(&Say::MoveTo { x: 1.0, y: 0.5 }).unwrap(), r#"{"move_to":{"x":1.0,"y":0.5}}"#);
/// ```
#[macro_export]
macro_rules! messages {
    () => {};
    (@declare $name:ident, $($item:tt)*) => {
        #[derive(Debug, Clone, $crate::__private::Serialize, $crate::__private::Deserialize)]
        #[serde(crate = "::cluster::__private::serde")]
        #[cfg_attr(debug_assertions, derive($crate::__private::TS))]
        #[cfg_attr(debug_assertions, ts(crate = "::cluster::__private::ts_rs"))]
        $($item)*

        impl $crate::Message for $name {
            #[cfg(debug_assertions)]
            fn declare(types: &mut $crate::__private::Declarations) -> String {
                types.add::<Self>()
            }
        }
    };
    ($(#[$meta:meta])* $vis:vis enum $name:ident { $($body:tt)* } $($rest:tt)*) => {
        $crate::messages! {
            @declare $name,
            #[serde(rename_all = "snake_case")] $(#[$meta])* $vis enum $name { $($body)* }
        }
        $crate::messages! { $($rest)* }
    };
    ($(#[$meta:meta])* $vis:vis struct $name:ident { $($body:tt)* } $($rest:tt)*) => {
        $crate::messages! { @declare $name, $(#[$meta])* $vis struct $name { $($body)* } }
        $crate::messages! { $($rest)* }
    };
    ($(#[$meta:meta])* $vis:vis struct $name:ident $(($($body:tt)*))?; $($rest:tt)*) => {
        $crate::messages! { @declare $name, $(#[$meta])* $vis struct $name $(($($body)*))?; }
        $crate::messages! { $($rest)* }
    };
}

/// Sets the types of a [`Lobby`](crate::Lobby): those that are listed, and the others to unused
/// ([`Nothing`](crate::Nothing) for messages, `()` for data).
///
/// ```
/// # cluster::messages! { pub enum Ask { Wave } }
/// # #[derive(Default)] struct MyLobby;
/// impl cluster::Lobby for MyLobby {
///     cluster::lobby_types! {
///         type Request = Ask;
///     }
/// }
/// ```
#[macro_export]
macro_rules! lobby_types {
    ($($(#[$meta:meta])* type $name:ident = $type:ty;)*) => {
        $($(#[$meta])* type $name = $type;)*
        $crate::unused_types!([$($name)*] (), Profile Account);
        $crate::unused_types!([$($name)*] $crate::Nothing, Request Event);
    };
}

/// Sets the types of a [`Room`](crate::Room): those that are listed, and the others to unused
/// ([`Nothing`](crate::Nothing) for messages, `()` for data).
///
/// ```
/// # use cluster::{Refusal, Room, RoomContext};
/// # cluster::messages! { pub enum Ask { Wave } }
/// # struct Hall;
/// impl Room for Hall {
///     cluster::room_types! {
///         type Request = Ask;
///     }
///
///     async fn on_open(_: (), _: &RoomContext<Self>) -> Result<Self, Refusal> {
///         Ok(Hall)
///     }
/// }
/// ```
#[macro_export]
macro_rules! room_types {
    ($($(#[$meta:meta])* type $name:ident = $type:ty;)*) => {
        $($(#[$meta])* type $name = $type;)*
        $crate::unused_types!([$($name)*] (), Options Listing Profile JoinOptions);
        $crate::unused_types!([$($name)*] $crate::Nothing, Request Event State FromLobby ToLobby);
    };
}

/// Sets types to unused, but for those that are listed in the brackets.
#[doc(hidden)]
#[macro_export]
macro_rules! unused_types {
    (@Account [Account $($rest:ident)*] $unused:ty) => {};
    (@Event [Event $($rest:ident)*] $unused:ty) => {};
    (@FromLobby [FromLobby $($rest:ident)*] $unused:ty) => {};
    (@JoinOptions [JoinOptions $($rest:ident)*] $unused:ty) => {};
    (@Listing [Listing $($rest:ident)*] $unused:ty) => {};
    (@Options [Options $($rest:ident)*] $unused:ty) => {};
    (@Profile [Profile $($rest:ident)*] $unused:ty) => {};
    (@Request [Request $($rest:ident)*] $unused:ty) => {};
    (@State [State $($rest:ident)*] $unused:ty) => {};
    (@ToLobby [ToLobby $($rest:ident)*] $unused:ty) => {};
    (@$name:ident [] $unused:ty) => { type $name = $unused; };
    (@$name:ident [$other:ident $($rest:ident)*] $unused:ty) => {
        $crate::unused_types!(@$name [$($rest)*] $unused);
    };
    ($listed:tt $unused:ty, $($name:ident)*) => {
        $($crate::unused_types!(@$name $listed $unused);)*
    };
}

/// Bytes of a message between lobby and room, and of the options of a room. A frame has 64 KiB; the
/// rest is for its other fields.
pub(crate) const MAX_RAW: usize = 60 * 1024;

/// Encodes a message. Fails if it is not JSON or too large.
pub(crate) fn to_raw(value: &impl Serialize) -> anyhow::Result<Box<RawValue>> {
    let raw = to_raw_value(value)?;
    let bytes = raw.get().len();
    anyhow::ensure!(bytes <= MAX_RAW, "{bytes} bytes are over the limit of {MAX_RAW}");
    Ok(raw)
}

/// Encodes a message of a hook. One that cannot be sent is logged and refused with `internal`.
pub(crate) fn encode_message(message: &impl Serialize) -> Result<Box<RawValue>, Refusal> {
    let raw = to_raw(message).inspect_err(|error| error!(%error, "message not sent"));
    raw.map_err(|_| Refusal::INTERNAL)
}

/// Encodes data that is passed on with a player, a seat or a room. What is longer than this as
/// JSON, or cannot be parsed again, is logged and refused with `internal`.
pub(crate) fn encode_data<T: Serialize + DeserializeOwned>(
    what: &str,
    data: &T,
    max: usize,
) -> Result<Value, Refusal> {
    let encode = || {
        let value = serde_json::to_value(data)?;
        let bytes = value.to_string().len();
        anyhow::ensure!(bytes <= max, "{bytes} bytes are over the limit of {max}");
        T::deserialize(&value)?;
        Ok(value)
    };
    encode().map_err(|error: anyhow::Error| {
        error!(%error, "{what} cannot be passed on");
        Refusal::INTERNAL
    })
}

/// The longest reason or message for people, in bytes.
const MAX_TEXT: usize = 1024;

/// Cuts a text off so that it fits into a frame.
pub(crate) fn truncate(text: impl Into<String>) -> String {
    let mut text = text.into();
    text.truncate(text.floor_char_boundary(MAX_TEXT));
    text
}
