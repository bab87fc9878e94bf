//! Timers, spawned futures and computations, for the lobby and for rooms alike. Each leads to calls
//! with `&mut` access to the state. Nothing here runs a hook: the event loop takes the calls and
//! makes them one at a time, between other hooks.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures_util::stream::{LocalBoxStream, SelectAll};
use futures_util::{FutureExt as _, StreamExt as _, stream};
use tokio::time::Instant;

use crate::runtime::clock::later;
use crate::runtime::compute::{ComputeError, Job, Work};
use crate::runtime::{clock, compute};

/// A call that a hook asked for, with the state `S` and the context `H` of its hooks.
pub(crate) type Call<S, H> = Box<dyn FnOnce(&mut S, &H)>;

/// Identifies a timer, to [cancel](Scheduler::cancel) it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timer(u64);

/// The call of a repeating timer; shared, since it outlives each of its calls.
type Repeat<S, H> = Rc<RefCell<dyn FnMut(&mut S, &H)>>;

enum Due<S, H> {
    Once(Call<S, H>),
    Every(Duration, Repeat<S, H>),
}

/// Timers, spawned futures and computations of a lobby or a room. Both contexts have these methods.
///
/// `S` is the state, `H` the context. Results are delivered as later calls with both, between other
/// hooks; none is made while another hook runs. A panic in a call, or in a spawned future, counts
/// as one in a hook. Calls still pending when the room ends or the lobby stops are never made.
///
/// ```
/// # use std::time::Duration;
/// # use cluster::{Lobby, LobbyContext};
/// #[derive(Default)]
/// struct Server {
///     is_open: bool,
/// }
///
/// # impl Lobby for Server { cluster::lobby_types! {} }
/// # fn hook(lobby: &LobbyContext<Server>) {
/// let opening = lobby.after(Duration::from_secs(60), |server, _lobby| server.is_open = true);
/// lobby.cancel(opening);
/// # }
/// ```
pub struct Scheduler<S, H> {
    /// The time of the current hook. The loop sets it, so that it does not move within a hook and a
    /// test can choose it.
    pub(crate) now: Cell<Instant>,
    timers: RefCell<BTreeMap<(Instant, Timer), Due<S, H>>>,
    /// When each of them is due.
    due_at: RefCell<HashMap<Timer, Instant>>,
    /// How late a timer was at most, since this was taken last: a hook that takes long delays all
    /// other events.
    pub(crate) lag: Cell<Duration>,
    /// Spawned futures and computations that have not ended, as streams of calls.
    pub(crate) tasks: RefCell<SelectAll<LocalBoxStream<'static, Call<S, H>>>>,
    next_timer: Cell<u64>,
}

impl<S: 'static, H: 'static> Scheduler<S, H> {
    pub(crate) fn new() -> Self {
        Scheduler {
            now: Cell::new(clock::now()),
            timers: Default::default(),
            due_at: Default::default(),
            lag: Cell::default(),
            tasks: Default::default(),
            next_timer: Cell::new(0),
        }
    }

    /// Runs an async hook, in which time moves: a timer that it sets after an `await` counts from
    /// then.
    pub(crate) async fn timed<T>(&self, hook: impl Future<Output = T>) -> T {
        let mut hook = pin!(hook);
        poll_fn(|cx| {
            self.now.set(clock::now());
            hook.as_mut().poll(cx)
        })
        .await
    }

    /// Calls back once, after `delay`; `call` may be a function such as `Self::next_question`.
    ///
    /// For a countdown, store its end time in your state ([`elapsed`](crate::RoomContext::elapsed)
    /// in a room) and send the time left in the snapshot, because the page's clock may differ.
    pub fn after(&self, delay: Duration, call: impl FnOnce(&mut S, &H) + 'static) -> Timer {
        self.add(later(self.now.get(), delay), Due::Once(Box::new(call)))
    }

    /// Calls back repeatedly, first after `period`, which is at least a millisecond.
    ///
    /// The rate does not drift when calls are late. After a stall one missed call is made up for;
    /// the others are skipped. A panic in a call does not end the timer.
    pub fn every(&self, period: Duration, call: impl FnMut(&mut S, &H) + 'static) -> Timer {
        let period = period.max(Duration::from_millis(1));
        self.add(later(self.now.get(), period), Due::Every(period, Rc::new(RefCell::new(call))))
    }

