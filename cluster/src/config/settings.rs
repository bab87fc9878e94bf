//! All settings, parsed once from flags and environment. `--help` lists them.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;
use std::{env, fs};

use anyhow::{Context as _, ensure};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgAction, CommandFactory as _, FromArgMatches as _, Parser, ValueEnum};
use rustix::process::{Resource, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};

use crate::config::hosts::HostSettings;
use crate::config::limits::Limits;
use crate::config::parse::{Origin, PublicUrl, Size, duration, positive, public_url, web_url};
use crate::runtime::RoomPanic;

/// Open files of the lobby itself, [`MIN_CONNECTIONS`] and those at `--admin` included.
const OWN_FILES: u64 = 80;
/// Open files for each room: its socket, two pipes and a handle of the process. In a reload three
/// copies.
const ROOM_FILES: u64 = 7;
/// Connections that are always possible. A relayed one takes two open files.
const MIN_CONNECTIONS: u32 = 16;

const COMMANDS: &str = "\
`server health [OPTIONS]` asks the lobby on this machine for /healthz, and exits with 0 or 1.
`server host [OPTIONS]` runs rooms for a lobby on another machine.
`server link-key [OPTIONS]` prints the key of links between the lobby and its hosts.";

const CDN: &str = "https://cdn.jsdelivr.net/npm";

/// A project's own defaults: the answers given when it was generated. Flags and environment
/// override port and seats.
#[derive(Debug, Clone, Copy)]
pub struct Defaults {
    /// The issuer of the tokens. Keep it when the project is renamed, or all players' tokens become
    /// invalid.
    pub name: &'static str,
    /// The lobby's port.
    pub port: u16,
    /// Seats in a room.
    pub seats: usize,
}

/// A lobby that starts rooms as processes and routes players between them.
///
/// Each flag can also be set by an environment variable, which `--help` names: `CLUSTER_PORT` is
/// `--port`. The lobby passes all settings to its rooms: put no secrets into flags.
#[derive(Debug, Clone, Parser, Serialize, Deserialize)]
#[command(long_about = None)]
pub struct Settings {
    /// The issuer of the tokens: [`Defaults::name`].
    #[arg(skip)]
    #[serde(skip)]
    pub name: &'static str,

    /// Port of the lobby; 0 picks a free one.
    #[arg(long, default_value = "0")]
    pub port: u16,

    /// IP address to listen on.
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub host: IpAddr,

    /// Listen on all addresses, so that phones in the same network can play.
    #[arg(long, conflicts_with = "host")]
    pub lan: bool,

    /// The lobby's public URL if it is behind a proxy, such as `https://play.example.org`. With a
    /// path, as in `https://example.org/game`, the lobby serves everything below it.
    #[arg(long, value_parser = public_url)]
    pub public_url: Option<PublicUrl>,

    /// Seats of a room, unless a hook creates it with another number.
    #[arg(long, default_value = "1", value_parser = positive)]
    pub seats: usize,

    /// Warm room processes to keep, so that opening a room need not start one.
    #[arg(long, default_value_t = 1)]
    pub pool: usize,

    /// Further origins, separated by commas, such as `https://example.org`, or
    /// `capacitor://localhost` of a native shell. Requests to their hosts are accepted, and their
    /// pages may connect to the lobby and embed it in a frame.
    #[arg(long, value_delimiter = ',', help_heading = "Network")]
    pub allow_origin: Vec<Origin>,

    /// Relay the traffic between browsers and rooms through the lobby instead of handing sockets to
    /// rooms. Always so on systems other than Linux.
    #[arg(long, help_heading = "Network")]
    pub no_handoff: bool,

    /// Folder with the page's files.
    #[arg(long, default_value = "static", help_heading = "Network")]
    pub static_dir: PathBuf,

    /// Address of the admin page, such as `127.0.0.1:3001`, and of metrics at `/metrics`. Beyond
    /// this machine only with `--admin-token-file`. They have no TLS.
    #[arg(long, help_heading = "Network")]
    pub admin: Option<SocketAddr>,

    /// File with the token that `--admin` wants as `Authorization: Bearer TOKEN`, of at least 16
    /// characters.
    #[arg(long, requires = "admin", help_heading = "Network")]
    pub admin_token_file: Option<PathBuf>,

    /// CDN for client libraries that `npm ci` has not put into node_modules.
    #[arg(long, default_value = CDN, value_parser = web_url, help_heading = "Network")]
    pub cdn: String,

    /// Maximum concurrent rooms. Each is a process.
    #[arg(long, default_value_t = 100, value_parser = positive, help_heading = "Rooms")]
    pub max_rooms: usize,

    /// Maximum concurrent rooms opened by one player.
    #[arg(long, default_value_t = 3, value_parser = positive, help_heading = "Rooms")]
    pub max_rooms_per_player: usize,

