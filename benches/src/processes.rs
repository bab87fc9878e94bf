//! What processes cost, as Linux counts it.

use std::time::Duration;
use std::{fs, io};

use anyhow::Context as _;

/// The private memory of a process, in KiB.
pub fn private_kib(pid: u32) -> anyhow::Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))
        .with_context(|| format!("no process {pid}"))?;
    let private = text.lines().filter(|line| line.starts_with("Private_"));
    Ok(private.filter_map(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok()).sum())
}

/// The processor time of the threads of these processes so far. `/proc/PID/stat` counts in
/// hundredths of a second, this in nanoseconds.
pub fn processor_time(pids: &[u32]) -> Duration {
    let threads = pids.iter().filter_map(|pid| fs::read_dir(format!("/proc/{pid}/task")).ok());
    let nanos = threads.flatten().filter_map(|thread: io::Result<fs::DirEntry>| {
        let text = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanos.sum())
}

/// A process and its children.
pub fn family(parent: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let children = entries.filter_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        // The name in parentheses may hold anything.
        let of: u32 = stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()?;
        (of == parent).then_some(pid)
    });
    [parent].into_iter().chain(children).collect()
}