    /// Cancels a timer. Does nothing if an `after` timer has run already.
    pub fn cancel(&self, timer: Timer) {
        let at = self.due_at.borrow_mut().remove(&timer);
        at.map(|at| self.timers.borrow_mut().remove(&(at, timer)));
    }

    /// Awaits a future and calls back with its result. Other hooks run meanwhile.
    ///
    /// The future cannot borrow the state. It runs on the thread of the hooks: use
    /// [`compute`](Self::compute) for what takes long without waiting.
    ///
    /// ```
    /// # use cluster::{Lobby, LobbyContext};
    /// # async fn load() -> Vec<String> { vec![] }
    /// #[derive(Default)]
    /// struct Server {
    ///     news: Vec<String>,
    /// }
    ///
    /// # impl Lobby for Server { cluster::lobby_types! {} }
    /// # fn hook(lobby: &LobbyContext<Server>) {
    /// lobby.spawn(load(), |server, _lobby, news| server.news = news);
    /// # }
    /// ```
    pub fn spawn<T: 'static>(
        &self,
        work: impl Future<Output = T> + 'static,
        done: impl FnOnce(&mut S, &H, T) + 'static,
    ) {
        let task = stream::once(async {
            let result = AssertUnwindSafe(work).catch_unwind().await;
            // A panic is resumed inside the call, where the loop catches it like a panic in a hook.
            call(|state, context| {
                done(state, context, result.unwrap_or_else(|panic| resume_unwind(panic)));
            })
        });
        self.tasks.borrow_mut().push(task.boxed_local());
    }

    /// Runs a heavy computation on another thread and calls back with its result.
    ///
    /// As many run at once as there are processors; further ones wait. [`Job::cancel`] asks one to
    /// stop.
    pub fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Work) -> T + Send + 'static,
        done: impl FnOnce(&mut S, &H, Result<T, ComputeError>) + 'static,
    ) -> Job {
        self.compute_in_parts(work, |_, _, ()| {}, done)
    }

    /// Runs a heavy computation that reports progress or parts of its result. Each report is a
    /// call. `done` is called last, when the computation has returned, also if it was cancelled.
    ///
    /// ```no_run
    /// # use cluster::{Room, RoomContext};
    /// # fn hook<R: Room>(room: &RoomContext<R>) {
    /// let job = room.compute_in_parts(
    ///     |work| {
    ///         for row in 0..100 {
    ///             if work.is_cancelled() { break }
    ///             work.report(row * row);
    ///         }
    ///     },
    ///     |_game, _room, square: u32| println!("{square}"),
    ///     |_game, _room, result| println!("{result:?}"),
    /// );
    /// job.cancel();
    /// # }
    /// ```
    pub fn compute_in_parts<P: Send + 'static, T: Send + 'static>(
        &self,
        work: impl FnOnce(&Work<P>) -> T + Send + 'static,
        on_report: impl FnMut(&mut S, &H, P) + 'static,
        done: impl FnOnce(&mut S, &H, Result<T, ComputeError>) + 'static,
    ) -> Job {
        let (job, reports, result) = compute::start(work);
        let on_report = Rc::new(RefCell::new(on_report));
        let reports = reports.map(move |report| {
            let on_report = on_report.clone();
            call(move |state, context| on_report.borrow_mut()(state, context, report))
        });
        let result = result.map(|result| call(|state, context| done(state, context, result)));
        self.tasks.borrow_mut().push(reports.chain(stream::once(result)).boxed_local());
        job
    }

    /// When the first timer is due.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.timers.borrow().first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes the first timer if it is due. A repeating timer is set again before its call, so it
    /// survives a panic in it.
    pub(crate) fn pop_due(&self, now: Instant) -> Option<Call<S, H>> {
        let (mut timers, mut due_at) = (self.timers.borrow_mut(), self.due_at.borrow_mut());
        let entry = timers.first_entry().filter(|entry| entry.key().0 <= now)?;
        let (at, timer) = *entry.key();
        self.lag.set(self.lag.get().max(now - at));
        due_at.remove(&timer);
        Some(match entry.remove() {
            Due::Once(call) => call,
            Due::Every(period, repeat) => {
                let (again, at) = (Due::Every(period, repeat.clone()), next_due(at, period, now));
                due_at.insert(timer, at);
                timers.insert((at, timer), again);
                Box::new(move |state, context| repeat.borrow_mut()(state, context))
            }
        })
    }

    /// The next call of a spawned future or a computation; `None` while there is none. Cancel safe.
    pub(crate) async fn next_call(&self) -> Option<Call<S, H>> {
        poll_fn(|cx| self.tasks.borrow_mut().poll_next_unpin(cx)).await
    }

    fn add(&self, at: Instant, due: Due<S, H>) -> Timer {
        let timer = Timer(self.next_timer.replace(self.next_timer.get() + 1));
        self.timers.borrow_mut().insert((at, timer), due);
        self.due_at.borrow_mut().insert(timer, at);
        timer
    }
}