    /// Maximum concurrent rooms opened by players from one address.
    #[arg(long, default_value_t = 20, value_parser = positive, help_heading = "Rooms")]
    pub max_rooms_per_address: usize,

    /// Wrong codes of private rooms per minute and player, as a brute-force guard. One address, or
    /// one IPv6 /48 network, may try a hundred times as many.
    #[arg(long, default_value = "10", help_heading = "Rooms")]
    pub max_code_attempts_per_minute: NonZeroU32,

    /// Memory limit of a room, and of each process that it starts. A room that exceeds it dies.
    /// Linux only.
    #[arg(long, default_value = "1g", help_heading = "Rooms")]
    pub room_memory: Size,

    /// What happens to a room when one of its hooks panics.
    #[arg(long, value_enum, default_value_t = RoomPanic::EndRoom, help_heading = "Rooms")]
    pub on_room_panic: RoomPanic,

    /// Time for a new room to become ready.
    #[arg(long, default_value = "5s", value_parser = duration, help_heading = "Rooms")]
    pub ready_timeout: Duration,

    /// Circuit breaker: after this many failed starts within the cooldown, no room is started until
    /// the cooldown is over.
    #[arg(long, default_value_t = 10, value_parser = positive, help_heading = "Rooms")]
    pub start_failure_limit: usize,

    /// Time for which a failed start counts, and for which the circuit breaker stays open.
    #[arg(long, default_value = "10s", value_parser = duration, help_heading = "Rooms")]
    pub start_failure_cooldown: Duration,

    /// Interval of a room's heartbeats.
    #[arg(long, default_value = "1s", value_parser = duration, help_heading = "Rooms")]
    pub heartbeat: Duration,

    /// A room without a heartbeat for this long is killed as hung. On Linux, time in which it
    /// waited for a processor does not count.
    #[arg(long, default_value = "3s", value_parser = duration, help_heading = "Rooms")]
    pub heartbeat_timeout: Duration,

    /// Lifetime of a ticket, and of the seat reserved for a player on the way to a room.
    #[arg(long, default_value = "15s", value_parser = duration, help_heading = "Rooms")]
    pub ticket_ttl: Duration,

    /// A room without players is closed after this time.
    #[arg(long, default_value = "30s", value_parser = duration, help_heading = "Rooms")]
    pub empty_timeout: Duration,

    /// Time for rooms to end by themselves after a signal asks the lobby to stop. Then they are
    /// closed. A second signal closes them at once, a third ends the lobby.
    #[arg(long, default_value = "2s", value_parser = duration, help_heading = "Rooms")]
    pub drain_timeout: Duration,

    /// Time for a closed room to end; after that it is killed. A room that a hook closes gets the
    /// same time to drain first.
    #[arg(long, default_value = "2s", value_parser = duration, help_heading = "Rooms")]
    pub stop_timeout: Duration,

    /// Lifetime of a token. Expiration is sliding: a token is renewed past half of its lifetime.
    #[arg(long, default_value = "30d", value_parser = duration, help_heading = "Tokens")]
    pub token_ttl: Duration,

    /// File with the 32-byte key that signs tokens. It is created at the first start.
    #[arg(long, default_value = "lobby.key", help_heading = "Tokens")]
    pub key_file: PathBuf,

    /// File with the previous key, for key rotation; it may be missing. Its tokens are accepted and
    /// renewed. Delete it after `--token-ttl`.
    #[arg(long, default_value = "lobby.key.old", help_heading = "Tokens")]
    pub old_key_file: PathBuf,

    /// Format of log lines. `RUST_LOG` sets the level, such as `debug`.
    #[arg(long, value_enum, default_value_t = LogFormat::Human, help_heading = "Logging and development")]
    pub log_format: LogFormat,

    /// Folder for reports on rooms that crash or hang: options, players, backtrace, and the last
    /// lines of their log. The newest 100 are kept.
    #[arg(long, help_heading = "Logging and development")]
    pub crash_dir: Option<PathBuf>,

    /// Development endpoints: anyone may read the log and kill rooms. On by default in debug
    /// builds; `--dev=false` turns it off.
    #[arg(
        long,
        default_value_t = cfg!(debug_assertions),
        default_missing_value = "true",
        num_args = 0..=1,
        require_equals = true,
        action = ArgAction::Set,
        help_heading = "Logging and development"
    )]
    pub dev: bool,

    /// Rooms on other machines.
    #[command(flatten)]
    pub hosts: HostSettings,
    /// Limits per connection, player and address.
    #[command(flatten)]
    pub limits: Limits,
}

/// Format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub enum LogFormat {
    /// Readable text.
    Human,
    /// One JSON object per line.
    Json,
}

/// The environment variable of a setting.
fn variable(id: &str) -> String {
    format!("CLUSTER_{}", id.to_uppercase())
}

