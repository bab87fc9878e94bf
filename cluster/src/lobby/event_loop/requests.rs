//! Requests of browsers: those that the cluster answers itself, and those for `on_request`.

use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::lobby::context::List;
use crate::lobby::event_loop::EventHandler;
use crate::lobby::{Lobby, Registration};
use crate::socketio::{Conn, ConnId, Message, Responder, events};
use crate::types::{Answer, AnyPlayer, LeaveReason, Refusal, RoomId, ok};

/// What the cluster answers itself. No request of the project's has such a name. `play` names a
/// kind of room, by default the one registered first; `join` has the id of a public room, or the
/// code of a private one.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum OwnRequest {
    Register(Registration),
    Logout { token: String },
    WatchRooms,
    UnwatchRooms,
    WatchPlayers,
    UnwatchPlayers,
    Play { kind: Option<String> },
    Join { room: Option<RoomId>, code: Option<String> },
    LeaveRoom,
}

/// Their names.
pub(crate) static OWN_REQUESTS: LazyLock<&[&str]> =
    LazyLock::new(|| events::names::<OwnRequest>().expect("it is an enum"));

impl<L: Lobby> EventHandler<'_, L> {
    /// Handles a message and sends its answer, now or when a deferred one is ready.
    pub fn handle_message(&mut self, conn: ConnId, message: Message) {
        if message.responder.conn.is_hung_up() {
            return;
        }
        let message = self.context.sessions.borrow_mut().receive(conn, message);
        let Some(Message { event, responder }) = message else { return };
        let answer = match event.data {
            Ok(data) if OWN_REQUESTS.contains(&&*event.name) => {
                match events::decode(&event.name, data.as_deref()) {
                    Ok(request) => return self.own_request(request, responder),
                    Err(refusal) => Err(refusal),
                }
            }
            Ok(data) => self.request(&responder.conn, &event.name, data.as_deref()),
            Err(refusal) => Err(refusal),
        };
        responder.answer(answer, &self.context.scheduler);
    }

    fn own_request(&mut self, request: OwnRequest, responder: Responder) {
        let (context, conn) = (self.context, &responder.conn);
        let answer = match request {
            OwnRequest::Register(form) => return self.register(form, responder),
            OwnRequest::Logout { token } => return self.log_out(&token, responder),
            OwnRequest::WatchRooms => context.watch(List::Rooms, conn),
            OwnRequest::UnwatchRooms => context.unwatch(List::Rooms, conn.id),
            OwnRequest::WatchPlayers => self.watch_players(conn),
            OwnRequest::UnwatchPlayers => context.unwatch(List::Players, conn.id),
            OwnRequest::Play { kind } => self.play(conn, kind),
            OwnRequest::Join { room, code } => self.join(conn, room, code),
            OwnRequest::LeaveRoom => self.leave_room(conn),
        };
        responder.answer(answer, &context.scheduler);
    }

    fn watch_players(&mut self, conn: &Conn) -> Answer {
        let player = self.player(conn)?.typed();
        self.hook("on_watch_players", |lobby, context| lobby.on_watch_players(context, &player))??;
        self.context.watch(List::Players, conn)
    }

    fn play(&mut self, conn: &Conn, kind: Option<String>) -> Answer {
        let player = self.player(conn)?;
        let kind = kind.unwrap_or_else(|| self.context.kinds[0].name.to_owned());
        self.hook("pick", |lobby, context| context.play_kind(lobby, &kind, player))?
    }

    fn join(&self, conn: &Conn, room: Option<RoomId>, code: Option<String>) -> Answer {
        let player = self.player(conn)?.typed::<L::Profile>();
        match (room, code) {
            (Some(room), None) => self.context.join(&player, &room),
            (None, Some(code)) => self.context.join_by_code(&player, &code),
            _ => Err(Refusal::bad_message("either a room or a code is needed")),
        }
    }

    fn leave_room(&self, conn: &Conn) -> Answer {
        let player = self.player(conn)?;
        self.context.rooms.borrow_mut().release(&player.id, &LeaveReason::Left);
        ok()
    }

    /// A request of the project's.
    fn request(&mut self, conn: &Conn, name: &str, data: Option<&RawValue>) -> Answer {
        let (player, request) = (self.player(conn)?.typed(), events::decode(name, data)?);
        self.hook("on_request", |lobby, context| lobby.on_request(context, &player, request))?
            .map_err(|refusal| refusal.named(name))
    }

    fn player(&self, conn: &Conn) -> Result<AnyPlayer, Refusal> {
        self.context.sessions.borrow().player(conn.id).ok_or(Refusal::NOT_REGISTERED)
    }
}
