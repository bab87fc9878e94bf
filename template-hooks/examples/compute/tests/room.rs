//! Your room by itself: no processes, no sockets, simulated time. Edit these with `src/room.rs`.

use std::ops::Range;
use std::time::Duration;

use app::messages::{Options, ToLobby, ToRoom, View};
use app::room::Worker;
use cluster::Exit;
use cluster::testing::TestRoom;

mod pictures;

use pictures::{check, whole};

const PATIENCE: Duration = Duration::from_secs(10);

fn worker() -> TestRoom<Worker> {
    let options = Options { patience_ms: PATIENCE.as_millis() as u64 };
    TestRoom::open(options, 0, 7).expect("a worker")
}

fn compute(view: &View, rows: Range<u32>) -> ToRoom {
    ToRoom::Compute { view: view.clone(), rows }
}

#[test]
fn a_worker_computes_the_rows_that_it_is_given_and_is_free_again() {
    let mut worker = worker();
    worker.tell(compute(&whole(), 10..14));
    worker.settle();
    let mut told = worker.told_lobby();
    assert_eq!(told.pop(), Some(ToLobby::Free));
    let mut rows = Vec::new();
    for message in told {
        let ToLobby::Row { row, shades } = message else { panic!("free in the middle") };
        check(&whole(), row, &shades);
        rows.push(row);
    }
    assert_eq!(rows, [10, 11, 12, 13]);
}

#[test]
fn a_worker_that_is_told_to_stop_computes_nothing_more_and_says_so() {
    let mut worker = worker();
    worker.tell(compute(&View { depth: u32::MAX, ..whole() }, 0..32));
    worker.tell(ToRoom::Cancel);
    worker.settle();
    assert_eq!(worker.told_lobby(), [ToLobby::Free]);
    // A cancel that comes too late does no harm.
    worker.tell(ToRoom::Cancel);
    worker.tell(compute(&whole(), 0..1));
    worker.settle();
    assert!(matches!(&worker.told_lobby()[..], [ToLobby::Row { row: 0, .. }, ToLobby::Free]));
}

#[test]
fn a_job_without_rows_is_done_at_once() {
    let mut worker = worker();
    worker.tell(compute(&whole(), 5..5));
    worker.settle();
    assert_eq!(worker.told_lobby(), [ToLobby::Free]);
}

#[test]
fn a_worker_goes_when_it_has_had_no_work_for_a_while_and_not_while_it_computes() {
    let mut worker = worker();
    worker.advance(PATIENCE / 2);
    worker.tell(compute(&whole(), 0..2));
    // The work runs in real time.
    worker.advance(10 * PATIENCE);
    assert_eq!(worker.exit(), None);
    worker.settle();
    worker.advance(PATIENCE - Duration::from_millis(1));
    assert_eq!(worker.exit(), None);
    worker.advance(Duration::from_millis(1));
    assert_eq!(worker.exit(), Some(Exit::Finished));
    let busy_ms = 10 * PATIENCE.as_millis() as u64;
    assert_eq!(worker.told_lobby().last(), Some(&ToLobby::Total { rows: 2, busy_ms }));
}

#[test]
fn a_view_must_be_one() {
    let good = [whole(), View { x: -4.0, across: 1e-12, columns: 1, depth: 10_000, ..whole() }];
    for view in good {
        assert_eq!(view.check(), Ok(()), "{view:?}");
    }
    let bad = [
        View { x: f64::NAN, ..whole() },
        View { y: f64::INFINITY, ..whole() },
        View { across: f64::NAN, ..whole() },
        View { across: 0.0, ..whole() },
        View { across: 8.1, ..whole() },
        View { columns: 0, ..whole() },
        View { rows: 801, ..whole() },
        View { depth: 0, ..whole() },
        View { depth: 10_001, ..whole() },
    ];
    for view in bad {
        assert!(view.check().is_err_and(|refusal| refusal.code() == "bad_view"), "{view:?}");
    }
}
