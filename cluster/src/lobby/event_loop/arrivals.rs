//! How a session begins and ends: connect, register or present a token, arrive, log out,
//! disconnect.

use std::time::Duration;

use serde::Serialize;
use serde_json::json;
use tracing::{error, info};

use crate::auth::{self, Login};
use crate::config::Origin;
use crate::lobby::context::List;
use crate::lobby::event_loop::{Auth, EventHandler};
use crate::lobby::{Arrival, Identity, Lobby, Registration};
use crate::runtime::{catch_async, clock};
use crate::socketio::{Conn, ConnId, Encoded, Responder};
use crate::types::{AnyPlayer, LeaveReason, PlayerId, Refusal, RoomId};

/// The version of the wire contract, sent in `welcome`.
const WIRE_VERSION: u32 = 4;
/// How long a returning player waits for the exit of their room to be reported.
const EXIT_WAIT: Duration = Duration::from_millis(250);
/// How often they do so, if the room's host does not answer: a page gives up after ten seconds.
const MAX_WAITS: u32 = 24;

/// The first event of a connection.
#[derive(Default, Serialize)]
struct Welcome {
    version: u32,
    you: Option<AnyPlayer>,
    /// A new token, to be used from now on.
    token: Option<String>,
    /// The room that the player returns from, and why they left it.
    returned: Option<serde_json::Value>,
    /// Why the token that the browser sent is refused.
    refused: Option<Refusal>,
    /// Where rooms may be reached, beside the lobby's own origin.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    origins: Vec<Origin>,
}

