//! How much memory a room's process may take. Linux alone knows such a limit.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{debug, warn};

use crate::config::parse::Size;

/// Bounds the memory of this process, and of each that it starts: an allocation beyond it fails, and ends the
/// process. If the whole machine has no memory left, a room goes before the lobby.
pub(crate) fn confine(memory: Size) {
    if cfg!(target_os = "linux") {
        let old = getrlimit(Resource::Data);
        let least = |limit: Option<u64>| Some(limit.map_or(memory.0, |old| old.min(memory.0)));
        let new = Rlimit { current: least(old.current), maximum: least(old.maximum) };
        if let Err(error) = setrlimit(Resource::Data, new) {
            warn!(%error, "this room's memory has no limit");
        }
        if let Err(error) = std::fs::write("/proc/self/oom_score_adj", "500") {
            debug!(%error, "if memory runs short, this room is not the first to go");
        }
    }
}
