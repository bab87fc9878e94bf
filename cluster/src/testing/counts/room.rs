//! Scenarios of a room: its core without connections, driven as by the event loop.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::Size;
use crate::process::{ReservedSeat, RoomSpec};
use crate::room::core::Core;
use crate::room::{Room, RoomContext, Tickets};
use crate::socketio::{ConnId, RawEvent};
use crate::testing::counts::Growth::{Linear, None};
use crate::testing::counts::{REPEATS, Scenario, counted, measure};
use crate::testing::player;
use crate::types::{Answer, Player, Refusal, RoomId, ok};

const FEW_MANY: &[usize] = &[50, 200];
const DOUBLED: &[usize] = &[100, 200];

/// `n` is the number of players in the room, unless the name says otherwise.
pub(super) const SCENARIOS: &[Scenario] = &[
    ("room: join", join, Linear, &[10, 500, 1000]),
    ("room: leave", leave, Linear, DOUBLED),
    ("room: disconnect and reconnect", reconnect, Linear, DOUBLED),
    ("room: message", message, None, FEW_MANY),
    ("room: broadcast", broadcast, Linear, DOUBLED),
    ("room: tick", tick, Linear, &[4, 100, 200]),
    ("room: sync", sync, Linear, DOUBLED),
    ("room: refused transfer", refused, None, FEW_MANY),
    ("room: message, n lost their connection", |n| with_absent(n, true), None, FEW_MANY),
    ("room: message, n are expected", |n| with_absent(n, false), None, FEW_MANY),
    ("room: reserve, n are expected", reserve, None, FEW_MANY),
    ("room: join, n are banned", banned, None, FEW_MANY),
    ("room: message, n timers", timers, None, FEW_MANY),
    ("room: set and cancel a timer, n timers", cancel, None, FEW_MANY),
];

crate::messages! {
    enum Ask { Answer, Broadcast, Sync }
    enum Said { Line(String) }
    struct Count(u32);
}

/// Counts, and keeps seats for a minute.
struct Counter(u32);

impl Room for Counter {
    crate::room_types! {
        type Request = Ask;
        type Event = Said;
        type State = Count;
    }

    async fn on_open(_: (), _: &RoomContext<Self>) -> Result<Self, Refusal> {
        Ok(Counter(0))
    }

    fn state(&self, _: &RoomContext<Self>) -> Option<Count> {
        Some(Count(self.0))
    }

    fn snapshot(&self, _: &RoomContext<Self>, to: &Player) -> Option<Said> {
        Some(Said::Line(format!("{} has seen {}.", to.name, self.0)))
    }

    fn on_request(&mut self, room: &RoomContext<Self>, from: &Player, ask: Ask) -> Answer {
        self.0 += 1;
        match ask {
            Ask::Answer => {}
            Ask::Broadcast => room.broadcast(Said::Line(format!("{} says hello.", from.name))),
            Ask::Sync => room.sync(),
        }
        ok()
    }

    fn on_tick(&mut self, room: &RoomContext<Self>, _: Duration) {
        room.broadcast_volatile(Said::Line("The time passes.".to_owned()));
    }

    fn on_disconnect(&mut self, _: &RoomContext<Self>, _: &Player) -> Option<Duration> {
        Some(Duration::from_secs(60))
    }
}

struct CountedRoom {
    core: Core<Counter>,
    tickets: Arc<Tickets>,
    now: Instant,
    last_number: u64,
    /// The first player's connection.
    first: ConnId,
}

impl CountedRoom {
    /// A room with this many players.
    fn with(players: usize) -> Self {
        let (kind, memory) = ("counter".to_owned(), Size(1 << 30));
        let spec = RoomSpec {
            kind,
            capacity: 10_000,
            memory,
            seed: 1,
            host: Option::None,
            code: Option::None,
        };
        let room = RoomContext::new(RoomId("1".to_owned()), spec, Duration::from_secs(30));
        let now = room.scheduler.now.get();
        let tickets = Arc::new(Tickets::default());
        let core =
            Core::new(Counter(0), room, tickets.clone(), Duration::from_secs(15), Option::None);
        let mut room = CountedRoom { core, tickets, now, last_number: 0, first: 0 };
        for n in 0..players {
            let conn = room.join(&name(n));
            room.first = if n == 0 { conn } else { room.first };
        }
        room
    }

    /// One turn of the event loop.
    fn turn<T>(&mut self, event: impl FnOnce(&mut Core<Counter>) -> T) -> T {
        let result = counted(|| {
            let result = event(self.core.at(self.now));
            self.core.advance(self.now);
            self.core.deadline();
            result
        });
        while self.core.pop_output().is_some() {}
        result
    }

