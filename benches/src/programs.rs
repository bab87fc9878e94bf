//! What is compared, and its programs.

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
    Node,
    Colyseus,
    Bare,
    Floor,
}
use System::{Also, Bare, Cluster, Colyseus, Floor, Node, Relayed};

impl System {
    pub const ALL: [System; 7] = [Cluster, Also, Relayed, Node, Colyseus, Bare, Floor];

    pub fn name(self) -> &'static str {
        match self {
            Cluster => "this project",
            Also => "another build",
            Relayed => "relayed",
            Node => "Node, same design",
            Colyseus => "Colyseus",
            Bare => "bare socketioxide",
            Floor => "floor",
        }
    }

    pub fn has_lobby(self) -> bool {
        matches!(self, Cluster | Also | Relayed | Node)
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
            Cluster | Relayed => Command::new(&self.game),
            Also => Command::new(self.also.as_ref().expect("given")),
            Node | Colyseus => Command::new("node"),
            Bare | Floor => Command::new(&self.bare),
        };
        match system {
            Cluster | Also | Relayed => {
                // The load exceeds the default limits. All else is as by default.
                for limit in LIMITS {
                    command.args([limit, "1000000"]);
                }
                let folder = self.folder.join("target");
                command.arg("--key-file").arg(folder.join("lobby.key"));
                command.arg("--static-dir").arg(self.folder.join("../static"));
                command.args([
                    "--max-rooms",
                    "1000",
                    "--empty-timeout",
                    "1h",
                    "--log-format",
                    "json",
                ]);
                command.args(["--pool", &pool.to_string()]);
                command.env("RUST_LOG", "info,cluster::process::supervisor=debug");
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
