//! Requests of browsers: those that the cluster answers itself, and the users' own.

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{json, value::RawValue};

use crate::{
    lobby::{event_loop::LobbyLoop, hooks::Lobby},
    runtime::panics::catch_async,
    socketio::{connection::Message, events, packet::ConnId},
    types::{Answer, LeaveReason, Refusal, Reply, RoomId, ok},
};

impl<L: Lobby> LobbyLoop<L> {
    /// A browser asks something.
    pub(super) fn says(&mut self, conn: ConnId, message: Message) {
        if message.is_cut() {
            return;
        }
        self.cluster.sessions.borrow_mut().is_here(conn);
        let message = self.cluster.sessions.borrow_mut().keep_waiting(conn, message);
        let Some(Message { event, answer: to, .. }) = message else {
            return;
        };
        let answer = match (event.name.as_str(), event.data) {
            (_, Err(refusal)) => Err(refusal),
            ("register", Ok(data)) => return self.register(conn, data.as_deref(), to),
            ("logout", Ok(data)) => return self.log_out(data.as_deref(), to),
            // Who watches already has the list, which is the work of a moment to make.
            ("watch_rooms", Ok(_)) if self.cluster.sessions.borrow().is_watching(conn) => ok(),
            ("watch_rooms", Ok(_)) => {
                let list = json!(self.cluster.rooms.borrow().public());
                self.cluster.sessions.borrow_mut().watch(conn, &list);
                ok()
            }
            ("unwatch_rooms", Ok(_)) => {
                self.cluster.sessions.borrow_mut().unwatch(conn);
                ok()
            }
            ("leave_room", Ok(_)) => self.leave_room(conn),
            ("play", Ok(data)) => self.play(conn, data.as_deref()),
            ("join", Ok(data)) => self.join(conn, data.as_deref()),
            (name, Ok(data)) => self.request(conn, name, data.as_deref()),
        };
        match answer {
            Ok(Reply::Now(value)) => to.send(Ok(value)),
            Ok(Reply::Later(value)) => self.answers.push(Box::pin(async {
                let answer = catch_async("later", value).await;
                (to, answer.unwrap_or(Err(Refusal::INTERNAL)))
            })),
            Err(refusal) => to.send(Err(refusal)),
        }
    }

    fn request(&mut self, conn: ConnId, name: &str, data: Option<&RawValue>) -> Answer {
        let player = self.cluster.sessions.borrow().player(conn).ok_or(Refusal::NOT_REGISTERED)?;
        let request = events::decode(name, data)?;
        self.hook("on_request", |lobby, cluster| lobby.on_request(cluster, &player, request))
            .unwrap_or(Err(Refusal::INTERNAL))
            .map_err(|refusal| refusal.named(name))
    }

    /// A player wants to be in a room of some kind.
    fn play(&mut self, conn: ConnId, data: Option<&RawValue>) -> Answer {
        let player = self.cluster.sessions.borrow().player(conn).ok_or(Refusal::NOT_REGISTERED)?;
        let Play { kind } = form(data)?;
        let kind = kind.unwrap_or_else(|| self.cluster.kinds[0].name.to_owned());
        self.hook("pick", |lobby, cluster| cluster.play_kind(lobby, &kind, &player))
            .unwrap_or(Err(Refusal::INTERNAL))
    }

    /// A player wants to be in this room.
    fn join(&self, conn: ConnId, data: Option<&RawValue>) -> Answer {
        let player = self.cluster.sessions.borrow().player(conn).ok_or(Refusal::NOT_REGISTERED)?;
        match form(data)? {
            Join { room: Some(room), .. } => self.cluster.join(&player, &room),
            Join { code: Some(code), .. } => self.cluster.join_by_code(&player, &code),
            Join { .. } => Err(Refusal::bad_message("a room or a code is missing")),
        }
    }

    /// A player does not want the seat that waits for them.
    fn leave_room(&self, conn: ConnId) -> Answer {
        let player = self.cluster.sessions.borrow().player(conn).ok_or(Refusal::NOT_REGISTERED)?;
        self.cluster.rooms.borrow_mut().release(&player.id, &LeaveReason::Left);
        ok()
    }
}

/// The request `play`: of which kind the room is to be; without one, of the first that is registered.
#[derive(Deserialize)]
struct Play {
    kind: Option<String>,
}

/// The request `join`: a room of the list, or the code of a private one.
#[derive(Deserialize)]
struct Join {
    room: Option<RoomId>,
    code: Option<String>,
}

/// Reads what comes with a request of the cluster's own.
pub(super) fn form<T: DeserializeOwned>(data: Option<&RawValue>) -> Result<T, Refusal> {
    let data = data.map(RawValue::get).filter(|text| *text != "null").unwrap_or("{}");
    serde_json::from_str(data).map_err(Refusal::bad_message)
}