    fn number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// Returns the number of the seat, which is also its ticket.
    fn reserve(&mut self, player: &str) -> u64 {
        let (seat, player) = (self.number(), self::player::<()>(player));
        let (ticket, player) = (seat.to_string(), player.erased().expect("a player"));
        let seats = vec![ReservedSeat { seat, ticket, player, options: Option::None }];
        self.turn(|core| core.reserve(seat, seats));
        seat
    }

    fn join(&mut self, player: &str) -> ConnId {
        let ticket = self.reserve(player).to_string();
        let id = self.tickets.redeem(&ticket, self.now).expect("a ticket");
        let conn = self.number();
        self.turn(|core| core.connected(conn, &id));
        conn
    }

    /// The first player sends a request.
    fn ask(&mut self, event: &str) {
        let (conn, text) = (self.first, format!(r#"["{event}"]"#));
        let answer = self.turn(|core| core.message(conn, RawEvent::parse(&text, vec![], true)));
        assert!(answer.is_ok());
    }
}

fn name(n: usize) -> String {
    format!("player-{n}")
}

fn join(n: usize) {
    let mut room = CountedRoom::with(n);
    for _ in 0..REPEATS {
        let conn = measure(|| room.join("guest"));
        room.turn(|core| core.disconnected(conn, true));
    }
}

fn leave(n: usize) {
    let mut room = CountedRoom::with(n);
    for _ in 0..REPEATS {
        let conn = room.join("guest");
        measure(|| room.turn(|core| core.disconnected(conn, true)));
    }
}

fn reconnect(n: usize) {
    let mut room = CountedRoom::with(n);
    for _ in 0..REPEATS {
        let conn = room.join("guest");
        measure(|| {
            room.turn(|core| core.disconnected(conn, false));
            room.join("guest")
        });
    }
}

fn message(n: usize) {
    let mut room = CountedRoom::with(n);
    (0..REPEATS).for_each(|_| measure(|| room.ask("answer")));
}

fn broadcast(n: usize) {
    let mut room = CountedRoom::with(n);
    (0..REPEATS).for_each(|_| measure(|| room.ask("broadcast")));
}

fn sync(n: usize) {
    let mut room = CountedRoom::with(n);
    for _ in 0..REPEATS {
        room.now += Duration::from_secs(1);
        measure(|| room.ask("sync"));
    }
}

fn tick(n: usize) {
    let mut room = CountedRoom::with(n);
    room.core.room.set_tick_rate(60);
    room.turn(|_| ());
    for _ in 0..REPEATS {
        room.now += Duration::from_secs(1) / 60;
        measure(|| room.turn(|_| ()));
    }
}

fn refused(n: usize) {
    let mut room = CountedRoom::with(n);
    room.join("zoe"); // the last one in order
    let seat = room.last_number - 1;
    for _ in 0..REPEATS {
        measure(|| room.turn(|core| core.refused(seat, &Refusal::ROOM_FULL)));
    }
}

fn with_absent(n: usize, came: bool) {
    let mut room = CountedRoom::with(1);
    for n in 0..n {
        if came {
            let conn = room.join(&format!("absent-{n}"));
            room.turn(|core| core.disconnected(conn, false));
        } else {
            room.reserve(&format!("absent-{n}"));
        }
    }
    (0..REPEATS).for_each(|_| measure(|| room.ask("answer")));
}

fn reserve(n: usize) {
    let mut room = CountedRoom::with(0);
    for n in 0..n {
        room.reserve(&name(n));
    }
    for n in n..n + REPEATS {
        measure(|| room.reserve(&name(n)));
    }
}

fn banned(n: usize) {
    let mut room = CountedRoom::with(1);
    (0..n).for_each(|n| room.core.room.ban(player::<()>(&format!("banned-{n}")), "no"));
    room.ask("answer");
    for _ in 0..REPEATS {
        let conn = measure(|| room.join("guest"));
        room.turn(|core| core.disconnected(conn, true));
    }
}

fn set_timers(n: usize) -> CountedRoom {
    let room = CountedRoom::with(1);
    for n in 0..n {
        room.core.room.after(Duration::from_secs(n as u64 + 1), |_, _| ());
    }
    room
}

fn timers(n: usize) {
    let mut room = set_timers(n);
    (0..REPEATS).for_each(|_| measure(|| room.ask("answer")));
}

fn cancel(n: usize) {
    let mut room = set_timers(n);
    for _ in 0..REPEATS {
        measure(|| {
            room.turn(|core| {
                let timer = core.room.after(Duration::from_secs(30), |_, _| ());
                core.room.cancel(timer);
            });
        });
    }
}
