//! Servers of NATS, lobbies that share a lease there, and a proxy between them that can be cut.

use std::net::ToSocketAddrs as _;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;
use std::{env, fs, thread};

use cluster::testing::{Client, TestFolder, TestPlayer, eventually, free_port};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::common::hosts::{HostProcess, Log, read_log};
use crate::common::{command, game};

/// Where players would find the host, if the tests knew its port before it starts.
const PUBLIC: [&str; 2] = ["--public-url", "http://127.0.0.1:1"];

/// Servers that keep the same data.
pub struct Nats {
    servers: Vec<Option<Child>>,
    ports: Vec<(u16, u16)>,
    folder: Arc<TestFolder>,
}

impl Nats {
    pub async fn start(servers: usize) -> Nats {
        let ports: Vec<_> = (0..servers).map(|_| (free_port(), free_port())).collect();
        let folder = TestFolder::new();
        let mut nats = Nats { servers: (0..servers).map(|_| None).collect(), ports, folder };
        nats.start_all().await;
        nats
    }

    /// Starts those that do not run.
    pub async fn start_all(&mut self) {
        let routes: Vec<_> =
            self.ports.iter().map(|(_, port)| format!("nats://127.0.0.1:{port}")).collect();
        for (n, server) in self.servers.iter_mut().enumerate().filter(|(_, it)| it.is_none()) {
            let (port, cluster) = self.ports[n];
            let folder = self.folder.path().join(format!("n{n}"));
            fs::create_dir_all(&folder).expect("ours");
            let cluster = match routes.len() {
                1 => String::new(),
                _ => format!(
                    "cluster {{ name: test, listen: \"127.0.0.1:{cluster}\", no_advertise: true, \
                     routes: [{}] }}",
                    routes.join(", ")
                ),
            };
            let config = format!(
                "server_name: n{n}\nlisten: \"127.0.0.1:{port}\"\n\
                 jetstream {{ store_dir: \"{}\" }}\n{cluster}\n",
                folder.display()
            );
            let file = folder.join("nats.conf");
            fs::write(&file, config).expect("ours");
            let mut nats = command(env::var_os("NATS_SERVER").unwrap_or("nats-server".into()));
            let nats = nats.arg("-c").arg(file).stdout(Stdio::null()).stderr(Stdio::null());
            *server = Some(nats.spawn().expect("nats-server is installed"));
        }
        for (port, _) in &self.ports {
            let address = format!("127.0.0.1:{port}").to_socket_addrs().unwrap().next().unwrap();
            let connect = || std::net::TcpStream::connect(address).ok();
            eventually("a server of NATS", connect).await;
        }
    }

    pub fn kill(&mut self, nth: usize) {
        if let Some(mut server) = self.servers[nth].take() {
            server.kill().expect("our child");
            server.wait().expect("our child");
        }
    }

    pub fn kill_all(&mut self) {
        (0..self.servers.len()).for_each(|nth| self.kill(nth));
    }

    /// Deletes what servers that do not run have kept.
    pub fn lose_data(&self) {
        for nth in 0..self.servers.len() {
            fs::remove_dir_all(self.folder.path().join(format!("n{nth}"))).expect("ours");
        }
    }

    pub fn urls(&self) -> String {
        let urls: Vec<_> =
            self.ports.iter().map(|(port, _)| format!("nats://127.0.0.1:{port}")).collect();
        urls.join(",")
    }

    pub fn port(&self, nth: usize) -> u16 {
        self.ports[nth].0
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.kill_all();
    }
}

/// Passes on connections to a server, until it is cut: then nothing comes through.
pub struct Proxy {
    pub url: String,
    cut: watch::Sender<bool>,
}

impl Proxy {
    pub async fn start(port: u16) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("nats://{}", listener.local_addr().expect("it has one"));
        let (cut, is_cut) = watch::channel(false);
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut is_cut = is_cut.clone();
                tokio::spawn(async move {
                    drop(is_cut.wait_for(|cut| !cut).await);
                    let mut far = TcpStream::connect(("127.0.0.1", port)).await?;
                    let is_cut = async { drop(is_cut.wait_for(|cut| *cut).await) };
                    tokio::select! {
                        copied = tokio::io::copy_bidirectional(&mut near, &mut far) => drop(copied),
                        // Both ends stay open, and hear nothing.
                        () = is_cut => std::future::pending().await,
                    }
                    std::io::Result::Ok(())
                });
            }
        });
        Proxy { url, cut }
    }

    pub fn cut(&self) {
        self.cut.send_replace(true);
    }
}

