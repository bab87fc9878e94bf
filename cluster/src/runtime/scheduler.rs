//! Timers, spawned futures and computations of the lobby and of rooms. Each result becomes a
//! callback with `&mut` state, which the event loop runs between hooks.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::Pin,
    rc::Rc,
    time::Duration,
};

use futures_util::{Stream, StreamExt as _, stream};
use tokio::time::Instant;

use crate::runtime::{
    clock::{self, later},
    compute::{self, ComputeError, Job, Work},
    panics::{caught, survived},
};

/// A callback with the state and the context (`&RoomContext` or `&LobbyContext`).
pub(crate) type Call<S, H> = Box<dyn FnOnce(&mut S, &H)>;
/// Spawned work: a stream of callbacks.
pub(crate) type Task<S, H> = Pin<Box<dyn Stream<Item = Call<S, H>>>>;

type Repeat<S, H> = Rc<RefCell<dyn FnMut(&mut S, &H)>>;

/// Names a timer, to cancel it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timer(u64);

pub(crate) enum Due<S, H> {
    Once(Call<S, H>),
    Every(Duration, Repeat<S, H>),
}

/// Timers, spawned futures and computations of a lobby or a room: `S` is its state, `H` the context
/// of its hooks. Results are delivered as later calls, between other hooks.
pub struct Scheduler<S, H> {
    /// Set by the event loop before each event: a hook sees one point in time, which a test can
    /// choose.
    now: Cell<Instant>,
    timers: RefCell<BTreeMap<(Instant, Timer), Due<S, H>>>,
    tasks: RefCell<Vec<Task<S, H>>>,
    next: Cell<u64>,
}

impl<S: 'static, H: 'static> Scheduler<S, H> {
    pub(crate) fn new() -> Self {
        Scheduler {
            now: Cell::new(clock::now()),
            timers: Default::default(),
            tasks: Default::default(),
            next: Cell::new(0),
        }
    }

    pub(crate) fn now(&self) -> Instant {
        self.now.get()
    }

    pub(crate) fn set_now(&self, now: Instant) {
        self.now.set(now);
    }

    /// Runs an async hook and updates the time at each poll: timers that it starts after an `await`
    /// count from then.
    pub(crate) async fn timed<T>(&self, hook: impl Future<Output = T>) -> T {
        let mut hook = std::pin::pin!(hook);
        std::future::poll_fn(|cx| {
            self.set_now(clock::now());
            hook.as_mut().poll(cx)
        })
        .await
    }

    /// Calls back once, after `delay`.
    pub fn after(&self, delay: Duration, call: impl FnOnce(&mut S, &H) + 'static) -> Timer {
        self.add(later(self.now(), delay), Due::Once(Box::new(call)))
    }

    /// Calls back every `period`, at least 1 ms, first after one period. Late calls do not change
    /// the rate; of the calls that a stall missed, one is made up for.
    pub fn every(&self, period: Duration, call: impl FnMut(&mut S, &H) + 'static) -> Timer {
        // Without a minimum, a period of zero would always be due.
        let period = period.max(Duration::from_millis(1));
        self.add(later(self.now(), period), Due::Every(period, Rc::new(RefCell::new(call))))
    }

    /// Cancels a timer. Does nothing if it has run already.
    pub fn cancel(&self, timer: Timer) {
        self.timers.borrow_mut().retain(|(_, other), _| *other != timer);
    }

    /// Spawns a future, and calls back with its result. Other hooks run meanwhile.
    pub fn spawn<T: 'static>(
        &self,
        work: impl Future<Output = T> + 'static,
        done: impl FnOnce(&mut S, &H, T) + 'static,
    ) {
        self.push(stream::once(async {
            // A panic resumes in the callback, where panics of hooks are handled.
            let result = caught(work).await;
            let result = || result.unwrap_or_else(|panic| resume_unwind(panic));
            Box::new(move |state: &mut S, handle: &H| done(state, handle, result())) as Call<S, H>
        }));
    }

    /// Runs CPU-bound work on another thread, and calls back with its result. At most one job runs
    /// for each processor; further ones wait.
    pub fn compute<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Work) -> T + Send + 'static,
        done: impl FnOnce(&mut S, &H, Result<T, ComputeError>) + 'static,
    ) -> Job {
        self.compute_in_parts(work, |_, _, ()| {}, done)
    }

    /// The same for work that reports progress or partial results. Each report is a callback.
    /// `done` is called last, when the work has really ended, even if it was cancelled.
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
        let reported = reports.map(move |report| {
            let on_report = on_report.clone();
            Box::new(move |state: &mut S, handle: &H| on_report.borrow_mut()(state, handle, report))
                as Call<S, H>
        });
        let finished = stream::once(async {
            let result = result.await;
            Box::new(move |state: &mut S, handle: &H| done(state, handle, result)) as Call<S, H>
        });
        self.push(reported.chain(finished));
        job
    }

    /// When the first timer is due.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.timers.borrow().first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes the first timer if it is due. A repeating one is armed again first, so that a panic
    /// does not stop it.
    pub(crate) fn pop_due(&self, now: Instant) -> Option<Call<S, H>> {
        let mut timers = self.timers.borrow_mut();
        let entry = timers.first_entry().filter(|entry| entry.key().0 <= now)?;
        let (at, timer) = *entry.key();
        Some(match entry.remove() {
            Due::Once(call) => call,
            Due::Every(period, call) => {
                let again = Due::Every(period, call.clone());
                timers.insert((next(at, period, now), timer), again);
                Box::new(move |state, handle| call.borrow_mut()(state, handle))
            }
        })
    }

    /// Takes the work that was spawned since the last call.
    pub(crate) fn take_tasks(&self) -> Vec<Task<S, H>> {
        std::mem::take(&mut self.tasks.borrow_mut())
    }

    fn push(&self, task: impl Stream<Item = Call<S, H>> + 'static) {
        self.tasks.borrow_mut().push(Box::pin(task));
    }

    fn add(&self, at: Instant, due: Due<S, H>) -> Timer {
        let timer = Timer(self.next.get());
        self.next.set(timer.0 + 1);
        self.timers.borrow_mut().insert((at, timer), due);
        timer
    }
}

