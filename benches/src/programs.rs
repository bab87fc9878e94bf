//! What is compared, and its programs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum System {
    /// This project.
    Cluster,
    /// Another build of it: `--also`.
    Also,
    /// This project with `--no-handoff`.
    Relayed,
    /// This project with rooms on two hosts, on the same machine.
    Hosts,
    Node,
    Colyseus,
    Bare,
    Floor,
}
use System::{Also, Bare, Cluster, Colyseus, Floor, Hosts, Node, Relayed};

impl System {
    pub const ALL: [System; 8] = [Cluster, Also, Relayed, Hosts, Node, Colyseus, Bare, Floor];

    pub fn name(self) -> &'static str {
        match self {
            Cluster => "this project",
            Also => "another build",
            Relayed => "relayed",
            Hosts => "rooms on hosts",
            Node => "Node, same design",
            Colyseus => "Colyseus",
            Bare => "bare socketioxide",
            Floor => "floor",
        }
    }

    pub fn has_lobby(self) -> bool {
        matches!(self, Cluster | Also | Relayed | Hosts | Node)
    }
}

/// The programs.
pub struct Programs {
    pub game: PathBuf,
    pub also: Option<PathBuf>,
    pub bare: PathBuf,
    /// A process that does nothing: a static one in C, or `/bin/true`.
    pub nothing: PathBuf,
    pub node: bool,
    pub folder: PathBuf,
}

impl Programs {
    pub fn has(&self, system: System) -> bool {
        match system {
            Also => self.also.is_some(),
            Node | Colyseus => self.node,
            _ => true,
        }
    }

    /// The command that starts it.
    pub fn command(&self, system: System, pool: usize, options: &Value) -> Command {
        let mut command = match system {
            Cluster | Relayed | Hosts => Command::new(&self.game),
            Also => Command::new(self.also.as_ref().expect("given")),
            Node | Colyseus => Command::new("node"),
            Bare | Floor => Command::new(&self.bare),
        };
        match system {
            Cluster | Also | Relayed | Hosts => {
                self.set(&mut command);
                command.arg("--static-dir").arg(self.folder.join("../static"));
                command.args(["--pool", &pool.to_string()]);
                if system == Relayed {
                    command.arg("--no-handoff");
                }
            }
            Node => {
                command.arg(self.folder.join("node/server.js")).arg(pool.to_string());
            }
            Colyseus => {
                command.arg(self.folder.join("colyseus/server.js"));
            }
            Bare => {
                command.arg("socketio").arg(options.to_string());
            }
            Floor => {
                command.arg("websocket").arg(options.to_string());
            }
        }
        command
    }

    /// The command that starts a host of this name, whose rooms players reach at this port.
    pub fn host(&self, name: &str, port: u16) -> anyhow::Result<Command> {
        let mut key = Command::new(&self.game);
        self.set(key.arg("link-key"));
        let file = self.folder.join("target/link.key");
        fs::write(&file, key.output()?.stdout)?;
        let mut host = Command::new(&self.game);
        self.set(host.args(["host", "--name", name, "--link", "127.0.0.1:0"]));
        host.args(["--port", &port.to_string(), "--link-key-file"]).arg(file);
        host.arg("--public-url").arg(format!("http://127.0.0.1:{port}"));
        Ok(host)
    }

    /// The load exceeds the default limits. All else is as by default.
    fn set(&self, command: &mut Command) {
        for limit in LIMITS {
            command.args([limit, "1000000"]);
        }
        command.args(["--max-rooms", "1000", "--empty-timeout", "1h", "--log-format", "json"]);
        command.arg("--key-file").arg(self.folder.join("target/lobby.key"));
        command.env("RUST_LOG", "info,cluster::process::supervisor=debug");
    }
}

const LIMITS: [&str; 8] = [
    "--max-rooms-per-player",
    "--max-rooms-per-address",
    "--max-connections",
    "--max-connections-per-address",
    "--max-connects-per-second",
    "--max-connects-per-second-per-address",
    "--events-per-second",
    "--events-per-second-per-address",
];

/// Where this package is, and its programs.
pub fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
