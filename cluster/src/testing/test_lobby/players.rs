//! What pages do: register, connect, ask, follow reroutes, return.

use std::net::IpAddr;
use std::sync::{Arc, mpsc};

use axum::http::request::Parts;
use axum::http::{HeaderMap, Request};
use serde_json::{Value, json};
use socketioxide::SendError;
use tokio::sync::oneshot;

use crate::lobby::Kinds;
use crate::lobby::event_loop::Auth;
use crate::socketio::connection::{Ack, Peer, TestPeer};
use crate::socketio::{Conn, ConnId, Encoded, Message, RawEvent, Responder};
use crate::testing::counts::not_counted;
use crate::testing::lists::Lists;
use crate::testing::test_lobby::refusal;
use crate::testing::{Sent, TestLobby};
use crate::types::{Player, PlayerId, Refusal, RoomId, Route};

/// The page of a player, in all of their windows.
pub(super) struct Page {
    pub token: String,
    /// Their connection to the lobby.
    pub conn: Option<ConnId>,
    /// The room that they are in.
    pub room: Option<RoomId>,
    /// A reroute that they have not followed.
    pub route: Option<Route>,
    pub sent: Vec<Sent>,
    lists: Lists,
    address: Option<IpAddr>,
    headers: HeaderMap,
}

/// What the lobby sent to a connection; `None`: it hung up.
pub(super) type Told = (ConnId, Option<Sent>);

/// The page's end of a connection.
#[derive(Debug)]
struct Window {
    conn: ConnId,
    request: Parts,
    told: mpsc::Sender<Told>,
}

impl TestPeer for Window {
    fn request(&self) -> &Parts {
        &self.request
    }

    fn emit(&self, event: &Encoded) -> Result<(), SendError> {
        if let Encoded::Json { name, data } = event {
            not_counted(|| {
                let data = serde_json::from_str(data.get()).expect("serialized JSON");
                let _ = self.told.send((self.conn, Some(event_of(name, data))));
            });
        }
        Ok(())
    }

    fn hang_up(&self) {
        let _ = self.told.send((self.conn, None));
    }
}

pub(super) fn event_of(name: &str, data: Value) -> Sent {
    Sent { event: name.to_owned(), data, volatile: false, bytes: None }
}

impl<L: Kinds> TestLobby<L> {
    /// Registers a new player by this name, who is then in the lobby.
    ///
    /// # Panics
    /// If `on_register` refuses.
    pub fn player(&mut self, name: &str) -> Player<L::Profile> {
        let registered = self.register(json!({ "name": name }));
        registered.unwrap_or_else(|refusal| panic!("{name} cannot register: {refusal}"))
    }

    /// Registers with this form, such as `{ name, password }`, from this machine. `Err`: a refusal
    /// of `on_register`, or of the structure.
    pub fn register(&mut self, form: Value) -> Result<Player<L::Profile>, Refusal> {
        self.register_from(form, None, HeaderMap::new())
    }

    /// The same from an address and with the headers of the page's websocket.
    pub fn register_from(
        &mut self,
        form: Value,
        address: Option<IpAddr>,
        headers: HeaderMap,
    ) -> Result<Player<L::Profile>, Refusal> {
        let conn = self.open(Ok(None), None, address, headers.clone());
        let registered = match self.request(conn, "register", form) {
            Ok(registered) => registered,
            Err(refusal) => {
                self.lose(conn);
                return Err(refusal);
            }
        };
        let you: Player<Value> = serde_json::from_value(registered["you"].clone()).expect("you");
        let token = registered["token"].as_str().expect("a token").to_owned();
        let known = self.pages.remove(&you.id).map(|page| (page.room, page.sent, page.lists));
        let (room, sent, lists) = known.unwrap_or_default();
        let page = Page { token, conn: None, room, route: None, sent, lists, address, headers };
        self.pages.insert(you.id.clone(), page);
        self.claim(conn, &you.id);
        for sent in self.unclaimed.remove(&conn).into_iter().flatten() {
            self.note(conn, sent);
        }
        Ok(you.typed())
    }

    /// The player's page connects to the lobby with their token: after a disconnect, or in a
    /// further window. `Err`: they are banned or have logged out.
    ///
    /// One who was in a room arrives when the lobby has heard that they left it, or else after a
    /// moment, by [`advance`](Self::advance).
    pub fn connect(&mut self, player: &Player<L::Profile>) -> Result<(), Refusal> {
        self.connect_as(&player.id)
    }