/// Names the environment variable instead of the flag where the value came from there.
fn name_variables(mut error: clap::Error) -> clap::Error {
    for kind in [ContextKind::InvalidArg, ContextKind::PriorArg] {
        // Such as `--port <PORT>` or `--dev[=<DEV>]`.
        let Some(ContextValue::String(flag)) = error.get(kind) else { continue };
        let flag = flag.split([' ', '[']).next().unwrap_or_default().to_owned();
        let variable = variable(&flag.trim_start_matches('-').replace('-', "_"));
        let is_flag = |arg: OsString| arg.to_string_lossy().split('=').next() == Some(&flag);
        if env::var_os(&variable).is_some() && !env::args_os().any(is_flag) {
            error.insert(kind, ContextValue::String(variable));
        }
    }
    error
}

impl Settings {
    /// Parses flags and environment. The first argument is the program's name. Errors, `--help` and
    /// `--version` end the process.
    #[inline(never)] // clap's stack frame is large
    pub(crate) fn read(defaults: Defaults, args: &[OsString]) -> Settings {
        let mut command = Settings::command()
            .name(defaults.name)
            .version(concat!("on cluster ", env!("CARGO_PKG_VERSION")))
            .after_help(COMMANDS)
            .mut_args(|arg| {
                let variable = variable(arg.get_id().as_str());
                arg.env(variable)
            })
            .mut_arg("port", |port| port.default_value(defaults.port.to_string()))
            .mut_arg("seats", |seats| seats.default_value(defaults.seats.to_string()));
        // Rooms get all settings as JSON, paths included.
        let is_setting = |name: &OsString| name.to_string_lossy().starts_with("CLUSTER_");
        let variables = env::vars_os().filter(|(name, _)| is_setting(name));
        let mut values =
            args.iter().cloned().map(|value| ("argument".into(), value)).chain(variables);
        if let Some((name, value)) = values.find(|(_, value)| value.to_str().is_none()) {
            let text = format!("{} is not UTF-8: {value:?}", name.display());
            command.error(ErrorKind::InvalidUtf8, text).exit();
        }
        let matches = command.try_get_matches_from_mut(args);
        let settings = matches.and_then(|matches| Settings::from_arg_matches(&matches));
        let settings = settings.unwrap_or_else(|error| name_variables(error).exit());
        Settings { name: defaults.name, ..settings }
    }

    /// The path below which the lobby serves everything, such as `/game`. Empty: at the root.
    pub(crate) fn base_path(&self) -> &str {
        self.public_url.as_ref().map_or("", |url| &url.path)
    }

    /// Checks minimums, combinations of flags, and that the page's folder exists.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        ensure!(
            self.heartbeat_timeout >= 2 * self.heartbeat,
            "--heartbeat-timeout must be at least twice --heartbeat: one may be late"
        );
        // Messages of up to four times this size are read, and a token of 2.5 KiB must fit.
        ensure!(
            self.limits.max_message >= Size(1 << 10),
            "--max-message must be at least 1k, or no client can send its token"
        );
        ensure!(
            self.admin_token_file.is_some()
                || self.admin.is_none_or(|admin| admin.ip().is_loopback()),
            "--admin beyond this machine needs an --admin-token-file"
        );
        if let Some(folder) = &self.crash_dir {
            let created = fs::create_dir_all(folder);
            created.with_context(|| format!("cannot create --crash-dir {folder:?}"))?;
        }
        ensure!(
            self.static_dir.join("index.html").is_file(),
            "no index.html in {:?}: start from the project's folder, or set --static-dir",
            self.static_dir
        );
        Ok(())
    }

    /// Raises the limit on open files as far as allowed. Returns how many connections it leaves
    /// room for beside the rooms; further ones wait in the backlog. Fails if it is too low for the
    /// rooms.
    pub(crate) fn raise_file_limit(&self) -> anyhow::Result<u32> {
        let mut limit = getrlimit(Resource::Nofile);
        limit.current = limit.maximum;
        let _ = setrlimit(Resource::Nofile, limit);
        let here = !self.hosts.are_used(); // rooms there have none
        let rooms = if here { self.max_rooms.saturating_add(self.pool) as u64 } else { 0 };
        let needed = ROOM_FILES.saturating_mul(rooms).saturating_add(OWN_FILES);
        let have = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        ensure!(
            have >= needed,
            "{have} open files are too few for {rooms} rooms: raise `ulimit -n` to {needed} or more, \
             or lower --max-rooms"
        );
        let more = u32::try_from((have - needed) / 2).unwrap_or(u32::MAX);
        let connections = more.saturating_add(MIN_CONNECTIONS);
        let wanted = self.limits.max_connections.get();
        if connections < wanted && !self.dev {
            tracing::info!(
                connections,
                "{have} open files allow fewer connections than --max-connections"
            );
        }
        Ok(connections.min(wanted))
    }
}
