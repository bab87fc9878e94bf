//! Message types, declared with [`messages!`](crate::messages), and their TypeScript declarations.

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

/// The message type of a hook that has no messages: an enum without variants.
/// [`unused!`](crate::unused) sets it.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
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

/// Sets the associated types that a lobby or a room does not use.
///
/// ```
/// # #[derive(Default)] struct MyLobby;
/// impl cluster::Lobby for MyLobby {
///     cluster::unused!(Request, Event);
/// }
/// ```
#[macro_export]
macro_rules! unused {
    (@set Options) => {
        type Options = ();
    };
    (@set $name:ident) => {
        type $name = $crate::Nothing;
    };
    ($($name:ident),* $(,)?) => { $($crate::unused!(@set $name);)* };
}