    fn connect_as(&mut self, player: &PlayerId) -> Result<(), Refusal> {
        let page = self.page(player);
        let (before, address, headers) = (page.sent.len(), page.address, page.headers.clone());
        let auth = self.context.tokens.verify(&page.token, crate::auth::now()).map(Some);
        let conn = self.open(auth, Some(player), address, headers);
        let sent = || self.page(player).sent[before..].iter();
        if let Some(refused) = sent().find_map(|sent| refusal(&sent.data["refused"])) {
            self.lose(conn); // it would be a visitor's
            return Err(refused);
        }
        let dismissed = sent().filter(|sent| sent.event == "refused");
        let dismissed = dismissed.filter(|_| !self.conns.contains_key(&conn));
        dismissed.last().and_then(|sent| refusal(&sent.data)).map_or(Ok(()), Err)
    }

    /// The page's connection to the lobby is lost. Does nothing if there is none.
    pub fn disconnect(&mut self, player: &Player<L::Profile>) {
        if let Some(conn) = self.page(&player.id).conn {
            self.lose(conn);
        }
    }

    /// The player logs out: their token is not valid any more.
    pub fn logout(&mut self, player: &Player<L::Profile>) -> Result<(), Refusal> {
        let token = self.page(&player.id).token.clone();
        let conn = self.open(Ok(None), None, None, HeaderMap::new());
        let answer = self.request(conn, "logout", json!({ "token": token }));
        self.lose(conn);
        answer.map(drop)
    }

    /// A player in the lobby sends a request, `play` and `join` included. Returns the answer or the
    /// refusal; if the connection was closed instead, why.
    ///
    /// # Panics
    /// If they are not in the lobby. If the answer waits for a room that the test holds: use
    /// [`emit`](Self::emit) then.
    pub fn ask(
        &mut self,
        from: &Player<L::Profile>,
        event: &str,
        data: Value,
    ) -> Result<Value, Refusal> {
        let conn = self.conn_of(from);
        self.request(conn, event, data)
    }

    /// A player in the lobby sends a request and does not ask for an answer: a refusal comes as the
    /// event `refused`.
    ///
    /// # Panics
    /// If they are not in the lobby.
    pub fn emit(&mut self, from: &Player<L::Profile>, event: &str, data: Value) {
        let conn = self.conn_of(from);
        self.send(conn, event, data, None);
    }

    /// The events sent to the player since the last call, by the lobby or by the cluster in a room,
    /// such as `welcome`, `reroute` and `rooms`.
    pub fn sent(&mut self, to: &Player<L::Profile>) -> Vec<Sent> {
        std::mem::take(&mut self.page_mut(&to.id).sent)
    }

    /// The data of the latest event of this name that was sent to the player since
    /// [`sent`](Self::sent).
    pub fn last(&self, to: &Player<L::Profile>, event: &str) -> Option<&Value> {
        let sent = self.page(&to.id).sent.iter();
        sent.rev().find(|sent| sent.event == event).map(|sent| &sent.data)
    }

    /// The room to which the player was rerouted and has not gone yet.
    pub fn rerouted(&self, player: &Player<L::Profile>) -> Option<RoomId> {
        self.page(&player.id).route.as_ref().map(|route| route.room.clone())
    }

    /// The player follows their reroute: they connect to the room, and leave the lobby or the room
    /// that they were in.
    ///
    /// # Panics
    /// If they were not rerouted, or their ticket has expired.
    pub fn enter(&mut self, player: &Player<L::Profile>) -> RoomId {
        let (id, name) = (&player.id, &player.name);
        let route = self.page_mut(id).route.take();
        let Route { room, ticket, .. } = route.unwrap_or_else(|| panic!("{name} was not rerouted"));
        let now = self.now;
        let redeemed = self.any_room(&room).tickets.redeem(&ticket, now);
        assert_eq!(redeemed.as_ref(), Ok(id), "{name} has no ticket for room {room}");
        self.page_mut(id).room = Some(room.clone());
        self.in_room(&room, |room| room.connected(id));
        self.disconnect(player);
        room
    }

    /// Opens a connection, of which the loop is told.
    fn open(
        &mut self,
        auth: Auth,
        owner: Option<&PlayerId>,
        address: Option<IpAddr>,
        headers: HeaderMap,
    ) -> ConnId {
        let id = self.number();
        let (mut request, ()) = Request::new(()).into_parts();
        request.headers = headers;
        request.extensions.insert(crate::http::ClientAddress(address));
        let window = Window { conn: id, request, told: self.told.0.clone() };
        let conn = Conn { id, peer: Peer::Test(Arc::new(window)), hangup: Default::default() };
        self.conns.insert(id, conn.clone());
        if let Some(owner) = owner {
            self.claim(id, owner);
        }
        self.run(|handler| handler.connected(conn, auth));
        id
    }

