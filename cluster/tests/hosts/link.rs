//! The link between a lobby and a host: who may open one, and what happens to one that lies.

use std::fs;
use std::time::Duration;

use cluster::testing::{LobbyProcess, TestFolder, eventually, soon};
use hmac::{Hmac, KeyInit as _, Mac as _};
use rustix::process::Signal;
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use crate::common::hosts::{self, Cluster, HostProcess};
use crate::common::{builder, game};

/// A host of this test's own, which has the key.
struct FakeLink {
    listener: TcpListener,
    key: Vec<u8>,
}

/// The same, and a lobby that has started.
struct FakeHost {
    link: FakeLink,
    lobby: LobbyProcess,
}

impl FakeHost {
    async fn start() -> FakeHost {
        let (link, start) = FakeLink::open().await;
        // A lobby that starts waits for its hosts, and need not wait for one that hangs up.
        let hang_up = async { while link.listener.accept().await.is_ok() {} };
        let lobby = tokio::select! {
            lobby = start => lobby,
            () = hang_up => panic!("it accepts for ever"),
        };
        FakeHost { link, lobby }
    }

    /// Waits until this message was logged once more, with this error.
    async fn logged_again(&self, message: &str, count: usize, error: &str) {
        let logged = || {
            let lines = self.lobby.lines().into_iter();
            lines.filter(|line| line["message"] == message).nth(count)
        };
        let line = eventually(message, logged).await;
        assert!(line["error"].as_str().is_some_and(|text| text.contains(error)), "{error}: {line}");
    }
}

impl FakeLink {
    /// It, and a lobby that starts.
    async fn open() -> (FakeLink, impl Future<Output = LobbyProcess>) {
        let folder = TestFolder::new();
        let token_key: Vec<u8> = (0..32).collect();
        fs::write(folder.path().join("lobby.key"), &token_key).expect("written");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        let start = async move {
            let flags = ["--hosts", &address, "--pool", "0"];
            builder(game()).folder(&folder).flags(&flags).start().await
        };
        (FakeLink { listener, key: mac(&token_key, "cluster link") }, start)
    }

    /// Accepts a link, speaking these versions of the protocol; `None`: those of the lobby.
    async fn accept(&self, versions: Option<Value>) -> BufReader<TcpStream> {
        let (stream, _) = soon("a lobby", self.listener.accept()).await.expect("a connection");
        let mut stream = BufReader::new(stream);
        let hello = read(&mut stream).await;
        let versions = versions.unwrap_or(hello["versions"].clone());
        let nonce = hello["nonce"].as_str().expect("a nonce");
        let proof: String = mac(&self.key, &format!("host {nonce} mine"))
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        write(&mut stream, json!({ "versions": versions, "nonce": "mine", "proof": proof })).await;
        stream
    }

    /// The same, until the lobby has linked.
    async fn linked(&self) -> BufReader<TcpStream> {
        self.linked_to("fake", Value::Null).await
    }

    /// The same for a host that calls itself so, and tells this origin.
    async fn linked_to(&self, name: &str, origin: Value) -> BufReader<TcpStream> {
        let mut stream = self.accept(None).await;
        let request = read(&mut stream).await;
        let settings = &request["purpose"]["rooms"]["settings"];
        assert!(settings.is_object(), "{request}");
        let about =
            json!({ "name": name, "origin": origin, "max_rooms": 9, "next_room": 1, "build": "0" });
        write(&mut stream, json!({ "accepted": about })).await;
        stream
    }
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let mac = Hmac::<Sha256>::new_from_slice(key).expect("any length");
    mac.chain_update(text).finalize().into_bytes().to_vec()
}

async fn read(stream: &mut BufReader<TcpStream>) -> Value {
    let mut line = String::new();
    soon("a line", stream.read_line(&mut line)).await.expect("a line");
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"))
}

async fn write(stream: &mut BufReader<TcpStream>, message: Value) {
    stream.write_all(format!("{message}\n").as_bytes()).await.expect("the lobby is there");
}