fn call<S, H>(call: impl FnOnce(&mut S, &H) + 'static) -> Call<S, H> {
    Box::new(call)
}

/// The next due time of a timer that was due at `at`: one period later, no matter how late the call
/// was. After a stall it is the time of the last missed call, so that one call is made up for at
/// once.
fn next_due(at: Instant, period: Duration, now: Instant) -> Instant {
    let late = now.saturating_duration_since(at);
    let rest = (late.as_nanos() % period.as_nanos()) as u64; // fits: `late` is under 584 years
    later(at, period.max(late - Duration::from_nanos(rest)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::panics::catch;

    #[test]
    fn a_timer_survives_a_panic_in_its_call() {
        let scheduler = Scheduler::<u32, ()>::new();
        let (mut state, start) = (0, scheduler.now.get());
        scheduler.every(Duration::from_secs(1), |n: &mut u32, ()| {
            *n += 1;
            assert!(*n != 1, "as asked")
        });
        scheduler.after(Duration::MAX, |_, ()| {});
        for second in 1..4 {
            let now = start + Duration::from_secs(second);
            scheduler.now.set(now);
            while let Some(call) = scheduler.pop_due(now) {
                let _ = catch("timer", || call(&mut state, &()));
            }
        }
        assert_eq!(state, 3);
    }

    #[tokio::test]
    async fn a_timer_set_after_an_await_counts_from_then() {
        let scheduler = Scheduler::<u32, ()>::new();
        let (start, wait) = (scheduler.now.get(), Duration::from_millis(30));
        scheduler
            .timed(async {
                clock::sleep_until(start + wait).await;
                scheduler.after(Duration::from_secs(5), |_, ()| {});
            })
            .await;
        assert!(scheduler.deadline() >= Some(start + wait + Duration::from_secs(5)));
    }

    /// How often a timer is called if the loop runs at these times, in microseconds.
    fn calls(period: Duration, times: impl IntoIterator<Item = u64>) -> u32 {
        let scheduler = Scheduler::<u32, ()>::new();
        let (mut state, start) = (0, scheduler.now.get());
        scheduler.every(period, |n: &mut u32, ()| *n += 1);
        for time in times {
            let now = start + Duration::from_micros(time);
            scheduler.now.set(now);
            while let Some(call) = scheduler.pop_due(now) {
                call(&mut state, &());
            }
        }
        state
    }

    #[test]
    fn the_rate_does_not_drift_when_calls_are_late() {
        for (period, expected) in [(10, 1000), (16, 625), (33, 303)] {
            // The runtime wakes tasks up to two milliseconds late.
            let times = (0..10_002_000).step_by(1_700);
            assert_eq!(calls(Duration::from_millis(period), times), expected, "{period} ms");
        }
    }

    #[test]
    fn after_a_stall_one_missed_call_is_made_up_for() {
        let ms = |ms: u64| ms * 1000;
        let period = Duration::from_millis(10);
        assert_eq!(calls(period, [ms(10), ms(5_015)]), 3, "one in time, one late, one more");
        assert_eq!(calls(period, [ms(10), ms(5_015), ms(5_019)]), 3);
        assert_eq!(calls(period, [ms(10), ms(5_015), ms(5_020)]), 4, "then the usual rate");
    }

    #[test]
    fn the_shortest_period_is_a_millisecond() {
        assert_eq!(calls(Duration::ZERO, (0..100_000).step_by(100)), 99);
        assert_eq!(calls(Duration::MAX, [0, 1_000_000_000]), 0);
    }
}
