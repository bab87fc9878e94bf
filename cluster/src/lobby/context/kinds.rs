//! The kinds of rooms. Type erasure: the event loop and the registry of rooms know a kind by its
//! name and are not generic over the room's type.

use anyhow::ensure;
use futures_util::FutureExt as _;
use serde::Deserialize as _;
use serde_json::Value;

use crate::config::{Settings, Size};
use crate::lobby::{Lobby, LobbyContext, RoomLimits, RoomManager};
use crate::room::{Room, process};
use crate::rooms::{AnyRoom, RoomHook};
use crate::socketio::events;
use crate::types::{AnyPlayer, Refusal, RoomId};

/// A room takes 3 MiB before it does anything, and 2 MiB for each thread.
const MIN_ROOM_MEMORY: Size = Size(16 << 20);

/// A kind of room of the lobby `L`: [`kinds!`](crate::kinds) implements it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a kind of room of `{L}`",
    note = "add it to `cluster::kinds!` in src/room_manager.rs"
)]
pub trait RoomOf<L: Lobby>: Room<Profile = L::Profile> {
    #[doc(hidden)]
    const NAME: &'static str;
}

/// A lobby whose kinds of rooms are known.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no kinds of rooms",
    note = "list them in `cluster::kinds!` in src/room_manager.rs"
)]
pub trait Kinds: Lobby {
    #[doc(hidden)]
    fn kinds() -> Vec<Kind<Self>>;
}

/// Lists the kinds of rooms of a lobby, each with the name that pages pass to `play`. A page that
/// passes none gets the first. A kind that is missing here cannot be used in the lobby's hooks:
/// that does not compile.
///
/// ```
/// # use cluster::{Lobby, Refusal, Room, RoomContext, RoomManager};
/// # struct Chess;
/// # impl Room for Chess {
/// #     cluster::room_types! {}
/// #     async fn on_open(_: (), _: &RoomContext<Self>) -> Result<Self, Refusal> { Ok(Chess) }
/// # }
/// # struct Chat;
/// # impl Room for Chat {
/// #     cluster::room_types! {}
/// #     async fn on_open(_: (), _: &RoomContext<Self>) -> Result<Self, Refusal> { Ok(Chat) }
/// # }
/// # #[derive(Default)] struct Server;
/// # impl Lobby for Server { cluster::lobby_types! {} }
/// # impl RoomManager<Chess> for Server {}
/// # impl RoomManager<Chat> for Server {}
/// cluster::kinds!(Server: Chess = "chess", Chat = "chat");
/// ```
#[macro_export]
macro_rules! kinds {
    ($lobby:ty: $($room:ty = $name:literal),+ $(,)?) => {
        $(impl $crate::RoomOf<$lobby> for $room {
            const NAME: &'static str = $name;
        })+

        impl $crate::__private::Kinds for $lobby {
            fn kinds() -> Vec<$crate::__private::Kind<Self>> {
                vec![$($crate::__private::Kind::of::<$room>()),+]
            }
        }
    };
}

/// One kind of room, and the hooks of its [`RoomManager`].
pub struct Kind<L> {
    pub(crate) name: &'static str,
    pub(crate) limits: fn(&Settings) -> RoomLimits,
    pub(crate) pick: fn(&mut L, &LobbyContext<L>, AnyPlayer) -> Result<RoomId, Refusal>,
    /// Fails if they cannot be parsed as options of this kind.
    pub(crate) check_options: fn(&Value) -> serde_json::Result<()>,
    /// Calls a hook. Fails if its message cannot be parsed as one of this kind's.
    pub(crate) hook: fn(&mut L, &LobbyContext<L>, AnyRoom, RoomHook) -> anyhow::Result<()>,
    pub(crate) run: process::Run,
    /// Refuses a type of requests that cannot work.
    check_requests: fn() -> anyhow::Result<()>,
    /// Declares the types of its messages as TypeScript types; returns their names.
    #[cfg(debug_assertions)]
    pub(crate) declare: fn(&mut crate::types::typescript::Declarations) -> [String; 5],
}

impl<L: Lobby> Kind<L> {
    /// Refuses message types and limits that cannot work; called before anything starts.
    pub(crate) fn check(&self, settings: &Settings) -> anyhow::Result<()> {
        (self.check_requests)()?;
        let memory = (self.limits)(settings).memory;
        ensure!(memory >= MIN_ROOM_MEMORY, "{}: a room needs at least 16m of memory", self.name);
        Ok(())
    }

    #[doc(hidden)]
    pub fn of<R: RoomOf<L>>() -> Self
    where
        L: RoomManager<R>,
    {
        Kind {
            name: R::NAME,
            limits: L::limits,
            pick: |lobby, context, player| lobby.pick(context, &player.typed()),
            check_options: |options| R::Options::deserialize(options).map(drop),
            hook: |lobby, context, room, hook| {
                let room = &room.typed(R::NAME);
                match hook {
                    RoomHook::Ready => lobby.on_room_ready(context, room),
                    RoomHook::Adopted => lobby.on_room_adopted(context, room),
                    RoomHook::Message(message) => {
                        let message = serde_json::from_str(message.get())?;
                        lobby.on_room_message(context, room, message);
                    }
                    RoomHook::Joined(player) => {
                        lobby.on_player_joined(context, room, &player.typed());
                    }
                    RoomHook::Left(player, reason) => {
                        lobby.on_player_left(context, room, &player.typed(), reason);
                    }
                    RoomHook::Exit(exit) => lobby.on_room_exit(context, room, exit),
                }
                Ok(())
            },
            run: |opened| process::run::<R>(opened).boxed_local(),
            check_requests: || events::check_names::<R::Request>(&[events::LEAVE_ROOM]),
            #[cfg(debug_assertions)]
            declare: |types| {
                use crate::types::Message as _;
                [
                    R::Request::declare(types),
                    R::Event::declare(types),
                    R::State::declare(types),
                    R::Options::declare(types),
                    R::Listing::declare(types),
                ]
            },
        }
    }
}
