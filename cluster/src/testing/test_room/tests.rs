use super::*;
use crate::types::{Answer, deferred, ok};

#[derive(Default)]
struct Game {
    /// The time since the last tick, and the delay, of each tick.
    ticks: Vec<(Duration, Duration)>,
}

crate::messages! {
    enum Request {
        Square { n: u64 },
        WorkForEver,
        Panic,
        PanicLater,
        TickAt { hz: u32 },
        Sync,
    }

    enum Event {
        Shown,
        Counted,
    }
}

impl Room for Game {
    crate::room_types! {
        type Request = Request;
        type Event = Event;
    }

    async fn on_open((): (), _: &RoomContext<Self>) -> Result<Self, Refusal> {
        Ok(Game::default())
    }

    fn on_request(&mut self, room: &RoomContext<Self>, _: &Player, request: Request) -> Answer {
        match request {
            Request::Square { n } => {
                let (tell, answer) = tokio::sync::oneshot::channel();
                let tell = |square| _ = tell.send(square);
                room.compute(move |_| n * n, move |_, _, square| tell(square));
                deferred(async { answer.await.expect("a call").map_err(|_| Refusal::INTERNAL) })
            }
            Request::WorkForEver => {
                room.compute(
                    |work| {
                        while !work.is_cancelled() {
                            std::thread::yield_now()
                        }
                    },
                    |_, _, _| {},
                );
                ok()
            }
            Request::TickAt { hz } => {
                self.ticks.clear();
                room.set_tick_rate(hz);
                ok()
            }
            Request::Sync => {
                room.sync();
                ok()
            }
            Request::Panic => panic!("as asked"),
            Request::PanicLater => {
                room.spawn(async { panic!("as asked later") }, |_, _, ()| {});
                ok()
            }
        }
    }

    /// Queues an event, and another sync.
    fn snapshot(&self, room: &RoomContext<Self>, _: &Player) -> Option<Event> {
        room.broadcast(Event::Counted);
        room.sync();
        Some(Event::Shown)
    }

    fn on_tick(&mut self, room: &RoomContext<Self>, dt: Duration) {
        self.ticks.push((dt, room.tick_delay()));
    }

    fn on_disconnect(&mut self, _: &RoomContext<Self>, _: &Player) -> Option<Duration> {
        Some(Duration::MAX)
    }
}

fn open() -> (TestRoom<Game>, Player) {
    let mut room = TestRoom::open((), 2, 7).expect("a room");
    let ann = room.join("Ann").expect("a free seat");
    (room, ann)
}

#[test]
fn an_answer_may_be_the_result_of_a_computation() {
    let (mut room, ann) = open();
    assert_eq!(room.emit(&ann, "square", json!({ "n": 3 })), Ok(json!(9)));
}

#[test]
fn the_first_tick_counts_from_when_its_rate_was_set() {
    let (mut room, ann) = open();
    for _ in 0..2 {
        room.advance(Duration::from_secs(10));
        room.emit(&ann, "tick_at", json!({ "hz": 20 })).expect("a rate");
        assert!(room.game().ticks.is_empty(), "no tick is due yet: {:?}", room.game().ticks);
        room.advance(Duration::from_millis(100));
        assert_eq!(room.game().ticks, [(Duration::from_millis(50), Duration::ZERO); 2]);
        room.emit(&ann, "tick_at", json!({ "hz": 0 })).expect("a rate");
    }
}

#[test]
fn what_a_snapshot_queues_during_a_sync_goes_out_with_it() {
    let (mut room, ann) = open();
    for _ in 0..2 {
        room.advance(Duration::from_secs(1));
        room.sent(&ann);
        room.emit(&ann, "sync", json!({})).expect("a sync");
        room.advance(Duration::from_secs(1));
        let sent: Vec<_> = room.sent(&ann).into_iter().map(|sent| sent.event).collect();
        assert_eq!(sent, ["counted"], "the snapshot is the same as before");
    }
}

#[test]
fn a_seat_whose_player_does_not_come_in_time_is_free_again() {
    let (mut room, _) = open();
    let bob = player("Bob");
    room.reserve(&bob).expect("a free seat");
    assert_eq!(room.join("Eve").map(drop), Err(Refusal::ROOM_FULL));
    assert_eq!(*room.room().expected(), [bob]);
    room.advance(TICKET_TTL);
    assert!(room.room().expected().is_empty());
    room.join("Eve").expect("a free seat");
}

#[test]
fn a_computation_that_has_not_ended_holds_nobody_up() {
    let (mut room, ann) = open();
    room.emit(&ann, "work_for_ever", json!({})).expect("work");
    drop(room);
}

#[test]
fn a_grace_may_be_for_ever() {
    let (mut room, ann) = open();
    room.drop_player(&ann);
    room.advance(Duration::from_secs(60 * 60));
    assert_eq!(*room.room().players(), [ann]);
    assert!(room.exit().is_none());
}

#[test]
#[should_panic(expected = "as asked")]
fn a_panic_in_a_hook_fails_the_test() {
    let (mut room, ann) = open();
    let _ = room.emit(&ann, "panic", json!({}));
}

#[test]
fn a_panic_does_what_the_setting_says_where_the_test_wants_that() {
    let (mut room, ann) = open();
    room.on_panic(RoomPanic::Continue);
    assert_eq!(room.emit(&ann, "panic", json!({})), Err(Refusal::INTERNAL));
    assert!(room.exit().is_none());
    room.on_panic(RoomPanic::EndRoom);
    assert_eq!(room.emit(&ann, "panic", json!({})), Err(Refusal::INTERNAL));
    let crashed = Exit::Crashed("on_request panicked: as asked".to_owned());
    assert_eq!(room.exit(), Some(crashed));
    let reroute = json!({ "to": "lobby", "reason": { "code": "crashed" } });
    assert_eq!(room.last(&ann, "reroute"), Some(&reroute));
}

#[test]
#[should_panic(expected = "as asked later")]
fn a_panic_in_what_a_hook_gave_away_fails_the_test() {
    let (mut room, ann) = open();
    room.emit(&ann, "panic_later", json!({})).expect("given away");
    room.settle();
}
