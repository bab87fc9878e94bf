//! A room that has all that a room can have.

use std::collections::HashMap;
use std::time::Duration;

use cluster::{Answer, LeaveReason, PlayerId, Refusal, Room, RoomContext, ok, refuse, reply};
use serde_json::{Value, json};

use super::messages::{Event, Listing, Options, Player, Profile, Request, Seat, State};
use super::rooms::hog;

pub struct Arena {
    options: Options,
    n: u32,
    hands: HashMap<PlayerId, u32>,
    sides: Vec<Value>,
    ticks: u32,
    count_to: u32,
    list_to: u32,
}

impl Room for Arena {
    cluster::room_types! {
        type Options = Options;
        type Listing = Listing;
        type Profile = Profile;
        type JoinOptions = Seat;
        type Request = Request;
        type Event = Event;
        type State = State;
        type FromLobby = String;
        type ToLobby = Value;
    }

    async fn on_open(options: Options, room: &RoomContext<Self>) -> Result<Self, Refusal> {
        if let Some(hz) = options.sync_rate {
            room.set_sync_rate(hz);
        }
        room.lock(options.locked);
        room.announce_players(!options.announces_nobody);
        let (hands, sides) = (HashMap::new(), vec![]);
        Ok(Arena { options, n: 0, hands, sides, ticks: 0, count_to: 0, list_to: 0 })
    }

    fn on_admit(&mut self, room: &RoomContext<Self>, player: &Player) -> Result<(), Refusal> {
        let side = room.join_options(player).side;
        self.sides.push(json!(["on_admit", player.name, side]));
        match self.options.refuses.as_ref() == Some(&side) {
            true => Err(refuse("wrong_side", "Not on this side.")),
            false => Ok(()),
        }
    }

    fn state(&self, _: &RoomContext<Self>) -> Option<State> {
        assert_ne!(self.options.panics_at, Some(self.n), "as asked");
        Some(State { n: self.n })
    }

    fn snapshot(&self, _: &RoomContext<Self>, to: &Player) -> Option<Event> {
        self.hands.get(&to.id).map(|card| Event::Hand { card: *card })
    }

    fn on_join(&mut self, room: &RoomContext<Self>, player: &Player) {
        self.sides.push(json!(["on_join", player.name, room.join_options(player).side]));
        // Comes after the state.
        room.send(player, Event::Line("welcome".to_owned()));
    }

    fn on_disconnect(&mut self, _: &RoomContext<Self>, _: &Player) -> Option<Duration> {
        self.options.grace_ms.map(Duration::from_millis)
    }

    fn on_leave(&mut self, room: &RoomContext<Self>, player: &Player, _: LeaveReason) {
        self.sides.push(json!(["on_leave", player.name, room.join_options(player).side]));
    }

    fn on_tick(&mut self, room: &RoomContext<Self>, _: Duration) {
        self.ticks += 1;
        if self.n < self.count_to {
            self.n += 1;
            room.sync();
        }
        if self.ticks <= self.list_to {
            room.set_listing(Listing { score: self.ticks, text: String::new() });
        }
    }

    fn on_request(&mut self, room: &RoomContext<Self>, _: &Player, request: Request) -> Answer {
        match request {
            Request::Set { n } => self.n = n,
            Request::Sync => room.sync(),
            Request::Count { to } => {
                for n in 1..=to {
                    self.n = n;
                    room.sync();
                }
            }
            Request::CountByTick { to } => self.count_to = to,
            Request::SyncRate { hz } => room.set_sync_rate(hz),
            Request::List { score, text } => room.set_listing(Listing { score, text }),
            Request::ListByTick { to } => (self.ticks, self.list_to) = (0, to),
            Request::Deal { player, card } => drop(self.hands.insert(player, card)),
            Request::SideOf { player } => return reply(room.join_options(player).side),
            Request::Sides => return reply(&self.sides),
            Request::WhoIsHere => return reply(&*room.players()),
            Request::SendTo { players, text } => room.send_to(players, Event::Line(text)),
            Request::SendVolatile { player, from, to, bytes } => {
                for n in from..=to {
                    room.send_volatile(&player, Event::Brief { n, padding: "x".repeat(bytes) });
                }
            }
            Request::TickEvery { ms } => room.tick_every(Duration::from_millis(ms)),
            Request::Ticks => return reply(self.ticks),
            Request::Finish { n } => {
                self.n = n;
                room.sync();
                room.close();
            }
            Request::KickFromRoom { player } => room.kick(player, "by the room"),
            Request::SendToRoom { player, room: to } => room.send_to_room(player, &to),
            Request::Hog => hog(),
            Request::Crash => panic!("as asked"),
        }
        ok()
    }

    fn on_lobby_message(&mut self, room: &RoomContext<Self>, text: String) {
        room.broadcast(Event::Line(text));
    }
}
