//! Faults that a test asks a room for: abuse of its channel to the lobby.

use std::io::Write as _;
use std::thread;
use std::time::Duration;

use cluster::{Answer, ok};

cluster::messages! {
    pub enum ChannelAbuse {
        /// Sends heartbeats and does nothing else.
        Deaf,
        /// Sends an invalid frame.
        Garbage,
        /// Sends half a frame, then nothing.
        Half,
        /// Sends a frame that is too long.
        Oversized,
        /// Sends a frame that never ends.
        Endless,
        /// Sends valid frames as fast as it can.
        Flood,
        /// Describes itself, as to a lobby that does not know the room, with a seat for anyone.
        Describe,
    }
}

impl ChannelAbuse {
    pub fn commit(self) -> Answer {
        match self {
            ChannelAbuse::Deaf => {
                thread::spawn(|| {
                    loop {
                        say(b"{\"heartbeat\":{\"tick_delay_ms\":0}}\n");
                        thread::sleep(Duration::from_millis(200));
                    }
                });
                silence();
            }
            ChannelAbuse::Garbage => say(b"this is no frame\n"),
            ChannelAbuse::Half => {
                say(b"{\"left\":{\"seat\":1,\"rea");
                silence();
            }
            ChannelAbuse::Oversized => say(&[&[b'x'; 70_000][..], b"\n"].concat()),
            ChannelAbuse::Endless => drop(thread::spawn(|| {
                loop {
                    say(&[b'x'; 4096]);
                }
            })),
            ChannelAbuse::Describe => {
                say(b"{\"described\":{\"note\":{}}}\n");
                say(b"{\"described\":{\"seats\":[{\"seat\":18446744073709551615,\"player\":{\"id\":\"x\",\"name\":\"X\"},\"joined\":true,\"left_ms\":null}]}}\n");
                say(b"{\"described\":{\"end\":{\"listing\":null,\"locked\":false}}}\n");
            }
            ChannelAbuse::Flood => drop(thread::spawn(|| {
                (0..50_000).for_each(|_| say(b"{\"locked\":false}\n"));
            })),
        }
        ok()
    }
}

fn silence() -> ! {
    loop {
        thread::park();
    }
}

/// Writes to the channel directly, past all its limits. Ignores a closed one.
#[cfg(target_os = "linux")]
fn say(bytes: &[u8]) {
    let mut channel = channel();
    let mut rest = bytes;
    while !rest.is_empty() {
        match channel.write(rest) {
            Ok(written) => rest = &rest[written..],
            // The channel is nonblocking.
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                thread::sleep(Duration::from_millis(1));
            }
            Err(_) => return,
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn say(_: &[u8]) {
    unimplemented!("needs to find the channel among the descriptors");
}

/// The room's end of the socket pair, which the lobby has created.
#[cfg(target_os = "linux")]
fn channel() -> std::os::unix::net::UnixStream {
    use rustix::{
        net::{AddressFamily, getsockname, sockopt::socket_peercred},
        process::{PidfdFlags, PidfdGetfdFlags, getpid, getppid, pidfd_getfd, pidfd_open},
    };
    let own = pidfd_open(getpid(), PidfdFlags::empty()).expect("this process runs");
    let entries = std::fs::read_dir("/proc/self/fd").expect("proc").flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut copies =
        numbers.filter_map(|number| pidfd_getfd(&own, number, PidfdGetfdFlags::empty()).ok());
    let is_channel = |copy: &std::os::fd::OwnedFd| {
        getsockname(copy).is_ok_and(|address| address.address_family() == AddressFamily::UNIX)
            && socket_peercred(copy).is_ok_and(|peer| Some(peer.pid) == getppid())
    };
    copies.find(is_channel).expect("a room has a channel").into()
}
