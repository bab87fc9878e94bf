//! The memory limit of a room's process. Linux only.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{debug, warn};

use crate::config::parse::Size;

/// Limits the memory of this process, and of each one that it starts. A larger allocation fails and
/// aborts the process. If the machine runs out of memory, the kernel kills rooms before the lobby.
pub(crate) fn limit(memory: Size) {
    if cfg!(target_os = "linux") {
        let old = getrlimit(Resource::Data);
        let lower = |limit: Option<u64>| Some(limit.map_or(memory.0, |old| old.min(memory.0)));
        let new = Rlimit { current: lower(old.current), maximum: lower(old.maximum) };
        if let Err(error) = setrlimit(Resource::Data, new) {
            warn!(%error, "cannot limit this room's memory");
        }
        if let Err(error) = std::fs::write("/proc/self/oom_score_adj", "500") {
            debug!(%error, "cannot prefer this room to the lobby when memory runs out");
        }
    }
}
