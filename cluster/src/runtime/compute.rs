//! CPU-bound work on other threads, while hooks and heartbeats go on. It can report progress and be
//! cancelled; a panic ends that job alone.

use std::{
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::available_parallelism,
};

use futures_util::{Stream, stream};
use tokio::sync::{Notify, Semaphore, mpsc};

/// Reports that are queued for the event loop; a faster job blocks until there is room.
const MAX_WAITING: usize = 64;

/// One job for each processor: more would only share the processors and hold memory.
static PROCESSORS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| {
    Arc::new(Semaphore::new(available_parallelism().map_or(1, |processors| processors.get())))
});

/// Cancels a computation. Dropping this does not.
#[derive(Debug, Clone)]
pub struct Job(Arc<Cancel>);

/// The computation's side: reports progress, and sees whether it is cancelled.
pub struct Work<P = ()> {
    cancel: Arc<Cancel>,
    reports: mpsc::Sender<P>,
}

/// Why a computation has no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ComputeError {
    /// The panic message is in the log.
    #[error("the computation panicked")]
    Panicked,
    /// The job was cancelled.
    #[error("the computation was cancelled")]
    Cancelled,
}

#[derive(Debug, Default)]
struct Cancel {
    cancelled: AtomicBool,
    told: Notify,
}

impl Job {
    /// Asks the work to stop, which sees it in [`Work::is_cancelled`]; work that waits for a
    /// processor does not start. Later reports are dropped, and `done` gets
    /// [`ComputeError::Cancelled`].
    pub fn cancel(&self) {
        self.0.cancelled.store(true, Relaxed);
        self.0.told.notify_one();
    }
}

impl<P> Work<P> {
    /// Whether the result is no longer needed. Check now and then, and return early.
    pub fn is_cancelled(&self) -> bool {
        self.cancel.cancelled.load(Relaxed) || self.reports.is_closed()
    }

    /// Reports progress or a partial result. Reports are delivered in order, before the result.
    /// Blocks while 64 of them are queued.
    pub fn report(&self, report: P) {
        let _ = self.reports.blocking_send(report);
    }
}

type Outcome<T> = Result<T, ComputeError>;

/// Starts it as soon as a processor is free.
pub(crate) fn start<P: Send + 'static, T: Send + 'static>(
    work: impl FnOnce(&Work<P>) -> T + Send + 'static,
) -> (Job, impl Stream<Item = P>, impl Future<Output = Outcome<T>>) {
    let cancel = Arc::new(Cancel::default());
    let (reports, mut reported) = mpsc::channel(MAX_WAITING);
    let handle = Work { cancel: cancel.clone(), reports };
    let stopped = cancel.clone();
    let running = tokio::spawn(async move {
        let processor = tokio::select! {
            processor = PROCESSORS.clone().acquire_owned() => processor,
            () = stopped.told.notified() => return Err(ComputeError::Cancelled),
        };
        let result = tokio::task::spawn_blocking(move || work(&handle)).await;
        drop(processor);
        result.map_err(|_| ComputeError::Panicked)
    });
    let cancelled = cancel.clone();
    let reports = stream::poll_fn(move |context| {
        loop {
            match reported.poll_recv(context) {
                std::task::Poll::Ready(Some(_)) if cancelled.cancelled.load(Relaxed) => {}
                next => return next,
            }
        }
    });
    let job = Job(cancel.clone());
    let result = async move {
        let result = running.await.unwrap_or(Err(ComputeError::Panicked));
        if cancel.cancelled.load(Relaxed) { Err(ComputeError::Cancelled) } else { result }
    };
    (job, reports, result)
}
