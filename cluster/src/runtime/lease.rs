//! The lease on which the rooms of a host live: a time in a file in memory, that of the machine's
//! clock at which they must have ended. The host writes it, a thread of each room reads it. So a
//! room ends in time even while a hook blocks it, or while its host stands still.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::runtime::clock;

/// How often a room looks at its lease.
pub(crate) const LEASE_CHECK: Duration = clock::READ_INTERVAL;

pub(crate) struct Lease(File);

impl Lease {
    /// A new one, which is over.
    pub fn new() -> io::Result<Lease> {
        let lease = Lease(memory_file()?);
        lease.extend(0).map(|()| lease)
    }

    /// That of the host, in its rooms.
    pub fn open(path: &Path) -> io::Result<Lease> {
        File::open(path).map(Lease)
    }

    /// Where rooms find it.
    pub fn path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd()).into()
    }

    /// It lasts until then.
    pub fn extend(&self, until_ms: u64) -> io::Result<()> {
        self.0.write_all_at(&until_ms.to_ne_bytes(), 0)
    }

    /// Also if it cannot be read. Looks twice: the host may be just writing.
    pub fn is_over(&self) -> bool {
        let mut until = [0; 8];
        (0..2).all(|_| {
            let read = self.0.read_exact_at(&mut until, 0);
            read.is_err() || u64::from_ne_bytes(until) < clock::machine_ms()
        })
    }
}

/// A file that is not on a disk.
pub(crate) fn memory_file() -> io::Result<File> {
    #[cfg(target_os = "linux")]
    return Ok(rustix::fs::memfd_create("state", rustix::fs::MemfdFlags::CLOEXEC)?.into());
    #[cfg(not(target_os = "linux"))]
    Err(io::ErrorKind::Unsupported.into())
}
