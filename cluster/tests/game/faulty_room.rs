//! A faulty room's process. It implements the channel itself, and answers every connection in the
//! same faulty way.

use std::io::{BufRead as _, BufReader, IoSliceMut, Write as _};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, ExitCode};
use std::time::Duration;
use std::{io, thread};

use rustix::cmsg_space;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recv, recvmsg};
use rustix::process::{Pid, getpgid};
use serde_json::{Value, json};

/// Whether this room is faulty: all are, or the one in `FAULTY_ROOM`.
pub fn is_faulty() -> bool {
    let Ok(number) = std::env::var("FAULTY_ROOM") else {
        return true;
    };
    // Peeks at the first frame: a room that is not faulty reads it again.
    let mut frame = [0; 256];
    let (count, _) = recv(io::stdin(), &mut frame[..], RecvFlags::PEEK).expect("a socket");
    String::from_utf8_lossy(&frame[..count]).contains(&format!("\"room\":\"{number}\""))
}

/// Sends to the lobby what a correct room sends, and answers clients as `how` says.
pub fn run(how: &str) -> ExitCode {
    if how == "stillborn" {
        return ExitCode::FAILURE;
    }
    let lobby = io::stdin().as_fd().try_clone_to_owned().map(UnixStream::from).expect("a socket");
    let say = |frame: Value| {
        // One write per frame, as heartbeats come from another thread.
        let _ = (&lobby).write_all(format!("{frame}\n").as_bytes());
    };
    say(json!("warm"));
    let beats = lobby.try_clone().expect("a descriptor");
    // After half a frame there are no heartbeats either.
    let silent = how == "channel: half";
    thread::spawn(move || {
        while !silent && (&beats).write_all(b"{\"heartbeat\":{\"tick_delay_ms\":0}}\n").is_ok() {
            thread::sleep(Duration::from_millis(200));
        }
    });
    let mut connections = Vec::new();
    let mut title = Value::Null;
    let mut text = String::new();
    loop {
        let socket = receive(&lobby, &mut text);
        while let Some((line, rest)) = text.split_once('\n') {
            let frame: Value = serde_json::from_str(line).expect("the lobby speaks JSON");
            text = rest.to_owned();
            if let Some(open) = frame.get("open") {
                title = open["options"]["title"].clone();
                say(json!("ready"));
            } else if frame.get("reserve").is_some() && misbehave(&lobby, how) {
                thread::park();
            } else if let Some(reserve) = frame.get("reserve")
                && title != "mute"
            {
                if title == "thief" {
                    steal(&say);
                }
                say(json!({ "reserved": { "join": reserve["join"] } }));
            }
        }
        if let Some(socket) = socket {
            let browser = UnixStream::from(socket);
            answer(&browser, how);
            connections.push(browser);
        }
    }
}

/// Sends notices about joins and seats of other rooms.
fn steal(say: &impl Fn(Value)) {
    for n in 1..100 {
        say(json!({ "reserved": { "join": n } }));
        say(json!({ "reserve_refused": { "join": n, "refusal": { "code": "x", "message": "" } } }));
        say(json!({ "connected": { "seat": n } }));
        say(json!({ "disconnected": { "seat": n, "grace_ms": 60_000 } }));
        say(json!({ "transfer": { "seat": n, "room": "1" } }));
        say(json!({ "left": { "seat": n, "reason": { "code": "left" } } }));
    }
}

/// Abuses the channel if `how` says so. Returns whether it did.
fn misbehave(mut lobby: &UnixStream, how: &str) -> bool {
    let Some(how) = how.strip_prefix("channel: ") else {
        return false;
    };
    let text = match how {
        "garbage" => b"\0\xff nonsense\n".to_vec(),
        "unknown" => b"{\"dance\":{}}\n".to_vec(),
        "half" => b"{\"reserved\":{\"jo".to_vec(),
        "oversized" => format!("{{\"message\":\"{}\"}}\n", "x".repeat(70_000)).into_bytes(),
        "endless" => "x".repeat(1 << 20).into_bytes(),
        "end" => {
            lobby.shutdown(Shutdown::Both).expect("a good socket");
            return true;
        }
        "flood" => loop {
            let frames = "{\"message\":\"flood\"}\n{\"locked\":true}\n{\"locked\":false}\n";
            lobby.write_all(frames.as_bytes()).expect("a good socket");
        },
        "daemon" => {
            // It inherits the socket.
            let child = Command::new("setsid").args(["sleep", "60"]).spawn().expect("a process");
            let id = Pid::from_child(&child);
            while getpgid(Some(id)) != Ok(id) {
                thread::yield_now();
            }
            println!("daemon {}", child.id());
            std::process::exit(0);
        }
        _ => panic!("unknown fault {how:?}"),
    };
    // The lobby may close the channel first.
    let _ = lobby.write_all(&text);
    true
}

fn receive(lobby: &UnixStream, text: &mut String) -> Option<OwnedFd> {
    let mut chunk = [0; 4096];
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut bytes = [IoSliceMut::new(&mut chunk)];
    let received = recvmsg(lobby, &mut bytes, &mut control, RecvFlags::empty());
    let count = received.expect("a good socket").bytes;
    if count == 0 {
        std::process::exit(0);
    }
    *text += std::str::from_utf8(&chunk[..count]).expect("the lobby speaks UTF-8");
    let mut sockets = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut sockets) => sockets.next(),
        _ => None,
    });
    sockets.next()
}

fn answer(mut browser: &UnixStream, how: &str) {
    browser.set_nonblocking(false).expect("a good socket");
    // Frames before the setup are garbage.
    let mut request = BufReader::new(browser).lines().map_while(Result::ok);
    request.find(|line| line.is_empty());
    let answer = match how {
        "silence" => String::new(),
        "garbage" => "\0\x01\x02 hello\r\n\r\n".to_owned(),
        "endless" => format!("HTTP/1.1 200 OK\r\nA: {}", "a".repeat(100 * 1024)),
        "large" => format!("HTTP/1.1 400 No\r\nContent-Length: 60000\r\n\r\n{:60000}", ""),
        "half" => "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nab".to_owned(),
        "deaf" => {
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
                .to_owned()
        }
        "end" => return browser.shutdown(Shutdown::Both).expect("a good socket"),
        _ => panic!("unknown fault {how:?}"),
    };
    // Ignores a client that is gone or reads no more.
    let _ = browser.write_all(answer.as_bytes());
}
