//! Waiting with a time limit. Tests never sleep for a fixed time and never wait forever.

use std::time::Duration;

/// Longer than anything takes on a busy machine, where a room that gets no CPU time counts as hung
/// only after ten times its timeout. A test that waits this long has failed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Waits for a future, at most a minute. `what` names it in the failure.
///
/// # Panics
/// If it has not happened by then.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let result = tokio::time::timeout(DEADLINE, future).await;
    result.unwrap_or_else(|_| panic!("{what}: not within {DEADLINE:?}"))
}

/// Polls every 5 ms, at most a minute, until `look` returns something.
///
/// # Panics
/// If `look` has returned nothing by then.
pub async fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let found = async {
        loop {
            match look() {
                Some(found) => return found,
                None => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    soon(what, found).await
}
