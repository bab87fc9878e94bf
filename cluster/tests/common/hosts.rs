//! Hosts and their lobby, on loopback or in network namespaces.

use std::fs;
use std::fs::Permissions;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, ChildStdout, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use cluster::testing::{LobbyBuilder, LobbyProcess, TestFolder, eventually, is_alive};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::time::sleep;

use crate::common::net_ns::NetNs;
use crate::common::{builder, command, game};

pub type Log = Arc<Mutex<Vec<String>>>;

/// Reads the lines that a process prints.
pub fn read_log(stdout: ChildStdout) -> Log {
    let log = Log::default();
    let written = log.clone();
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            written.lock().expect("not poisoned").push(line);
        }
    });
    log
}

/// The process of a host, on free ports. Killed on drop.
pub struct HostProcess {
    pub process: Child,
    pub log: Log,
    /// Where it listens for its lobby, and for players.
    pub link: String,
    pub url: String,
    pub space: Option<NetNs>,
}

impl HostProcess {
    pub async fn start(folder: &Arc<TestFolder>, name: &str, flags: &[&str]) -> HostProcess {
        HostProcess::start_in(folder, name, flags, None).await
    }

    /// The same in a network namespace.
    pub async fn start_in(
        folder: &Arc<TestFolder>,
        name: &str,
        flags: &[&str],
        space: Option<NetNs>,
    ) -> HostProcess {
        let key = folder.path().join("link.key");
        if !key.exists() {
            let lobby_key = folder.path().join("lobby.key");
            let printed = command(game()).arg("link-key").arg("--key-file").arg(lobby_key).output();
            fs::write(&key, printed.expect("it runs").stdout).expect("written");
            fs::set_permissions(&key, Permissions::from_mode(0o600)).expect("ours");
        }
        let address = space.as_ref().map_or("127.0.0.1", |space| &space.address).to_owned();
        let mut host = match &space {
            Some(_) => command("ip"),
            None => command(game()),
        };
        if let Some(space) = &space {
            host.args(["netns", "exec", &space.name]).arg(game());
        }
        let mut process = host
            .args(["host", "--name", name])
            .args(flags)
            // Flags override these.
            .env("CLUSTER_PORT", "0")
            .env("CLUSTER_LINK", format!("{address}:0"))
            .env("CLUSTER_LINK_KEY_FILE", key)
            .env("CLUSTER_LOG_FORMAT", "json")
            .env("RUST_LOG", "info,cluster=debug")
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let log = read_log(process.stdout.take().expect("piped"));
        let mut host = HostProcess { process, log, link: String::new(), url: String::new(), space };
        let ready = host.logged("host ready").await;
        let text = |name: &str| ready[name].as_str().expect("an address").to_owned();
        (host.link, host.url) = (text("link"), format!("http://{}", text("address")));
        host
    }

    pub async fn logged(&self, message: &str) -> Value {
        eventually(message, || self.lines().into_iter().find(|line| line["message"] == message))
            .await
    }

    pub fn count(&self, message: &str) -> usize {
        self.lines().iter().filter(|line| line["message"] == message).count()
    }

    pub fn lines(&self) -> Vec<Value> {
        let log = self.log.lock().expect("not poisoned");
        log.iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Cuts its network for so long.
    pub async fn cut(&self, time: Duration) {
        let space = self.space.as_ref().expect("it is in a namespace");
        space.set(false);
        sleep(time).await;
        space.set(true);
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.process)
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("the host runs");
    }

    /// The processes of its rooms that run, warm ones included.
    pub fn rooms(&self) -> Vec<Pid> {
        running(&self.log).into_iter().map(|(_, pid)| pid).collect()
    }
}

/// The rooms of a host with this log, whose processes run.
pub fn running(log: &Log) -> Vec<(Value, Pid)> {
    let lines = log.lock().expect("not poisoned");
    let lines = lines.iter().filter(|line| line.contains("spawned"));
    let lines = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let rooms = lines.map(|line| (line["room"].clone(), cluster::testing::pid(&line["pid"])));
    rooms.filter(|(_, pid)| is_alive(*pid)).collect()
}

impl Drop for HostProcess {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if thread::panicking() {
            eprintln!("--- the log of {} ---\n{}", self.link, self.log.lock().unwrap().join("\n"));
        }
    }
}

/// A lobby with hosts.
pub struct Cluster {
    pub lobby: LobbyProcess,
    pub hosts: Vec<HostProcess>,
    /// Of their keys.
    pub folder: Arc<TestFolder>,
}

impl Cluster {
    /// Hosts of these names, and a lobby that has found them all.
    pub async fn start(names: &[&str], flags: &[&str]) -> Cluster {
        Cluster::start_with(names, flags, flags).await
    }

    /// The same with flags for the lobby, and others for the hosts.
    pub async fn start_with(names: &[&str], flags: &[&str], of_hosts: &[&str]) -> Cluster {
        let folder = TestFolder::new();
        let mut hosts = Vec::new();
        for name in names {
            hosts.push(HostProcess::start(&folder, name, of_hosts).await);
        }
        let lobby = lobby(&folder, &hosts).flags(flags).start().await;
        let cluster = Cluster { lobby, hosts, folder };
        cluster.linked(names.len()).await;
        cluster
    }

    /// Waits until the lobby has linked to hosts so many times.
    pub async fn linked(&self, times: usize) {
        let linked = || (self.lobby.count("host linked") >= times).then_some(());
        eventually("links", linked).await;
    }

    /// The host of this room.
    pub fn host_of(&self, room: &Value) -> &HostProcess {
        let room = room.as_str().expect("an id");
        let named = |line: &Value| {
            let name = line["name"].as_str().unwrap_or_default();
            line["message"] == "host ready" && room.rsplit_once('-').unwrap().0 == name
        };
        let mut hosts = self.hosts.iter();
        hosts.find(|host| host.lines().iter().any(named)).expect("its host")
    }
}

/// A lobby of these hosts.
pub fn lobby(folder: &Arc<TestFolder>, hosts: &[HostProcess]) -> LobbyBuilder {
    let links: Vec<_> = hosts.iter().map(|host| host.link.as_str()).collect();
    builder(game()).folder(folder).flags(&["--hosts", &links.join(",")])
}