    /// A connection is lost, or hung up on.
    fn lose(&mut self, conn: ConnId) {
        if self.conns.contains_key(&conn) {
            self.forget(conn);
            self.run(|handler| handler.disconnected(conn));
        }
    }

    pub(super) fn hung_up(&mut self, conn: ConnId) {
        if self.conns.contains_key(&conn) {
            self.forget(conn);
            self.handler().disconnected(conn);
        }
    }

    fn forget(&mut self, conn: ConnId) {
        self.conns.remove(&conn);
        let page = self.owners.get(&conn).and_then(|owner| self.pages.get_mut(owner));
        if let Some(page) = page.filter(|page| page.conn == Some(conn)) {
            page.conn = None;
            page.route = None;
        }
    }

    /// From now on this connection is the player's.
    fn claim(&mut self, conn: ConnId, player: &PlayerId) {
        self.owners.insert(conn, player.clone());
        let is_open = self.conns.contains_key(&conn);
        let page = self.page_mut(player);
        page.conn = is_open.then_some(conn);
        page.route = None;
    }

    /// Keeps an event for the test, and what the page would keep of it.
    pub(super) fn note(&mut self, conn: ConnId, mut sent: Sent) {
        let owner = self.owners.get(&conn);
        let Some(page) = owner.and_then(|owner| self.pages.get_mut(owner)) else {
            return self.unclaimed.entry(conn).or_default().push(sent);
        };
        (sent.event, sent.data) = page.lists.follow(&sent.event, sent.data);
        if let ("welcome" | "profile_changed", Some(token)) =
            (&*sent.event, sent.data["token"].as_str())
        {
            page.token = token.to_owned();
        }
        if sent.event == "reroute" {
            page.route = serde_json::from_value(sent.data.clone()).ok();
        }
        page.sent.push(sent);
    }

    /// A page whose player has left a room connects to the lobby, unless it has already.
    pub(super) fn returns(&mut self, player: &PlayerId) {
        let page = self.page(player);
        if page.conn.is_none() && page.room.is_none() && page.route.is_none() {
            // If they are refused, as when they are banned, they stay away.
            let _ = self.connect_as(player);
        }
    }

    fn request(&mut self, conn: ConnId, event: &str, data: Value) -> Result<Value, Refusal> {
        let (ack, mut answer) = oneshot::channel();
        self.send(conn, event, data, Some(Box::new(|_, answer| drop(ack.send(answer)))));
        loop {
            match answer.try_recv() {
                Ok(answer) => return answer,
                Err(oneshot::error::TryRecvError::Closed) => return Err(self.dismissed(conn)),
                Err(oneshot::error::TryRecvError::Empty) => assert!(
                    self.settle_one(),
                    "the answer to `{event}` waits for a room that the test holds"
                ),
            }
        }
    }

    fn send(&mut self, conn: ConnId, event: &str, data: Value, ack: Option<Ack>) {
        let text = json!([event, data]).to_string();
        let raw = RawEvent::parse(&text, vec![], ack.is_some());
        let conn_of = self.conns[&conn].clone();
        let responder = Responder { event: raw.name.clone(), conn: conn_of, ack, permit: None };
        let most = self.context.settings.limits.max_message;
        if raw.bytes > most.bytes() {
            return responder.send(Err(Refusal::too_large(most.0)));
        }
        self.run(|handler| handler.handle_message(conn, Message { event: raw, responder }));
    }

    /// Why the lobby has closed a connection.
    fn dismissed(&self, conn: ConnId) -> Refusal {
        let page = self.owners.get(&conn).and_then(|owner| self.pages.get(owner));
        let sent = page.into_iter().flat_map(|page| page.sent.iter().rev());
        let mut refused = sent.filter(|sent| sent.event == "refused");
        refused.find_map(|sent| refusal(&sent.data)).unwrap_or(Refusal::NOT_REGISTERED)
    }

    fn conn_of(&self, player: &Player<L::Profile>) -> ConnId {
        self.page(&player.id)
            .conn
            .unwrap_or_else(|| panic!("{} is not in the lobby: see `connect`", player.name))
    }

    pub(super) fn page(&self, player: &PlayerId) -> &Page {
        let page = self.pages.get(player);
        page.unwrap_or_else(|| panic!("{player} has not registered in this lobby"))
    }

    pub(super) fn page_mut(&mut self, player: &PlayerId) -> &mut Page {
        let page = self.pages.get_mut(player);
        page.unwrap_or_else(|| panic!("{player} has not registered in this lobby"))
    }
}
