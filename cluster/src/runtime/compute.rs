//! Heavy work on other threads: the hooks go on meanwhile, and so do the signs of life. It reports what
//! it has so far, can be cancelled, and may panic.

use std::{
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::available_parallelism,
};

use futures_util::{Stream, stream};
use tokio::sync::{Notify, Semaphore, mpsc};

/// Reports that wait for the hooks; work that is faster than they are waits for them.
const MAX_WAITING: usize = 64;

/// As many at once as there are processors: more would only take turns, and keep their memory.
static PROCESSORS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| {
    Arc::new(Semaphore::new(available_parallelism().map_or(1, |processors| processors.get())))
});

/// A computation, seen by the one who asked for it. Dropping this changes nothing.
#[derive(Debug, Clone)]
pub struct Job(Arc<Cancel>);

/// A computation, seen by the closure that does it.
pub struct Work<P = ()> {
    cancel: Arc<Cancel>,
    reports: mpsc::Sender<P>,
}

/// Why a computation has no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ComputeError {
    /// Its text is in the log.
    #[error("the computation panicked")]
    Panicked,
    /// Its job was cancelled or dropped.
    #[error("the computation was cancelled")]
    Cancelled,
}

#[derive(Debug, Default)]
struct Cancel {
    cancelled: AtomicBool,
    told: Notify,
}

impl Job {
    /// Asks it to stop: it sees so in [`Work::is_cancelled`], or does not even begin. What it reports or
    /// returns from now on is dropped, and its last callback gets [`ComputeError::Cancelled`].
    pub fn cancel(&self) {
        self.0.cancelled.store(true, Relaxed);
        self.0.told.notify_one();
    }
}

impl<P> Work<P> {
    /// Whether nobody waits for the result any more: look now and then, and return early.
    pub fn is_cancelled(&self) -> bool {
        self.cancel.cancelled.load(Relaxed) || self.reports.is_closed()
    }

    /// Hands over what there is so far: progress, or a part of the result. Reports come in this order,
    /// and before the result. Waits while many of them have not been dealt with yet.
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
