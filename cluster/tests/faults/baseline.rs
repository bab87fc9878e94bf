//! The resources of a lobby without players, which must be the same before and after faults.

use std::fs;

use cluster::testing::{TestLobby, eventually};
use rustix::process::Pid;

#[derive(Debug)]
pub struct Baseline {
    pub descriptors: usize,
    /// The lobby's private memory in KiB.
    pub memory: u64,
}

impl Baseline {
    /// Waits until only the warm rooms are left.
    pub async fn of(cluster: &TestLobby, warm: usize) -> Baseline {
        let quiet = || {
            let children = children(cluster.pid());
            let ready = children.len() == warm && children.iter().all(|(_, state)| *state != 'Z');
            ready.then_some(())
        };
        eventually("only warm rooms, and no zombie", quiet).await;
        Baseline { descriptors: cluster.descriptors(), memory: memory(cluster.pid()) }
    }

    /// Waits until no more descriptors are open than in this baseline.
    pub async fn is_reached(&self, cluster: &TestLobby) {
        let open = || (cluster.descriptors() <= self.descriptors).then_some(());
        eventually("no more descriptors than before", open).await;
    }
}

/// The child processes of this one, and their states.
pub fn children(parent: Pid) -> Vec<(Pid, char)> {
    let all = stats().into_iter();
    all.filter(|stat| stat.parent == parent.as_raw_nonzero().get())
        .map(|stat| (stat.pid, stat.state))
        .collect()
}

/// The live processes of these process groups.
pub fn members(groups: &[Pid]) -> Vec<Pid> {
    let all = stats().into_iter();
    let is_member = |group: i32| groups.iter().any(|pid| pid.as_raw_nonzero().get() == group);
    all.filter(|stat| is_member(stat.group) && !['Z', 'X'].contains(&stat.state))
        .map(|stat| stat.pid)
        .collect()
}

struct Stat {
    pid: Pid,
    state: char,
    parent: i32,
    group: i32,
}

fn stats() -> Vec<Stat> {
    let entries = fs::read_dir("/proc").expect("proc").flatten();
    let pids = entries.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?));
    let stat = |pid: Pid| {
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
        // After the name in parentheses.
        let mut fields = stat.rsplit_once(") ")?.1.split(' ');
        let state = fields.next()?.chars().next()?;
        Some(Stat {
            pid,
            state,
            parent: fields.next()?.parse().ok()?,
            group: fields.next()?.parse().ok()?,
        })
    };
    pids.filter_map(stat).collect()
}

/// The private memory of a process in KiB, without the pages of its program.
pub fn memory(process: Pid) -> u64 {
    let path = format!("/proc/{}/smaps_rollup", process.as_raw_nonzero());
    let text = fs::read_to_string(path).expect("a process that runs");
    let private = text.lines().filter(|line| line.starts_with("Private_Dirty"));
    let sizes = private.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    sizes.sum()
}