#[tokio::test]
async fn a_host_that_lies_loses_its_link_and_the_lobby_goes_on() {
    let host = FakeHost::start().await;
    let seats = ended("fake-9", 0);
    let drain = json!({ "drain": { "remaining_ms": 1 } });
    for (n, (lie, error)) in [
        ("fake-9 {\"connected\":{\"seat\":1}}".to_owned(), "it speaks of room fake-9"),
        ("other-1 \"ready\"".to_owned(), "it speaks of room other-1"),
        (seats.to_string(), "it speaks of room fake-9"),
        (format!("{drain}\n{drain}"), "it drains twice"),
        ("GET / HTTP/1.1".to_owned(), "a bad frame"),
        ("{}".to_owned(), "it does not parse"),
        ("\u{0}".to_owned(), "it does not parse"),
        ("x".repeat(100_000), "no line came"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut stream = host.link.linked().await;
        stream.write_all(format!("{lie}\n").as_bytes()).await.expect("the lobby is there");
        host.logged_again("host lost", n, error).await;
    }
    host.lobby.player("Ann").await;
}

/// Names are parts of paths, and origins of the content security policy.
#[tokio::test]
async fn a_host_with_a_bad_name_or_origin_is_refused() {
    let host = FakeHost::start().await;
    for (name, origin, error) in [
        ("../x", Value::Null, "the name of a host must consist of"),
        ("", Value::Null, "the name of a host must consist of"),
        ("fake", json!("https://x; script-src-elem *"), "does not parse"),
        ("fake", json!("https://x\nset-cookie: y"), "does not parse"),
    ] {
        let mut stream = host.link.linked_to(name, origin).await;
        soon("its end", stream.read_to_string(&mut String::new())).await.expect("closed");
        let refused = || {
            let is = |line: &Value| line["error"].as_str().is_some_and(|text| text.contains(error));
            host.lobby.lines().iter().any(is).then_some(())
        };
        eventually("the refusal", refused).await;
    }
    assert_eq!(host.lobby.count("host linked"), 0);
    host.lobby.player("Ann").await;
}

#[tokio::test]
async fn a_host_that_says_nothing_is_lost() {
    let host = FakeHost::start().await;
    let _stream = host.link.linked().await;
    let lost = host.lobby.logged("host lost").await;
    assert_eq!(lost["error"], "it is silent: deadline has elapsed");
}

#[tokio::test]
async fn a_host_of_another_protocol_is_refused() {
    let host = FakeHost::start().await;
    host.link.accept(Some(json!([99, 1]))).await;
    let refused = || {
        let mut lines = host.lobby.lines().into_iter();
        let speaks = "it speaks version [99, 1] of the protocol";
        lines.find(|line| line["error"].as_str().is_some_and(|error| error.starts_with(speaks)))
    };
    eventually("the refusal", refused).await;
}

/// The end of a room that has taken so many seconds of processor time.
fn ended(room: &str, seconds: u64) -> Value {
    json!({ "ended": { "room": room, "exit": "Closed",
        "usage": { "cpu": { "secs": seconds, "nanos": 0 }, "memory": seconds, "peak_memory": 0 } } })
}

/// What a lobby notes in a room.
fn note(room: &str) -> Value {
    let room = json!({ "room": room, "kind": "game", "options": {}, "listing": null, "host": null,
        "players": 0, "capacity": 8, "locked": false });
    let status = json!({ "state": "Running", "created": 1, "adopted": false, "opened": true,
        "expected_exit": false, "locked_by_lobby": false, "locked_by_room": false, "players": {} });
    json!({ "room": room, "process": null, "status": status })
}

async fn describe(stream: &mut BufReader<TcpStream>, room: &str, parts: &[Value]) {
    for part in parts {
        let line = format!("{room} {}\n", json!({ "described": part }));
        stream.write_all(line.as_bytes()).await.expect("the lobby is there");
    }
}

async fn is_killed(stream: &mut BufReader<TcpStream>, room: &str) {
    while read(stream).await["kill"]["room"] != room {}
}

/// The lobby goes on with none of these rooms, and has the host kill them.
#[tokio::test]
async fn a_room_that_is_described_wrongly_is_not_adopted() {
    let host = FakeHost::start().await;
    let mut stream = host.link.linked().await;
    let changed = |name: &str, value: Value| {
        let mut note = note("fake-9");
        note["room"][name] = value;
        vec![json!({ "note": note })]
    };
    let player = json!({ "id": "x", "name": "X" });
    let seat = json!({ "seat": u64::MAX, "player": player, "joined": true, "left_ms": null });
    let end = json!({ "end": { "listing": null, "locked": true } });
    for (n, (parts, error)) in [
        (vec![], "without a note"),
        (vec![json!({ "note": 7 })], "invalid type"),
        (changed("room", json!("fake-8")), "with the note of room fake-8"),
        (changed("kind", json!("chess")), "no kind 'chess'"),
        (changed("options", json!(7)), "its options do not parse"),
        (
            vec![json!({ "note": note("fake-9") }), json!({ "seats": [seat] })],
            "with seats that no lobby has given",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        describe(&mut stream, "fake-9", &[parts, vec![end.clone()]].concat()).await;
        host.logged_again("room not adopted", n, error).await;
        is_killed(&mut stream, "fake-9").await;
        write(&mut stream, ended("fake-9", 0)).await;
    }
    // And one that is right.
    describe(&mut stream, "fake-9", &[json!({ "note": note("fake-9") }), end]).await;
    assert_eq!(host.lobby.logged("room adopted").await["room"], "fake-9");
}

/// Or its players would play on in a room that nobody owns.
#[tokio::test]
async fn a_room_that_a_starting_lobby_does_not_adopt_is_killed() {
    let (link, start) = FakeLink::open().await;
    let describe = async {
        let mut stream = link.linked().await;
        describe(&mut stream, "fake-9", &[json!({ "end": { "listing": null, "locked": false } })])
            .await;
        is_killed(&mut stream, "fake-9").await;
        stream
    };
    let (lobby, _stream) = tokio::join!(start, describe);
    lobby.player("Ann").await;
}

#[tokio::test]
async fn more_usage_than_a_lobby_can_count_harms_nobody() {
    let host = FakeHost::start().await;
    let mut stream = host.link.linked().await;
    for room in ["fake-7", "fake-8", "fake-9"] {
        let end = json!({ "end": { "listing": null, "locked": true } });
        describe(&mut stream, room, &[json!({ "note": note(room) }), end]).await;
        write(&mut stream, ended(room, u64::MAX)).await;
    }
    let ended = || (host.lobby.count("room ended") == 3).then_some(());
    eventually("their ends", ended).await;
    host.lobby.player("Ann").await;
}

#[tokio::test]
async fn a_host_with_another_key_is_refused_and_that_is_logged_once() {
    let (folder, other) = (TestFolder::new(), TestFolder::new());
    let host = HostProcess::start(&other, "h1", &[]).await;
    let lobby = hosts::lobby(&folder, std::slice::from_ref(&host)).start().await;
    let line = lobby.logged("cannot reach a host; trying again").await;
    assert_eq!(line["error"], "it has another link key");
    let refused = || {
        let lines = host.lines();
        (lines.iter().filter(|line| line["message"] == "link refused").count() >= 3).then_some(())
    };
    eventually("three attempts", refused).await;
    assert_eq!(lobby.count("cannot reach a host; trying again"), 1);
}

#[tokio::test]
async fn strangers_at_the_link_get_nothing_and_hold_up_nobody() {
    let cluster = Cluster::start(&["h1"], &[]).await;
    let link = &cluster.hosts[0].link;
    let mut strangers = Vec::new();
    for said in ["", "GET / HTTP/1.1\r\n\r\n", "{\"versions\":[1,10],\"nonce\":\"n\"}\n"] {
        let mut stream = TcpStream::connect(link).await.expect("anyone may connect");
        stream.write_all(said.as_bytes()).await.expect("it is there");
        strangers.push(stream);
    }
    let mut guess = BufReader::new(TcpStream::connect(link).await.expect("anyone may connect"));
    let mut hello = json!({ "versions": [0, 0], "nonce": "n", "proof": null });
    write(&mut guess, hello.clone()).await;
    hello["versions"] = read(&mut guess).await["versions"].take();
    let mut guess = BufReader::new(TcpStream::connect(link).await.expect("anyone may connect"));
    write(&mut guess, hello).await;
    let relay = json!({ "relay": { "room": "h1-1" } });
    write(&mut guess, json!({ "proof": "00", "purpose": relay })).await;
    let refused = || {
        let lines = cluster.hosts[0].lines();
        let is = |line: &Value| line["error"] == "the lobby has another link key";
        lines.iter().any(is).then_some(())
    };
    eventually("the refusal", refused).await;
    strangers.push(guess.into_inner());
    let mut client = cluster.lobby.player("Ann").await.enter("create", json!({})).await;
    client.event("joined").await;
    for mut stream in strangers {
        let mut got = Vec::new();
        let _ = soon("the end", stream.read_to_end(&mut got)).await;
        let got = String::from_utf8_lossy(&got).into_owned();
        assert!(!got.contains("accepted") && !got.contains("relaying"), "{got}");
    }
}

#[tokio::test]
async fn a_host_that_is_found_at_two_addresses_is_linked_once_and_its_rooms_run_on() {
    let folder = TestFolder::new();
    let host = HostProcess::start(&folder, "h1", &["--link", "0.0.0.0:0"]).await;
    let port = host.link.rsplit(':').next().expect("a port");
    let both = format!("127.0.0.1:{port},127.0.0.2:{port}");
    let lobby = builder(game()).folder(&folder).flags(&["--hosts", &both]).start().await;
    lobby.logged("host linked").await;
    let mut client = lobby.player("Ann").await.enter("create", json!({})).await;
    client.event("joined").await;
    let refused = || {
        let lines = lobby.lines();
        let is = |line: &Value| line["error"] == "it refuses: it serves this lobby already";
        lines.iter().any(is).then_some(())
    };
    eventually("the other address is refused", refused).await;
    // Also while it stands still for less than a lease.
    host.signal(Signal::STOP);
    sleep(Duration::from_secs(2)).await;
    host.signal(Signal::CONT);
    assert_eq!(client.ask("echo", json!({ "n": 1 })).await, Ok(json!(1)));
    let count = || lobby.count("host linked");
    assert_eq!((count(), lobby.count("host lost")), (1, 0));
}

#[tokio::test]
async fn two_hosts_of_one_name_are_linked_one_at_a_time() {
    let folder = TestFolder::new();
    let mut hosts = Vec::new();
    for _ in 0..2 {
        hosts.push(HostProcess::start(&folder, "h1", &[]).await);
    }
    let lobby = hosts::lobby(&folder, &hosts).start().await;
    let line = lobby.logged("cannot reach a host; trying again").await;
    assert_eq!(line["error"], "another host is named h1");
    let mut client = lobby.player("Ann").await.enter("create", json!({})).await;
    client.event("joined").await;
    assert_eq!(lobby.count("host linked"), 1);
}

#[tokio::test]
async fn a_host_is_alive_without_a_lobby_and_ready_with_one_or_while_it_waits_for_the_next() {
    let folder = TestFolder::new();
    let host = HostProcess::start(&folder, "h1", &["--orphan-grace", "5s"]).await;
    let status = async |path: &str| {
        let address = host.url.trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("it reads");
        let mut answer = String::new();
        soon("an answer", stream.read_to_string(&mut answer)).await.expect("text");
        answer.split(' ').nth(1).expect("a status").to_owned()
    };
    assert_eq!([status("/healthz").await, status("/readyz").await], ["200", "503"]);
    let lobby = hosts::lobby(&folder, std::slice::from_ref(&host)).start().await;
    lobby.logged("host linked").await;
    host.logged("lobby linked").await;
    assert_eq!([status("/healthz").await, status("/readyz").await], ["200", "200"]);
    lobby.signal(Signal::KILL);
    host.logged("lobby gone; its rooms go on").await;
    assert_eq!(status("/readyz").await, "200");
    soon("the end of its grace", async { while status("/readyz").await != "503" {} }).await;
}
