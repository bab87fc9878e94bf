//! The registered kinds of rooms. Type erasure: the event loop and the registry of rooms know a
//! kind by its name and are not generic over the room's type.

use std::any::TypeId;

use serde_json::value::RawValue;

use crate::lobby::{Lobby, LobbyContext, RoomManager};
use crate::room::{Room, process};
use crate::rooms::AnyRoom;
use crate::types::{Exit, Player, Refusal, RoomId, from_raw};

/// One kind of room, and the hooks of its [`RoomManager`].
pub(crate) struct Kind<L> {
    pub name: &'static str,
    pub room: TypeId,
    pub pick: fn(&mut L, &LobbyContext<L>, &Player) -> Result<RoomId, Refusal>,
    pub on_room_ready: fn(&mut L, &LobbyContext<L>, AnyRoom),
    /// Fails if the message cannot be parsed as one of this kind's.
    pub on_room_message: fn(&mut L, &LobbyContext<L>, AnyRoom, &RawValue) -> anyhow::Result<()>,
    pub on_room_exit: fn(&mut L, &LobbyContext<L>, AnyRoom, Exit),
    /// How a room's process runs this kind.
    pub process: process::Kind,
    /// Declares its requests, events and options as TypeScript types; returns their names.
    #[cfg(debug_assertions)]
    pub declare: fn(&mut crate::types::typescript::Declarations) -> [String; 3],
}

impl<L: Lobby> Kind<L> {
    pub fn of<R: Room>(name: &'static str) -> Self
    where
        L: RoomManager<R>,
    {
        Kind {
            name,
            room: TypeId::of::<R>(),
            pick: L::pick,
            on_room_ready: |lobby, context, room| lobby.on_room_ready(context, &room.typed()),
            on_room_message: |lobby, context, room, message| {
                let message = from_raw(message)?;
                lobby.on_room_message(context, &room.typed(), message);
                Ok(())
            },
            on_room_exit: |lobby, context, room, exit| {
                lobby.on_room_exit(context, &room.typed(), exit);
            },
            process: process::Kind::of::<R>(name),
            #[cfg(debug_assertions)]
            declare: |types| {
                use crate::types::Message as _;
                [R::Request::declare(types), R::Event::declare(types), R::Options::declare(types)]
            },
        }
    }
}
