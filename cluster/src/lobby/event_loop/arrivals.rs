//! How sessions come into the lobby, become players, and leave it.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{json, value::RawValue};
use tracing::{error, info};

use crate::{
    auth::token::Login,
    lobby::{
        event_loop::{Auth, LobbyLoop, requests::form},
        hooks::{Arrival, Identity, Lobby, Registration},
    },
    runtime::{clock, panics::catch_async},
    socketio::{
        connection::{Conn, Responder},
        packet::ConnId,
    },
    types::{LeaveReason, Player, Refusal, RoomId},
};

/// Of the wire contract, told in `welcome`.
const WIRE_VERSION: u32 = 1;
/// How long a player who is back waits to hear why: a dying room's verdict is on its way.
const VERDICT: Duration = Duration::from_millis(250);

impl<L: Lobby> LobbyLoop<L> {
    /// A browser has connected.
    pub(super) fn come(&mut self, conn: Conn, auth: Auth) {
        self.cluster.sessions.borrow_mut().add(conn.clone());
        match auth {
            Ok(None) => welcome(&conn, None, None, Ok(None)),
            Err(refusal) => welcome(&conn, None, None, Err(&refusal)),
            // Looked up here, where logouts are one after the other with all else.
            Ok(Some(login)) if self.logouts.contains(&login.sid) => {
                self.cluster.tokens.wrong.add();
                welcome(&conn, None, None, Err(&Refusal::BAD_TOKEN));
            }
            Ok(Some(login)) => {
                let player = login.player.clone();
                if let Err(refusal) = self.cluster.sessions.borrow().admit(&player.id) {
                    return conn.dismiss(&refusal);
                }
                self.enter(conn.id, login);
                // His room may have died a moment ago: its verdict is the true reason for his return.
                let mut sessions = self.cluster.sessions.borrow_mut();
                let away = self.cluster.rooms.borrow().is_away(&player.id);
                if away && !sessions.has_exit_notice(&player.id) {
                    sessions.wait(conn.id, clock::now() + VERDICT);
                } else {
                    drop(sessions);
                    self.arrive(conn.id, &player);
                }
            }
        }
    }

    /// The connection is this player's from now on. His newest one wins.
    pub(super) fn enter(&mut self, conn: ConnId, login: Login) {
        let player = login.player.clone();
        let replaced = self.cluster.sessions.borrow_mut().enter(conn, login);
        if let Some((old, had_arrived)) = replaced {
            old.dismiss(&Refusal::REPLACED);
            if had_arrived {
                self.hook("on_leave", |lobby, cluster| lobby.on_leave(cluster, &player));
            }
        }
    }

    /// A player who was known already is in the lobby.
    pub(super) fn arrive(&mut self, conn: ConnId, player: &Player) {
        let mut sessions = self.cluster.sessions.borrow_mut();
        let returned = sessions.take_exit_notice(&player.id);
        let token = sessions.take_token(conn);
        if let Some(conn) = sessions.conn(conn) {
            welcome(&conn, Some(player), returned.as_ref(), Ok(token));
        }
        drop(sessions);
        let how = match returned {
            Some((room, reason)) => {
                info!(player = %player.name, id = %player.id, %room, %reason, "back in the lobby");
                Arrival::Returned { room, reason }
            }
            None => {
                info!(player = %player.name, id = %player.id, "in the lobby");
                Arrival::Resumed
            }
        };
        self.hook("on_arrive", |lobby, cluster| lobby.on_arrive(cluster, player, how));
    }

    /// The verdict is here, or does not come in time.
    pub(super) fn stop_waiting(&mut self, conn: ConnId) {
        let waited = self.cluster.sessions.borrow_mut().stop_waiting(conn);
        if let Some((player, messages)) = waited {
            self.arrive(conn, &player);
            messages.into_iter().for_each(|message| self.says(conn, message));
        }
    }

    /// A browser has disconnected.
    pub(super) fn gone(&mut self, conn: ConnId) {
        let player = self.cluster.sessions.borrow_mut().remove(conn);
        if let Some(player) = player {
            info!(player = %player.name, id = %player.id, "left the lobby");
            self.hook("on_leave", |lobby, cluster| lobby.on_leave(cluster, &player));
        }
    }

    /// Somebody wants to be a player.
    pub(super) fn register(&mut self, conn: ConnId, data: Option<&RawValue>, to: Responder) {
        let form = match form::<Registration>(data) {
            Ok(form) => form,
            Err(refusal) => return to.send(Err(refusal)),
        };
        if !self.cluster.sessions.borrow_mut().begins_to_register(conn) {
            return to.send(Err(Refusal::TOO_FAST));
        }
        let identity = catch_async("on_register", L::on_register(form));
        self.registering.push(Box::pin(async move {
            (conn, to, identity.await.unwrap_or(Err(Refusal::INTERNAL)))
        }));
    }

    pub(super) fn registered(
        &mut self,
        conn: ConnId,
        to: Responder,
        identity: Result<Identity, Refusal>,
    ) {
        if !self.cluster.sessions.borrow_mut().ends_to_register(conn) {
            // He has hung up meanwhile, and would never be seen to leave.
            return;
        }
        let known = self.cluster.sessions.borrow().player(conn).is_some();
        let registered = identity.and_then(|identity| {
            identity.check()?;
            let Identity { id, name } = identity;
            self.cluster.sessions.borrow().admit(&id)?;
            let login = self.cluster.tokens.issue(Player { id, name }).map_err(|error| {
                error!(%error, "cannot make a token");
                Refusal::INTERNAL
            })?;
            if known { Err(Refusal::ALREADY_REGISTERED) } else { Ok(login) }
        });
        match registered {
            Err(refusal) => to.send(Err(refusal)),
            Ok(mut login) => {
                let (player, token) = (login.player.clone(), login.token.take());
                self.enter(conn, login);
                info!(player = %player.name, id = %player.id, "registered");
                to.send(Ok(json!({ "token": token, "you": player })));
                self.hook("on_arrive", |lobby, cluster| {
                    lobby.on_arrive(cluster, &player, Arrival::New);
                });
            }
        }
    }

    /// Whoever has a token may end its login. He may be a stranger: his page has forgotten who it was.
    pub(super) fn log_out(&mut self, data: Option<&RawValue>, to: Responder) {
        let verified = form(data).and_then(|Logout { token }| self.cluster.tokens.verify(&token));
        match verified {
            Err(refusal) => to.send(Err(refusal)),
            Ok(login) => {
                info!(player = %login.player.name, id = %login.player.id, "logged out");
                self.logouts.add(&login.sid);
                to.send(Ok(json!({})));
                if let Some(conn) = self.cluster.sessions.borrow().conn_of_login(&login) {
                    conn.dismiss(&Refusal::LOGGED_OUT);
                }
            }
        }
    }
}

#[derive(Deserialize)]
struct Logout {
    token: String,
}

/// The first thing that a browser hears. `token`: a new one, or why the one that it has shown is refused.
fn welcome(
    conn: &Conn,
    you: Option<&Player>,
    returned: Option<&(RoomId, LeaveReason)>,
    token: Result<Option<String>, &Refusal>,
) {
    let returned = returned.map(|(room, reason)| json!({ "room": room, "reason": reason }));
    let (token, refused) = match token {
        Ok(token) => (token, None),
        Err(refusal) => (None, Some(refusal)),
    };
    let _ = conn.tell(
        "welcome",
        &json!({
            "version": WIRE_VERSION, "you": you, "token": token, "returned": returned,
            "refused": refused,
        }),
    );
}