/// When a timer that was due at `at` is due again: a period later, however late its call is. Of the
/// calls that a stall missed, one is made up for and the others are skipped.
fn next(at: Instant, period: Duration, now: Instant) -> Instant {
    let late = now.saturating_duration_since(at);
    let rest = (late.as_nanos() % period.as_nanos()) as u64; // no more than `late`, which is no 584 years
    later(at, period.max(late - Duration::from_nanos(rest)))
}

/// Sleeps until the deadline, or for ever.
pub(crate) async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => clock::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Calls a hook of the lobby. `None`: it panicked, which is logged.
pub(crate) fn contained<T>(hook: &'static str, call: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(call)).inspect_err(|panic| survived(hook, panic)).ok()
}

/// The same for a future.
pub(crate) async fn contained_future<T>(
    hook: &'static str,
    future: impl Future<Output = T>,
) -> Option<T> {
    caught(future).await.inspect_err(|panic| survived(hook, panic)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_that_panics_comes_again_and_may_cancel_itself() {
        let scheduler = Scheduler::<u32, ()>::new();
        let (mut state, start) = (0, scheduler.now());
        scheduler.every(Duration::from_secs(1), |n: &mut u32, ()| {
            *n += 1;
            assert!(*n != 1, "as asked")
        });
        scheduler.after(Duration::MAX, |_, ()| {});
        for second in 1..4 {
            let now = start + Duration::from_secs(second);
            scheduler.set_now(now);
            while let Some(call) = scheduler.pop_due(now) {
                contained("timer", || call(&mut state, &()));
            }
        }
        assert_eq!(state, 3);
    }

    #[tokio::test]
    async fn what_an_async_hook_sets_up_after_an_await_counts_from_then() {
        let scheduler = Scheduler::<u32, ()>::new();
        let (start, wait) = (scheduler.now(), Duration::from_millis(30));
        scheduler
            .timed(async {
                clock::sleep_until(start + wait).await;
                scheduler.after(Duration::from_secs(5), |_, ()| {});
            })
            .await;
        assert!(scheduler.deadline() >= Some(start + wait + Duration::from_secs(5)));
    }

    /// How often a timer of this period is called when the loop comes to it at these times, in
    /// microseconds.
    fn calls(period: Duration, times: impl IntoIterator<Item = u64>) -> u32 {
        let scheduler = Scheduler::<u32, ()>::new();
        let (mut state, start) = (0, scheduler.now());
        scheduler.every(period, |n: &mut u32, ()| *n += 1);
        for time in times {
            let now = start + Duration::from_micros(time);
            scheduler.set_now(now);
            while let Some(call) = scheduler.pop_due(now) {
                call(&mut state, &());
            }
        }
        state
    }

    #[test]
    fn a_timer_keeps_its_rate_though_each_call_is_late() {
        for (period, expected) in [(10, 1000), (16, 625), (33, 303)] {
            // A runtime wakes its tasks up to two milliseconds after they wanted to be.
            let times = (0..10_002_000).step_by(1_700);
            assert_eq!(calls(Duration::from_millis(period), times), expected, "{period} ms");
        }
    }

    #[test]
    fn a_timer_that_was_stalled_makes_up_for_one_call_and_skips_the_others() {
        let ms = |ms: u64| ms * 1000;
        let period = Duration::from_millis(10);
        assert_eq!(calls(period, [ms(10), ms(5_015)]), 3, "one in time, one late, one more");
        assert_eq!(calls(period, [ms(10), ms(5_015), ms(5_019)]), 3);
        assert_eq!(calls(period, [ms(10), ms(5_015), ms(5_020)]), 4, "then as if nothing was");
    }

    #[test]
    fn a_period_of_nothing_is_a_millisecond() {
        assert_eq!(calls(Duration::ZERO, (0..100_000).step_by(100)), 99);
        assert_eq!(calls(Duration::MAX, [0, 1_000_000_000]), 0);
    }
}
