//! Timeouts for another process, such as a room that must send heartbeats.
//!
//! On a busy machine a healthy process may send nothing because it gets no CPU time. The time it
//! waits for a CPU therefore does not count. A process that runs or is stopped, and sends nothing,
//! times out. Only Linux tells the two apart; elsewhere all time counts.

use std::fs;
use std::pin::pin;
use std::time::Duration;

use crate::runtime::clock;

/// CPU usage is sampled this many times per limit.
const SAMPLES: u32 = 16;
/// A starved process times out after this many limits: its players have waited long enough.
const MAX_LIMITS: u32 = 10;

/// Waits for something that this process is to do; `None` on timeout.
pub(crate) async fn timeout<F: Future>(
    process: u32,
    limit: Duration,
    future: F,
) -> Option<F::Output> {
    let mut future = pin!(future);
    // Usually the future is ready by then, and nothing has to be sampled.
    let half = limit / 2;
    if let Ok(output) = clock::timeout(half, &mut future).await {
        return Some(output);
    }
    let (mut counted, mut pauses, mut before) = (half, clock::pauses(), Usage::of(process));
    for _ in 0..MAX_LIMITS * SAMPLES {
        let began = clock::now();
        if let Ok(output) = tokio::time::timeout(limit / SAMPLES, &mut future).await {
            return Some(output);
        }
        let (passed, usage) = (clock::now() - began, Usage::of(process));
        counted += passed - waited(passed, before, usage);
        before = usage;
        if pauses != clock::pauses() {
            // The lobby itself was paused, and perhaps the process with it: the limit starts anew.
            (counted, pauses) = (Duration::ZERO, clock::pauses());
        }
        if counted >= limit {
            break;
        }
    }
    None
}

/// CPU usage of a process's main thread.
#[derive(Debug, Clone, Copy)]
struct Usage {
    /// Time on a CPU.
    ran: Duration,
    /// Time in the run queue, without a wait that is not over yet.
    waited: Duration,
    /// On a CPU, or in the run queue.
    runnable: bool,
}

impl Usage {
    /// `None` where the system does not tell: only Linux does.
    fn of(process: u32) -> Option<Usage> {
        let read = |file| fs::read_to_string(format!("/proc/{process}/{file}")).ok();
        let times = read("schedstat")?;
        let mut times = times.split(' ').map(|nanos| nanos.parse().map(Duration::from_nanos).ok());
        let (ran, waited) = (times.next()??, times.next()??);
        // The state follows the name, which is in parentheses.
        let runnable = read("stat")?.rsplit_once(") ")?.1.starts_with('R');
        Some(Usage { ran, waited, runnable })
    }
}

/// How much of this time the process has waited for a CPU.
fn waited(passed: Duration, before: Option<Usage>, after: Option<Usage>) -> Duration {
    let (Some(before), Some(after)) = (before, after) else { return Duration::ZERO };
    let waited = match after.runnable {
        // The kernel adds a wait when it is over, and this one may not be.
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
        let usage = || Usage::of(std::process::id()).expect("it runs");
        let before = usage();
        assert!(usage().ran >= before.ran && usage().waited >= before.waited);
        assert!(Usage::of(u32::MAX).is_none());
    }
}
