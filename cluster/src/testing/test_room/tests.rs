use super::*;
use crate::types::{Answer, deferred, ok};

struct Game;

crate::messages! {
    enum Request {
        Square { n: u64 },
        WorkForEver,
        Panic,
        PanicLater,
    }
}

impl Room for Game {
    type Request = Request;
    crate::unused!(Options, Event, FromLobby, ToLobby);

    async fn on_open((): (), _: &RoomContext<Self>) -> Result<Self, Refusal> {
        Ok(Game)
    }

    fn on_message(&mut self, room: &RoomContext<Self>, _: &Player, request: Request) -> Answer {
        match request {
            Request::Square { n } => {
                let (tell, answer) = tokio::sync::oneshot::channel();
                let tell = |square| _ = tell.send(square);
                room.compute(move |_| n * n, move |_, _, square| tell(square));
                deferred(async { answer.await.expect("a call").map_err(|_| Refusal::Internal) })
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
            Request::Panic => panic!("as asked"),
            Request::PanicLater => {
                room.spawn(async { panic!("as asked later") }, |_, _, ()| {});
                ok()
            }
        }
    }

    fn on_disconnect(&mut self, _: &RoomContext<Self>, _: &Player) -> Option<Duration> {
        Some(Duration::MAX)
    }
}

fn stage() -> (TestRoom<Game>, Player) {
    let mut stage = TestRoom::open((), 2, 7).expect("a room");
    let ann = stage.join("Ann").expect("a free seat");
    (stage, ann)
}

#[test]
fn an_answer_may_be_the_result_of_a_computation() {
    let (mut stage, ann) = stage();
    assert_eq!(stage.emit(&ann, "square", json!({ "n": 3 })), Ok(json!(9)));
}

#[test]
fn a_seat_whose_player_does_not_come_in_time_is_free_again() {
    let (mut stage, _) = stage();
    let bob = player("Bob");
    stage.reserve(&bob).expect("a free seat");
    assert_eq!(stage.join("Eve").map(drop), Err(Refusal::RoomFull));
    assert_eq!(*stage.room().expected(), [bob]);
    stage.advance(TICKET_TTL);
    assert!(stage.room().expected().is_empty());
    stage.join("Eve").expect("a free seat");
}

#[test]
fn a_computation_that_has_not_ended_holds_nobody_up() {
    let (mut stage, ann) = stage();
    stage.emit(&ann, "work_for_ever", json!({})).expect("work");
    drop(stage);
}

#[test]
fn a_grace_may_be_for_ever() {
    let (mut stage, ann) = stage();
    stage.drop_player(&ann);
    stage.advance(Duration::from_secs(60 * 60));
    assert_eq!(*stage.room().players(), [ann]);
    assert!(stage.exit().is_none());
}

#[test]
#[should_panic(expected = "as asked")]
fn a_panic_in_a_hook_fails_the_test() {
    let (mut stage, ann) = stage();
    let _ = stage.emit(&ann, "panic", json!({}));
}

#[test]
fn a_panic_does_what_the_setting_says_where_the_test_wants_that() {
    let (mut stage, ann) = stage();
    stage.on_panic(RoomPanic::EndsHook);
    assert_eq!(stage.emit(&ann, "panic", json!({})), Err(Refusal::Internal));
    assert!(stage.exit().is_none());
    stage.on_panic(RoomPanic::EndsRoom);
    assert_eq!(stage.emit(&ann, "panic", json!({})), Err(Refusal::Internal));
    let crashed = Exit::Crashed("on_message panicked: as asked".to_owned());
    assert_eq!(stage.exit(), Some(crashed));
    let reroute = json!({ "to": "lobby", "reason": "crashed" });
    assert_eq!(stage.last(&ann, "reroute"), Some(&reroute));
}

#[test]
#[should_panic(expected = "as asked later")]
fn a_panic_in_what_a_hook_gave_away_fails_the_test() {
    let (mut stage, ann) = stage();
    stage.emit(&ann, "panic_later", json!({})).expect("given away");
    stage.settle();
}
