//! What a room's process does on demand below its hooks: to its own process, and to its lobby.

use std::{io::Write as _, process::Command, thread, time::Duration};

use app::cluster::{Answer, done, refuse, reply};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Misdeed {
    /// Ends as a failed assertion of a C library does.
    Abort,
    /// Takes memory until there is none, or too much is taken.
    Eat,
    /// Writes many lines to its log at once, and one that is very long.
    Babble,
    /// Starts a process that its own end does not reach, and that keeps its output open; answered with
    /// the id.
    ForkAway,
    /// Gives signs of life, and does nothing else any more.
    Deaf,
    /// Says to the lobby what is no frame.
    Garbage,
    /// Half a frame, and then nothing.
    Half,
    /// A frame that is too long.
    Oversized,
    /// One that never ends.
    Endless,
    /// Good frames, as many as it can.
    Flood,
}

/// More than any limit of the tests, and less than the machine has.
const TOO_MUCH: usize = 2 << 30;

impl Misdeed {
    pub fn commit(self) -> Answer {
        match self {
            Misdeed::Abort => std::process::abort(),
            Misdeed::Eat => {
                let mut eaten = Vec::new();
                while eaten.len() < TOO_MUCH >> 24 {
                    eaten.push(vec![1_u8; 1 << 24]);
                }
                return reply(eaten.len());
            }
            Misdeed::Babble => {
                thread::spawn(|| {
                    (0..20_000).for_each(|n| println!("line {n} of very many"));
                    println!("{}", "x".repeat(4 << 20));
                });
            }
            Misdeed::ForkAway => {
                let child = Command::new("setsid").args(["sleep", "60"]).spawn();
                return reply(child.map_err(|error| refuse("no_fork", error.to_string()))?.id());
            }
            Misdeed::Deaf => {
                thread::spawn(|| {
                    loop {
                        say(b"\"beat\"\n");
                        thread::sleep(Duration::from_millis(200));
                    }
                });
                silence();
            }
            Misdeed::Garbage => say(b"this is no frame\n"),
            Misdeed::Half => {
                say(b"{\"left\":{\"seat\":1,\"rea");
                silence();
            }
            Misdeed::Oversized => say(&[&[b'x'; 70_000][..], b"\n"].concat()),
            Misdeed::Endless => drop(thread::spawn(|| {
                loop {
                    say(&[b'x'; 4096]);
                }
            })),
            Misdeed::Flood => drop(thread::spawn(|| {
                (0..50_000).for_each(|_| say(b"{\"locked\":false}\n"));
            })),
        }
        done()
    }
}

fn silence() -> ! {
    loop {
        thread::park();
    }
}

/// Writes to the lobby past all that looks after it. Who is gone hears nothing.
#[cfg(target_os = "linux")]
fn say(bytes: &[u8]) {
    let mut channel = channel();
    let mut rest = bytes;
    while !rest.is_empty() {
        match channel.write(rest) {
            Ok(written) => rest = &rest[written..],
            // The room's own loop does not block there.
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

/// The room's end of the socket pair: the one whose other end the lobby has made.
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
