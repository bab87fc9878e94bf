//! Time limits for another process, such as a room that is to give signs of life. One that gets no processor, because
//! the machine is busy, cannot: the time for which it waits for one does not count. One that has a processor and
//! says nothing, or is stopped and wants none, is silent. (Linux; elsewhere all time counts.)

use std::{fs, pin::pin, time::Duration};

use crate::runtime::clock;

/// A limit is looked at in so many parts.
const PARTS: u32 = 16;
/// So many times its limit, and a process that is starved counts as silent as well: nobody can use it.
const MOST: u32 = 10;

/// Waits for what this process is to do. `None`: its time is over.
pub(crate) async fn timeout<F: Future>(
    process: Option<u32>,
    limit: Duration,
    future: F,
) -> Option<F::Output> {
    let mut future = pin!(future);
    // Most of the time it is not that late, and nobody has to look.
    let half = limit / 2;
    if let Ok(output) = clock::timeout(half, &mut future).await {
        return Some(output);
    }
    let (mut counted, mut pauses, mut before) = (half, clock::pauses(), Usage::of(process));
    for _ in 0..MOST * PARTS {
        let began = clock::now();
        if let Ok(output) = tokio::time::timeout(limit / PARTS, &mut future).await {
            return Some(output);
        }
        let (passed, usage) = (clock::now() - began, Usage::of(process));
        counted += passed - waited(passed, before, usage);
        before = usage;
        if pauses != clock::pauses() {
            // What was said meanwhile has yet to be read, and the process may have been paused as well.
            (counted, pauses) = (Duration::ZERO, clock::pauses());
        }
        if counted >= limit {
            break;
        }
    }
    None
}

/// What the main thread of a process has had so far.
#[derive(Debug, Clone, Copy)]
struct Usage {
    /// On a processor.
    ran: Duration,
    /// For one; without the wait that is not over yet.
    waited: Duration,
    /// Runs, or waits for a processor.
    runnable: bool,
}

impl Usage {
    fn of(process: Option<u32>) -> Option<Usage> {
        let process = process.filter(|_| cfg!(target_os = "linux"))?;
        let read = |file| fs::read_to_string(format!("/proc/{process}/{file}")).ok();
        let times = read("schedstat")?;
        let mut times =
            times.split(' ').map(|nanos| Some(Duration::from_nanos(nanos.parse().ok()?)));
        let (ran, waited) = (times.next()??, times.next()??);
        // After the name in parentheses: the state.
        let runnable = read("stat")?.rsplit_once(") ")?.1.starts_with('R');
        Some(Usage { ran, waited, runnable })
    }
}

/// For how much of this time a process has waited for a processor.
fn waited(passed: Duration, before: Option<Usage>, after: Option<Usage>) -> Duration {
    let (Some(before), Some(after)) = (before, after) else {
        return Duration::ZERO;
    };
    let waited = match after.runnable {
        // A wait is added up when it is over, and this one may not be.
        true => passed.saturating_sub(after.ran.saturating_sub(before.ran)),
        false => after.waited.saturating_sub(before.waited),
    };
    waited.min(passed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_wait_for_a_processor_does_not_count() {
        let second = Duration::from_secs(1);
        let usage = |ran, waited, runnable| {
            let [ran, waited] = [ran, waited].map(Duration::from_millis);
            Some(Usage { ran, waited, runnable })
        };
        let before = usage(5000, 7000, true);
        for (what, after, ms) in [
            ("starved", usage(5000, 7000, true), 1000),
            ("starved, and ran a moment ago", usage(5010, 7900, true), 990),
            ("spins", usage(6000, 7000, true), 0),
            ("spins on a busy machine", usage(5600, 7400, true), 400),
            ("stopped", usage(5000, 7000, false), 0),
            ("waits for something else", usage(5010, 7020, false), 20),
            ("has waited for longer, until now", usage(5010, 17000, false), 1000),
            ("gone", None, 0),
        ] {
            assert_eq!(waited(second, before, after), Duration::from_millis(ms), "{what}");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_usage_of_a_process_can_be_seen() {
        let usage = || Usage::of(Some(std::process::id())).expect("it runs");
        let before = usage();
        assert!(usage().ran >= before.ran && usage().waited >= before.waited);
        assert!(Usage::of(Some(u32::MAX)).is_none() && Usage::of(None).is_none());
    }
}
