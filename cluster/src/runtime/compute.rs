//! Heavy computations on other threads, so that hooks and heartbeats go on meanwhile. A computation
//! reports partial results, can be cancelled, and may panic.

use std::sync::LazyLock;
use std::thread::available_parallelism;

use futures_util::{Stream, StreamExt as _, stream};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

/// Reports that wait for the hooks. A computation that reports faster blocks in [`Work::report`].
const MAX_REPORTS: usize = 64;

/// One permit for each processor: more computations at once would only take turns and hold memory.
static PROCESSORS: LazyLock<Semaphore> =
    LazyLock::new(|| Semaphore::new(available_parallelism().map_or(1, usize::from)));

/// Cancels a computation of [`Scheduler::compute`](crate::Scheduler::compute). Dropping it does
/// not.
#[derive(Debug, Clone)]
pub struct Job(CancellationToken);

/// The computation's side of a [`Job`]: reports progress and tells whether to stop. `P` is the type
/// of a report.
pub struct Work<P = ()> {
    cancelled: CancellationToken,
    reports: mpsc::Sender<P>,
}

/// Why a computation has no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ComputeError {
    /// The computation panicked, or no thread could be started; the log has the message.
    #[error("the computation panicked")]
    Panicked,
    /// [`Job::cancel`] was called.
    #[error("the computation was cancelled")]
    Cancelled,
}

impl Job {
    /// Asks the computation to stop: [`Work::is_cancelled`] is true from now on, and a computation
    /// that has not begun never does. Later reports and the result are dropped; the last callback
    /// gets [`ComputeError::Cancelled`].
    pub fn cancel(&self) {
        self.0.cancel();
    }
}

impl<P> Work<P> {
    /// Whether the result is not needed any more: the job was cancelled, or the room has ended.
    /// Check it now and then, and return early.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.is_cancelled() || self.reports.is_closed()
    }

    /// Reports progress or a part of the result. Reports arrive in order and before the result.
    /// Blocks while 64 of them wait for the hooks.
    pub fn report(&self, report: P) {
        let _ = self.reports.blocking_send(report);
    }
}

/// Starts a computation as soon as a processor is free. Returns its reports and its result.
pub(crate) fn start<P: Send + 'static, T: Send + 'static>(
    work: impl FnOnce(&Work<P>) -> T + Send + 'static,
) -> (Job, impl Stream<Item = P>, impl Future<Output = Result<T, ComputeError>>) {
    let cancelled = CancellationToken::new();
    let (sender, mut receiver) = mpsc::channel(MAX_REPORTS);
    let handle = Work { cancelled: cancelled.clone(), reports: sender };
    let running = tokio::spawn(async move {
        let _processor = handle.cancelled.run_until_cancelled(PROCESSORS.acquire()).await?;
        tokio::task::spawn_blocking(move || work(&handle)).await.ok()
    });
    let job = Job(cancelled.clone());
    let reports = stream::poll_fn(move |cx| receiver.poll_recv(cx));
    let reports = reports.take_until(cancelled.clone().cancelled_owned());
    let result = async move {
        let result = running.await.ok().flatten().ok_or(ComputeError::Panicked);
        if cancelled.is_cancelled() { Err(ComputeError::Cancelled) } else { result }
    };
    (job, reports, result)
}
