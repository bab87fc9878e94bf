//! Resources of processes, and statistics of measurements.

use std::fs;
use std::time::Duration;

use anyhow::Context as _;
use cluster::testing::{Pid, ProcessStat};

/// The unit of times in `/proc`: a hundredth of a second on all supported platforms.
const TICK: Duration = Duration::from_millis(10);

/// The private memory of a process.
pub fn private_kib(pid: u64) -> anyhow::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let private = text.lines().filter(|line| line.starts_with("Private_"));
    let kib = private.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    Ok(kib.sum())
}

/// The processor time of a process so far: all threads, user and system.
pub fn processor_time(pid: Pid) -> anyhow::Result<Duration> {
    ProcessStat::of(pid).map(|stat| stat.processor_time).context("no such process")
}

/// The processor time of the whole machine so far.
pub fn machine_time() -> anyhow::Result<Duration> {
    let text = fs::read_to_string("/proc/stat")?;
    // cpu user nice system idle iowait irq softirq steal …
    let fields = text.lines().next().context("/proc/stat is empty")?.split_whitespace().skip(1);
    let ticks = fields.take(8).map(str::parse::<u64>).collect::<Result<Vec<_>, _>>()?;
    let idle = ticks.iter().skip(3).take(2).sum::<u64>();
    Ok(TICK.mul_f64((ticks.iter().sum::<u64>() - idle) as f64))
}

pub fn show(what: &str, times: &mut [Duration]) {
    println!("{what:45} {}", percentiles(times));
}

/// Also sorts the times.
pub fn percentiles(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1e3;
    format!("{:5.2} ms p50 {:7.2} ms p99", at(50), at(99))
}

/// The ratio of the medians of sorted times.
pub fn ratio(a: &[Duration], b: &[Duration]) -> f64 {
    a[a.len() / 2].as_secs_f64() / b[b.len() / 2].as_secs_f64()
}

/// The lowest, the median and the highest.
pub fn spread(numbers: impl Iterator<Item = f64>) -> [f64; 3] {
    let mut sorted: Vec<f64> = numbers.collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let (low, high) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
    [sorted[0], (low + high) / 2.0, sorted[sorted.len() - 1]]
}
