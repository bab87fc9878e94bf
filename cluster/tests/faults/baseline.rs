//! The resources of a lobby without players, which must be the same before and after faults.

use std::fs;

use cluster::testing::{LobbyProcess, ProcessStat, eventually};
use rustix::process::Pid;

#[derive(Debug)]
pub struct Baseline {
    pub descriptors: usize,
    /// The lobby's private memory in KiB.
    pub memory: u64,
}

impl Baseline {
    /// Waits until only the warm rooms are left.
    pub async fn of(cluster: &LobbyProcess, warm: usize) -> Baseline {
        let quiet = || {
            let children = ProcessStat::children(cluster.pid());
            let ready = children.len() == warm && children.iter().all(|stat| stat.state != 'Z');
            ready.then_some(())
        };
        eventually("only warm rooms, and no zombie", quiet).await;
        Baseline { descriptors: cluster.descriptors(), memory: memory(cluster.pid()) }
    }

    /// Waits until no more descriptors are open than in this baseline.
    pub async fn is_reached(&self, cluster: &LobbyProcess) {
        let open = || (cluster.descriptors() <= self.descriptors).then_some(());
        eventually("no more descriptors than before", open).await;
    }
}

/// The live processes of these process groups.
pub fn members(groups: &[Pid]) -> Vec<Pid> {
    let is_member =
        |stat: &ProcessStat| groups.iter().any(|pid| pid.as_raw_nonzero().get() == stat.group);
    let members = ProcessStat::all().filter(|stat| is_member(stat) && stat.is_alive());
    members.map(|stat| stat.pid).collect()
}

/// The private memory of a process in KiB, without the pages of its program.
pub fn memory(process: Pid) -> u64 {
    let path = format!("/proc/{}/smaps_rollup", process.as_raw_nonzero());
    let text = fs::read_to_string(path).expect("a process that runs");
    let private = text.lines().filter(|line| line.starts_with("Private_Dirty"));
    let sizes = private.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    sizes.sum()
}
