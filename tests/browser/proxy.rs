//! A reverse proxy in front of a lobby: the real program with the project's file from `deploy/`, in
//! which only addresses, ports and paths are replaced.

use std::fs;
use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use cluster::testing::{TestFolder, free_port};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::chromium::{LOOK, PATIENCE};

/// The public name in the files.
pub const NAME: &str = "play.example.org";

#[derive(Clone, Copy)]
pub enum Program {
    Nginx,
    Caddy,
    Haproxy,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Rooms {
    /// As in the file: a new connection for each.
    Apart,
    /// One pool of connections for everything, as in a configuration that does not know rooms.
    Pooled,
}

/// Where the lobby is on its host.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Root,
    /// At `/game`, by the changes that the files name.
    Below,
}

impl Place {
    /// The path of the public URL.
    pub fn path(self) -> &'static str {
        match self {
            Place::Root => "",
            Place::Below => "/game",
        }
    }
}

/// The ports.
#[derive(Clone, Copy)]
pub struct Ports {
    pub lobby: u16,
    pub https: u16,
    http: u16,
}

impl Ports {
    /// Free ports. Port 0 does not work: proxy and lobby need each other's port.
    pub fn free() -> Ports {
        Ports { lobby: free_port(), https: free_port(), http: free_port() }
    }
}

/// A running proxy. Ends when dropped; a failed test shows its output.
pub struct Proxy {
    process: Child,
    folder: Arc<TestFolder>,
}

impl Proxy {
    /// Starts it with the file in `samples`, and waits until it listens.
    pub async fn start(
        program: Program,
        place: Place,
        rooms: Rooms,
        samples: &Path,
        ports: Ports,
    ) -> Result<Proxy> {
        let sample = program.read(samples)?.at(program, place)?;
        Self::start_with(program, sample, rooms, ports).await
    }

    /// Starts it with this file.
    pub async fn start_with(
        program: Program,
        sample: Sample,
        rooms: Rooms,
        ports: Ports,
    ) -> Result<Proxy> {
        let folder = TestFolder::new();
        certify(folder.path())?;
        let text = program.adapt(sample, rooms, folder.path(), ports)?.0;
        let config = folder.path().join(program.sample());
        fs::write(&config, text)?;

        let output = File::create(folder.path().join("output"))?;
        let mut command = program.command(&config);
        command
            // Debian's folder for servers, which may not be in PATH.
            .env("PATH", format!("{}:/usr/sbin", std::env::var("PATH")?))
            // Caddy's data folder.
            .env("HOME", folder.path())
            .env("XDG_CONFIG_HOME", folder.path())
            .env("XDG_DATA_HOME", folder.path())
            // Ends its child processes, too.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        let name = command.get_program().to_string_lossy().into_owned();
        let process = command.spawn().with_context(|| missing(&name))?;
        let mut proxy = Proxy { process, folder };
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", ports.https)).await.is_err() {
            if let Some(status) = proxy.process.try_wait()? {
                bail!("{name} has ended: {status}");
            }
            ensure!(Instant::now() < deadline, "{name} does not listen");
            sleep(LOOK).await;
        }
        Ok(proxy)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = kill_process_group(Pid::from_child(&self.process), Signal::KILL);
        let _ = self.process.wait();
        print!("{}", fs::read_to_string(self.folder.path().join("output")).unwrap_or_default());
    }
}