impl<L: Lobby> EventHandler<'_, L> {
    pub fn connected(&mut self, conn: Conn, auth: Auth) {
        self.context.sessions.borrow_mut().add(conn.clone());
        // Logouts are handled by this loop, so none can come between this check and what follows.
        let auth = auth.and_then(|login| match login {
            Some(login) if self.context.sessions.borrow().logouts.get(&login.sid).is_some() => {
                self.context.tokens.rejected.add();
                Err(Refusal::BAD_TOKEN)
            }
            login => Ok(login),
        });
        match auth {
            Ok(Some(login)) => self.resume(&conn, self.with_newest_profile(login)),
            auth => self.welcome(&conn, Welcome { refused: auth.err(), ..Welcome::default() }),
        }
    }

    fn welcome(&self, conn: &Conn, welcome: Welcome) {
        let hosts = self.context.hosts.iter();
        let origins: Vec<_> = hosts.flat_map(|hosts| hosts.origins()).collect();
        conn.emit(&Encoded::own("welcome", &Welcome { version: WIRE_VERSION, origins, ..welcome }));
        self.tell_closing(conn);
    }

    /// A login whose token may be older than the player's profile.
    fn with_newest_profile(&self, mut login: Login) -> Login {
        let sessions = self.context.sessions.borrow();
        let newest = sessions.profiles.get(&login.player.id.0);
        if let Some(profile) = newest.filter(|profile| **profile != login.player.profile) {
            login.player.profile = profile.clone();
            self.context.tokens.renew(&mut login, auth::now());
        }
        login
    }

    /// A player connects with a valid token.
    fn resume(&mut self, conn: &Conn, login: Login) {
        let player = login.player.id.clone();
        if let Err(refusal) = self.context.sessions.borrow().check_ban(&player) {
            return conn.dismiss(&refusal);
        }
        self.enter(conn.id, login);
        // Ordering: a room that crashes loses its connections before its exit is reported, so its
        // players are back first. They wait for the report, so that `welcome` has the reason.
        let is_away = self.context.rooms.borrow().was_rerouted(&player);
        let is_told = self.context.sessions.borrow().exit_notices.contains_key(&player);
        if is_away && (!is_told || self.is_in_doubt(&player)) {
            self.arrive_later(player, 1);
        } else {
            self.arrive(&player);
        }
    }

    /// Waits longer while nobody knows whether their room has ended.
    fn arrive_later(&self, player: PlayerId, waits: u32) {
        self.context.scheduler.now.set(clock::now());
        self.context.scheduler.after(EXIT_WAIT, move |lobby, context| {
            let mut handler = EventHandler { lobby, context };
            if waits < MAX_WAITS && handler.is_in_doubt(&player) {
                handler.arrive_later(player, waits + 1);
            } else {
                handler.arrive(&player);
            }
        });
    }

    fn is_in_doubt(&self, player: &PlayerId) -> bool {
        let (room, hosts) = (self.context.seat_of(player), self.context.hosts.as_ref());
        room.zip(hosts).is_some_and(|(room, hosts)| hosts.is_in_doubt(&room))
    }

    /// Makes a connection this player's, and closes the one that they had before.
    fn enter(&mut self, conn: ConnId, login: Login) {
        let player = login.player.clone();
        let replaced = self.context.sessions.borrow_mut().enter(conn, login);
        if let Some((old, had_arrived)) = replaced {
            old.dismiss(&Refusal::REPLACED);
            if had_arrived {
                self.left_lobby(player);
            }
        }
    }

    /// Lets a player whose session is pending into the lobby, and handles what they asked
    /// meanwhile. Does nothing if they have arrived already, or are not there.
    pub(super) fn arrive(&mut self, player: &PlayerId) {
        let arrived = self.context.sessions.borrow_mut().arrive(player);
        let Some((conn, Login { player, token, .. }, queued)) = arrived else { return };
        let notice = self.context.sessions.borrow_mut().take_exit_notice(&player.id);
        let returned =
            notice.as_ref().map(|(room, reason)| json!({ "room": room, "reason": reason }));
        let you = Some(player.clone());
        self.welcome(&conn, Welcome { you, token, returned, ..Welcome::default() });
        match &notice {
            Some((room, reason)) => {
                info!(player = %player.name, id = %player.id, %room, %reason, "back in the lobby");
            }
            None => info!(player = %player.name, id = %player.id, "in the lobby"),
        }
        self.arrived(player, None, notice);
        queued.into_iter().for_each(|message| self.handle_message(conn.id, message));
    }

    fn arrived(
        &mut self,
        player: AnyPlayer,
        account: Option<L::Account>,
        returned: Option<(RoomId, LeaveReason)>,
    ) {
        let seat = self.context.rooms.borrow().active_room_of(&player.id).map(|room| room.id);
        let (player, how) = (player.typed(), Arrival { account, returned, seat });
        let _ = self.hook("on_arrive", |lobby, context| lobby.on_arrive(context, &player, how));
    }

    pub fn disconnected(&mut self, conn: ConnId) {
        let _ = self.context.unwatch(List::Rooms, conn);
        let _ = self.context.unwatch(List::Players, conn);
        let player = self.context.sessions.borrow_mut().remove(conn);
        if let Some(player) = player {
            info!(player = %player.name, id = %player.id, "left the lobby");
            self.left_lobby(player);
        }
    }

    fn left_lobby(&mut self, player: AnyPlayer) {
        let player = player.typed();
        let _ = self.hook("on_leave", |lobby, context| lobby.on_leave(context, &player));
    }

    /// The request `register`: asks `on_register`.
    pub(super) fn register(&mut self, form: Registration, responder: Responder) {
        let (context, conn) = (self.context, responder.conn.clone());
        let stopping = context.rooms.borrow().check_stopping();
        let begin = |()| context.sessions.borrow_mut().begin_registration(conn.id);
        if let Err(refusal) = stopping.and_then(begin) {
            return responder.send(Err(refusal));
        }
        let headers = conn.request().headers.clone();
        let form = Registration { address: conn.address(), headers, ..form };
        let identity = catch_async("on_register", L::on_register(form));
        self.context.scheduler.spawn(identity, move |lobby, context, identity| {
            let identity = identity.unwrap_or(Err(Refusal::INTERNAL));
            EventHandler { lobby, context }.registered(conn.id, responder, identity);
        });
    }

    /// `on_register` has answered.
    fn registered(
        &mut self,
        conn: ConnId,
        responder: Responder,
        identity: Result<Identity<L>, Refusal>,
    ) {
        if !self.context.sessions.borrow_mut().end_registration(conn) {
            return; // Entering now would be an arrival that no disconnect follows.
        }
        // It may have begun before the lobby was asked to stop.
        let stopping = self.context.rooms.borrow().check_stopping();
        match stopping.and(identity).and_then(|identity| self.issue(identity)) {
            Err(refusal) => responder.send(Err(refusal)),
            Ok((login, account)) => {
                let Login { player, token, .. } = login.clone();
                self.enter(conn, login);
                self.context.sessions.borrow_mut().arrive(&player.id);
                info!(player = %player.name, id = %player.id, "registered");
                responder.send(Ok(json!({ "token": token, "you": player })));
                self.arrived(player, Some(account), None);
            }
        }
    }

    fn issue(&self, identity: Identity<L>) -> Result<(Login, L::Account), Refusal> {
        let (player, account) = identity.check()?;
        self.context.sessions.borrow().check_ban(&player.id)?;
        let newest = self.context.sessions.borrow().profiles.get(&player.id.0).cloned();
        if newest.is_some_and(|newest| newest != player.profile) {
            self.context.store_profile(&player.id, &player.profile);
        }
        let login = self.context.tokens.issue(player).map_err(|error| {
            error!(%error, "cannot issue a token");
            Refusal::INTERNAL
        })?;
        Ok((login, account))
    }

    /// The request `logout`: ends the login that a token belongs to. Any connection may send it: a
    /// page that logs out has already forgotten its player.
    pub(super) fn log_out(&mut self, token: &str, responder: Responder) {
        match self.context.tokens.verify(token, auth::now()) {
            Err(refusal) => responder.send(Err(refusal)),
            Ok(login) => {
                info!(player = %login.player.name, id = %login.player.id, "logged out");
                responder.send(Ok(json!({})));
                if let Some(conn) = self.context.sessions.borrow_mut().log_out(&login) {
                    conn.dismiss(&Refusal::LOGGED_OUT);
                }
            }
        }
    }
}
