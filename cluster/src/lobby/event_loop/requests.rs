//! Requests of browsers: those that the cluster answers itself, and those for `on_request`.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::lobby::Lobby;
use crate::lobby::context::List;
use crate::lobby::event_loop::EventHandler;
use crate::socketio::events::{LEAVE_ROOM, decode_own, no_data};
use crate::socketio::{Conn, ConnId, Message, events};
use crate::types::{Answer, LeaveReason, Refusal, RoomId, ok};

impl<L: Lobby> EventHandler<'_, L> {
    /// Handles a message and sends its answer, now or when a deferred one is ready.
    pub fn handle_message(&mut self, conn: ConnId, message: Message) {
        if message.responder.conn.is_hung_up() {
            return;
        }
        let message = self.context.sessions.borrow_mut().receive(conn, message);
        let Some(Message { event, responder }) = message else { return };
        let context = self.context;
        let answer = match (&*event.name, event.data.as_ref().map(Option::as_deref)) {
            (_, Err(refusal)) => Err(refusal.clone()),
            ("register", Ok(data)) => return self.register(conn, data, responder),
            ("logout", Ok(data)) => return self.log_out(data, responder),
            ("watch_rooms", Ok(data)) => context.watch(List::Rooms, &responder.conn, data),
            ("unwatch_rooms", Ok(data)) => context.unwatch(List::Rooms, conn, data),
            ("unwatch_players", Ok(data)) => context.unwatch(List::Players, conn, data),
            (name, Ok(data)) => self.player_request(&responder.conn, name, data),
        };
        responder.answer(answer, &self.context.scheduler);
    }

    /// A request that only a player may make.
    fn player_request(&mut self, conn: &Conn, name: &str, data: Option<&RawValue>) -> Answer {
        let player = self.context.sessions.borrow().player(conn.id);
        let player = player.ok_or(Refusal::NOT_REGISTERED)?;
        match name {
            "play" => {
                let Play { kind } = decode_own(data)?;
                let kind = kind.unwrap_or_else(|| self.context.kinds[0].name.to_owned());
                self.hook("pick", |lobby, context| context.play_kind(lobby, &kind, player))?
            }
            "join" => {
                let player = player.typed::<L::Profile>();
                match decode_own(data)? {
                    Join { room: Some(room), code: None } => self.context.join(&player, &room),
                    Join { room: None, code: Some(code) } => {
                        self.context.join_by_code(&player, &code)
                    }
                    Join { .. } => Err(Refusal::bad_message("either a room or a code is needed")),
                }
            }
            "watch_players" => {
                let player = player.typed();
                self.hook("on_watch_players", |lobby, context| {
                    lobby.on_watch_players(context, &player)
                })??;
                self.context.watch(List::Players, conn, data)
            }
            LEAVE_ROOM => {
                no_data(data)?;
                self.context.rooms.borrow_mut().release(&player.id, &LeaveReason::Left);
                ok()
            }
            _ => {
                let (player, request) = (player.typed(), events::decode(name, data)?);
                self.hook("on_request", |lobby, context| {
                    lobby.on_request(context, &player, request)
                })?
                .map_err(|refusal| refusal.named(name))
            }
        }
    }
}

/// The request `play`: a kind of room; by default the one registered first.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Play {
    kind: Option<String>,
}

/// The request `join`: the number of a public room, or the code of a private one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Join {
    room: Option<RoomId>,
    code: Option<String>,
}