impl Program {
    fn sample(self) -> &'static str {
        match self {
            Program::Nginx => "nginx.conf",
            Program::Caddy => "Caddyfile",
            Program::Haproxy => "haproxy.cfg",
        }
    }

    /// Its file in this folder.
    pub fn read(self, samples: &Path) -> Result<Sample> {
        let path = samples.join(self.sample());
        Ok(Sample(fs::read_to_string(&path).with_context(|| format!("no {path:?}"))?))
    }

    /// The command, in the foreground.
    fn command(self, config: &Path) -> Command {
        let mut command = Command::new(match self {
            Program::Nginx => "nginx",
            Program::Caddy => "caddy",
            Program::Haproxy => "haproxy",
        });
        match self {
            Program::Nginx => command.args(["-e", "stderr", "-c"]).arg(config),
            Program::Caddy => {
                command.args(["run", "--adapter", "caddyfile", "--config"]).arg(config)
            }
            Program::Haproxy => command.args(["-db", "-f"]).arg(config),
        };
        command
    }

    /// The configuration for these tests.
    fn adapt(self, sample: Sample, rooms: Rooms, folder: &Path, ports: Ports) -> Result<Sample> {
        let Ports { lobby, https, http } = ports;
        let folder = folder.display();
        let mut sample = sample
            .with("127.0.0.1:3000", &format!("127.0.0.1:{lobby}"))?
            .with(&format!("/etc/ssl/{NAME}"), &folder.to_string())?;
        if rooms == Rooms::Pooled {
            // Disables the rule for rooms.
            sample = sample.with("/rooms/", "/nowhere/")?;
        }
        match self {
            Program::Nginx => {
                if rooms == Rooms::Pooled {
                    // Each worker has its own pool.
                    sample = sample.with("worker_processes auto", "worker_processes 1")?;
                }
                let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                    .map(|what| format!("{what}_temp_path {folder}/{what};"))
                    .concat();
                let main = format!("daemon off; pid {folder}/pid; error_log stderr;");
                sample
                    .with("listen 443 ", &format!("listen 127.0.0.1:{https} "))?
                    .with("listen 80;", &format!("listen 127.0.0.1:{http};"))?
                    .with("\nevents {", &format!("\n{main}\nevents {{"))?
                    .with("\nhttp {", &format!("\nhttp {{ access_log off; {temporary}"))
            }
            Program::Caddy => {
                let listen =
                    format!("https_port {https}\nhttp_port {http}\ndefault_bind 127.0.0.1");
                let site = format!("\n{NAME} {{");
                sample
                    .with(&site, &format!("\n{{\nadmin off\n{listen}\n}}{site}"))?
                    .with("# tls ", "tls ")
            }
            Program::Haproxy => {
                sample
                    .with("bind :443 ", &format!("bind 127.0.0.1:{https} "))?
                    .with("bind :80", &format!("bind 127.0.0.1:{http}"))?
                    // Only root may change the user.
                    .with("    user haproxy\n    group haproxy\n", "")
            }
        }
    }
}

/// A file of `deploy/`.
pub struct Sample(String);

impl Sample {
    /// The file with what its comments say for a lobby at this place.
    fn at(self, program: Program, place: Place) -> Result<Sample> {
        let changes = match (place, program) {
            (Place::Root, _) => return Ok(self),
            (Place::Below, Program::Nginx) => [
                ("location / { # below a path: /game/\n", "location /game/ {\n"),
                ("location /rooms/ { # below a path: /game/rooms/\n", "location /game/rooms/ {\n"),
            ],
            (Place::Below, Program::Caddy) => [
                ("path /* # below a path: /game /game/*\n", "path /game /game/*\n"),
                ("path /rooms/* # below a path: /game/rooms/*\n", "path /game/rooms/*\n"),
            ],
            (Place::Below, Program::Haproxy) => [
                (
                    "default_backend lobby # below a path: use_backend lobby if",
                    "use_backend lobby if",
                ),
                (
                    "{ path_beg /rooms/ } # below a path: /game/rooms/\n",
                    "{ path_beg /game/rooms/ }\n",
                ),
            ],
        };
        changes.into_iter().try_fold(self, |sample, (old, new)| sample.with(old, new))
    }

    /// Replaces a text, which must exist.
    pub fn with(self, old: &str, new: &str) -> Result<Sample> {
        ensure!(self.0.contains(old), "no {old:?} in\n{}", self.0);
        Ok(Sample(self.0.replace(old, new)))
    }
}

fn missing(program: &str) -> String {
    format!("{program} is missing: install it (on Debian, `apt-get install {program}`)")
}

/// A self-signed certificate and its key: one file, under each name that `deploy/` uses for either.
fn certify(folder: &Path) -> Result<()> {
    let both = folder.join("both.pem");
    let mut openssl = Command::new("openssl");
    openssl
        .args(["req", "-x509", "-nodes", "-days", "2", "-subj", &format!("/CN={NAME}")])
        .args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-addext", &format!("subjectAltName=DNS:{NAME}")])
        .arg("-keyout")
        .arg(&both)
        .arg("-out")
        .arg(&both);
    let output = openssl.output().with_context(|| missing("openssl"))?;
    ensure!(output.status.success(), "openssl: {}", String::from_utf8_lossy(&output.stderr));
    for name in ["fullchain.pem", "privkey.pem"] {
        fs::copy(&both, folder.join(name))?;
    }
    Ok(())
}
