//! A lobby that uses all that a lobby can have: a profile and an account, several kinds of rooms,
//! join options, listings, routes. `FEATURES` in the environment runs it. With `TWINS` it is one
//! with two kinds of the same name, and with `EARLIER` an earlier build. With `OVERLAP` it has a
//! route at this path; with `CHAT_MEMORY` chats have this many bytes.

mod arena;
mod earlier;
mod manager;
mod messages;
mod rooms;
mod routes;

use std::collections::BTreeMap;
use std::env;
use std::process::ExitCode;

use cluster::axum::Router;
use cluster::{
    Answer, Arrival, Defaults, Identity, Lobby, LobbyContext, LobbyHandle, Place, PlayerId,
    Refusal, Registration, RoomId, ok, reply,
};
use serde_json::{Value, json};

use self::arena::Arena;
use self::messages::{Account, Ask, News, Player, Profile, Seat};
use self::rooms::{Chat, Worker};

cluster::kinds!(Features: Arena = "arena", Chat = "chat", Worker = "worker");

pub fn run(defaults: Defaults) -> ExitCode {
    let is_set = |name: &str| env::var_os(name).is_some();
    if is_set("TWINS") {
        cluster::run::<manager::Twins>(defaults)
    } else if is_set("EARLIER") {
        cluster::run::<earlier::Earlier>(defaults)
    } else {
        cluster::run::<Features>(defaults)
    }
}

#[derive(Default)]
pub struct Features {
    calls: Vec<Value>,
    watching: bool,
    /// What routes were sent.
    posted: Vec<Value>,
}

impl Lobby for Features {
    cluster::lobby_types! {
        type Profile = Profile;
        type Account = Account;
        type Request = Ask;
        type Event = News;
    }

    /// Accepts the id and the profile in the form.
    async fn on_register(form: Registration) -> Result<Identity<Self>, Refusal> {
        let mut identity = match form.more.get("id").and_then(Value::as_str) {
            Some(id) => Identity::with_id(PlayerId(id.to_owned()), form.name),
            None => Identity::new(&form.name)?,
        };
        if let Some(profile) = form.more.get("profile") {
            identity.profile = serde_json::from_value(profile.clone())
                .map_err(|error| cluster::refuse("bad_profile", error.to_string()))?;
        }
        let header = |name: &str| form.headers.get(name)?.to_str().ok().map(str::to_owned);
        identity.account = Account(json!({
            "email": form.more.get("email"), "address": form.address,
            "cookie": header("cookie"), "language": header("accept-language"),
        }));
        Ok(identity)
    }

    fn on_request(&mut self, lobby: &LobbyContext<Self>, from: &Player, asked: Ask) -> Answer {
        let party = |ids: Vec<PlayerId>| -> Vec<Player> {
            let players = lobby.players().into_iter().map(|(player, _)| player);
            players.filter(|player| ids.contains(&player.id)).collect()
        };
        match asked {
            Ask::Arena { seats, private: false, options } => {
                reply(lobby.create::<Arena>(from, seats, options)?)
            }
            Ask::Arena { seats, private: true, options } => {
                reply(lobby.create_private::<Arena>(from, seats, options)?)
            }
            Ask::Chat => reply(lobby.create::<Chat>(from, None, ())?),
            Ask::Worker => reply(lobby.create::<Worker>(None, 0, ())?),
            Ask::JoinWith { room, players, sides, chat } => match chat {
                true => lobby.join_with::<Chat>(party(players), &room, |_| ()),
                false => {
                    lobby.join_with::<Arena>(party(players), &room, |player| side(&sides, player))
                }
            },
            Ask::RerouteWith { room, players, sides } => {
                let asker = from.clone();
                lobby.reroute_with::<Arena>(
                    party(players),
                    &room,
                    |player| side(&sides, player),
                    move |_, lobby, sent| {
                        let refusal = sent.err().map(|refusal| refusal.code().to_owned());
                        lobby.send(&asker, News::Rerouted { refusal });
                    },
                );
                ok()
            }
            Ask::SendThere { room, players } => {
                lobby.reroute(party(players), &room);
                ok()
            }
            Ask::SetProfile { player, profile } => {
                lobby.set_profile(&player, profile)?;
                ok()
            }
            Ask::Find { player } => reply(lobby.find(&player).map(place)),
            Ask::Everyone => {
                let players = lobby.players().into_iter();
                reply(players.map(|(who, at)| json!([who, place(at)])).collect::<Vec<_>>())
            }
            Ask::AllRooms => reply(json!({
                "arena": lobby.rooms::<Arena>(), "chat": lobby.rooms::<Chat>(),
                "worker": lobby.rooms::<Worker>(),
            })),
            Ask::TellArena { room, text } => {
                lobby.tell::<Arena>(&room, text)?;
                ok()
            }
            Ask::TellWorker { room, text } => {
                lobby.tell::<Worker>(&room, text)?;
                ok()
            }
            Ask::Close { room } => {
                lobby.close(&room, "closed")?;
                ok()
            }
            Ask::Kick { player } => {
                lobby.kick(player, "by the lobby");
                ok()
            }
            Ask::SendTo { players, text } => {
                lobby.send_to(players, News::Line(text));
                ok()
            }
            Ask::Watching { allowed } => {
                self.watching = allowed;
                ok()
            }
            Ask::Calls => reply(&self.calls),
        }
    }

    fn on_arrive(&mut self, lobby: &LobbyContext<Self>, player: &Player, how: Arrival<Self>) {
        let returned = how.returned.map(|(room, reason)| json!([room, reason.to_string()]));
        self.note(json!({
            "hook": "on_arrive", "player": player, "account": how.account.map(|account| account.0),
            "returned": returned, "seat": how.seat,
        }));
        lobby.send_back(player);
    }

    fn on_watch_players(&mut self, _: &LobbyContext<Self>, _: &Player) -> Result<(), Refusal> {
        self.watching.then_some(()).ok_or(Refusal::NOT_ALLOWED)
    }

    fn routes(lobby: LobbyHandle<Self>) -> Router {
        routes::own(lobby)
    }

    fn cross_origin_routes(lobby: LobbyHandle<Self>) -> Router {
        routes::cross_origin(lobby)
    }
}

impl Features {
    /// Keeps the newest thousand.
    fn note(&mut self, call: Value) {
        if self.calls.len() == 1000 {
            self.calls.remove(0);
        }
        self.calls.push(call);
    }
}

fn side(sides: &BTreeMap<String, String>, player: &Player) -> Seat {
    Seat { side: sides.get(&player.name).cloned().unwrap_or_default() }
}

fn place(place: Place) -> Value {
    let at = |place: &str, room: &RoomId| json!({ "place": place, "room": room });
    match place {
        Place::Lobby => json!({ "place": "lobby" }),
        Place::OnTheWay(room) => at("on_the_way", &room),
        Place::Room(room) => at("room", &room),
        Place::Away { room, left } => {
            json!({ "place": "away", "room": room, "left_ms": left.as_millis() as u64 })
        }
    }
}
