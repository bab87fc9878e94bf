//! Runs the event handler for each input, and passes on what follows from it until nothing does.

use futures_util::FutureExt as _;
use tokio::time::Instant;

use crate::lobby::Kinds;
use crate::lobby::context::{LISTS_PERIOD, List};
use crate::lobby::event_loop::EventHandler;
use crate::runtime::clock::TEST_TIME;
use crate::testing::TestLobby;
use crate::testing::counts::counted;

/// While this lives, the time on this thread is the test's. Holds what it was before.
pub(super) struct TestTime(Option<Instant>);

pub(super) fn at(now: Instant) -> TestTime {
    TestTime(TEST_TIME.replace(Some(now)))
}

impl Drop for TestTime {
    fn drop(&mut self) {
        TEST_TIME.set(self.0);
    }
}

impl<L: Kinds> TestLobby<L> {
    /// Handles an event, and all that follows from it.
    pub(super) fn run<T>(&mut self, call: impl FnOnce(&mut EventHandler<L>) -> T) -> T {
        let runtime = self.runtime.handle().clone();
        let _entered = runtime.enter();
        let _time = at(self.now);
        let result = counted(|| call(&mut self.handler()));
        self.follow();
        result
    }

    /// Does all that is due.
    pub(super) fn follow(&mut self) {
        let runtime = self.runtime.handle().clone();
        let _entered = runtime.enter();
        let _time = at(self.now);
        while self.follow_up() {}
    }

    /// Lists may change by what it is used for.
    pub(super) fn handler(&mut self) -> EventHandler<'_, L> {
        let passed = self.now.duration_since(self.start).as_nanos() / LISTS_PERIOD.as_nanos();
        self.lists_at.get_or_insert(self.start + LISTS_PERIOD * (passed + 1) as u32);
        EventHandler { lobby: &mut self.lobby, context: &self.context }
    }

    /// Does the next thing that is due now: first what the lobby's loop has to do, then what rooms
    /// and pages do. Returns `false` if there is none.
    fn follow_up(&mut self) -> bool {
        if let Ok((conn, sent)) = self.told.1.try_recv() {
            match sent {
                Some(sent) => self.note(conn, sent),
                None => self.hung_up(conn),
            }
        } else if let Some(call) = self.context.scheduler.pop_due(self.now) {
            let _ = counted(|| self.handler().hook("timer", call));
        } else if let Some(Some(call)) = self.context.scheduler.next_call().now_or_never() {
            let _ = counted(|| self.handler().hook("spawned work", call));
        } else if let Some(event) = self.inbox.pop_front() {
            counted(|| self.handler().on_process(event));
        } else if self.read_channels() {
        } else if let Some(player) = self.returning.pop_front() {
            self.returns(&player);
        } else if self.expire_in_rooms() {
        } else if self.lists_at.take_if(|at| *at <= self.now).is_some() {
            counted(|| {
                self.context.publish(List::Rooms);
                self.context.publish(List::Players);
            });
        } else {
            return false;
        }
        true
    }

    /// When something is due next.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let rooms = self.rooms.values().filter_map(|room| room.deadline()).min();
        [self.context.scheduler.deadline(), rooms, self.lists_at].into_iter().flatten().min()
    }
}
