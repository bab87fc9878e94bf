//! The limit on open files, and how many connections it leaves room for.

use anyhow::ensure;
use rustix::process::{Resource, getrlimit, setrlimit};
use tracing::info;

use crate::config::Settings;

/// Open files of the lobby itself, [`MIN_CONNECTIONS`] and those at `--admin` included.
const OWN_FILES: u64 = 80;
/// Open files for each room: its socket, two pipes and a handle of the process. In a reload three
/// copies.
const ROOM_FILES: u64 = 7;
/// Connections that are always possible. A relayed one takes two open files.
const MIN_CONNECTIONS: u32 = 16;

impl Settings {
    /// Raises the limit on open files as far as allowed. Returns how many connections it leaves room
    /// for beside the rooms; further ones wait in the backlog. Fails if it is too low for the rooms.
    pub(crate) fn raise_file_limit(&self) -> anyhow::Result<u32> {
        let mut limit = getrlimit(Resource::Nofile);
        limit.current = limit.maximum;
        let _ = setrlimit(Resource::Nofile, limit);
        let rooms = self.max_rooms.saturating_add(self.pool) as u64;
        let needed = ROOM_FILES.saturating_mul(rooms).saturating_add(OWN_FILES);
        let have = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        ensure!(
            have >= needed,
            "{have} open files are too few for {rooms} rooms: raise `ulimit -n` to {needed} or more, \
             or lower --max-rooms"
        );
        let more = u32::try_from((have - needed) / 2).unwrap_or(u32::MAX);
        let connections = more.saturating_add(MIN_CONNECTIONS);
        let wanted = self.limits.max_connections.get();
        if connections < wanted && !self.dev {
            info!(connections, "{have} open files allow fewer connections than --max-connections");
        }
        Ok(connections.min(wanted))
    }
}