/// A lobby that is active or stands by. Killed on drop.
pub struct Lobby {
    process: Child,
    log: Log,
    /// Where it listens.
    pub url: String,
}

impl Lobby {
    /// Starts a lobby in a folder of its own, and waits until it stands by.
    pub async fn start(folder: &Arc<TestFolder>, name: &str, lease: &str, hosts: &str) -> Lobby {
        Lobby::start_with(folder, name, lease, hosts, "LOBBY").await
    }

    /// The same with a variable in its environment.
    pub async fn start_with(
        folder: &Arc<TestFolder>,
        name: &str,
        lease: &str,
        hosts: &str,
        variable: &str,
    ) -> Lobby {
        let key = folder.path().join(format!("{name}.key"));
        let mut process = command(game())
            .args(["--lease", lease, "--hosts", hosts, "--max-rooms-per-player", "99"])
            .env("CLUSTER_PORT", "0")
            .env("CLUSTER_KEY_FILE", key)
            .env("CLUSTER_LOG_FORMAT", "json")
            .env("CLUSTER_DEV", "false")
            .env(variable, "yes")
            .env("RUST_LOG", "info,cluster=debug")
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let log = read_log(process.stdout.take().expect("piped"));
        let mut lobby = Lobby { process, log, url: String::new() };
        let standing_by = lobby.logged("standing by").await;
        lobby.url = format!("http://{}", standing_by["address"].as_str().expect("an address"));
        lobby
    }

    pub async fn logged(&self, message: &str) -> Value {
        let found = || self.lines().into_iter().find(|line| line["message"] == message);
        eventually(message, found).await
    }

    pub async fn is_active(&self) {
        self.logged("lobby ready").await;
    }

    pub fn count(&self, message: &str) -> usize {
        self.lines().iter().filter(|line| line["message"] == message).count()
    }

    pub fn lines(&self) -> Vec<Value> {
        let log = self.log.lock().expect("not poisoned");
        log.iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).expect("it runs");
    }

    pub async fn ended(&mut self) -> ExitStatus {
        eventually("its end", || self.process.try_wait().expect("our child")).await
    }

    pub fn runs(&mut self) -> bool {
        self.process.try_wait().expect("our child").is_none()
    }

    pub async fn player(&self, name: &str) -> TestPlayer {
        TestPlayer::register(&self.url, name).await
    }
}

impl Drop for Lobby {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if thread::panicking() {
            eprintln!("--- the log of {} ---\n{}", self.url, self.log.lock().unwrap().join("\n"));
        }
    }
}

/// A host for lobbies that share a lease. They get the key of the first one, `a`.
pub async fn host(folder: &Arc<TestFolder>, flags: &[&str]) -> HostProcess {
    let host = HostProcess::start(folder, "h1", &[&PUBLIC[..], flags].concat()).await;
    let first = folder.path().join("a.key");
    if !first.exists() {
        fs::rename(folder.path().join("lobby.key"), first).expect("the host's start has made it");
    }
    host
}

/// A player who is in a room of their own, at the address of its host.
pub async fn in_a_room(lobby: &Lobby, host: &HostProcess, name: &str) -> (TestPlayer, Client) {
    let mut player = lobby.player(name).await;
    let mut reroute = player.seat("create", json!({ "options": { "quiet": true } })).await;
    reroute["url"] = json!(host.url);
    let mut client = player.take(&reroute).await;
    client.event("joined").await;
    (player, client)
}

/// Asserts that the player of this connection has noticed nothing.
pub async fn assert_undisturbed(client: &mut Client) {
    assert_eq!(client.ask("echo", json!({ "n": 1 })).await, Ok(json!(1)));
    let events = client.unheard();
    assert!(!events.contains(&"reroute") && !events.contains(&"player_disconnected"), "{events:?}");
}

/// Waits so long.
pub async fn wait(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}
