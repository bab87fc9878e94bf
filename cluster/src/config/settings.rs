//! Every setting, from flags and environment (`--help` lists them), parsed once into types.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZeroU32,
    path::PathBuf,
    time::Duration,
};

use anyhow::ensure;
use clap::{ArgAction, CommandFactory as _, FromArgMatches as _, Parser, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::{
    config::{
        defaults::Defaults,
        limits::Limits,
        parse::{PublicUrl, Size, duration, positive},
    },
    runtime::panics::RoomPanic,
};

/// A room takes three megabytes before it does anything, and two for each thread.
const LEAST_MEMORY: Size = Size(16 << 20);
/// Four times as much is read, and a token has up to 2 KiB.
const LEAST_MESSAGE: Size = Size(1 << 10);

/// A lobby that starts rooms as processes of their own and routes players between them.
#[derive(Debug, Clone, Parser)]
pub struct Settings {
    /// The issuer of the tokens: [`Defaults::name`].
    #[arg(skip)]
    pub name: &'static str,

    /// The role of this process. The other one, `room`, is never started by hand.
    #[arg(value_enum, default_value_t = Role::Lobby, hide = true)]
    pub(crate) role: Role,

    /// Address to listen on.
    #[arg(long, env = "CLUSTER_HOST", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub host: IpAddr,

    /// Port of the lobby; 0 takes a free one.
    #[arg(long, env = "CLUSTER_PORT", default_value = "0")]
    pub port: u16,

    /// Listen on all addresses, so that a phone in the same network can play.
    #[arg(long, env = "CLUSTER_LAN", conflicts_with = "host")]
    pub lan: bool,

    /// Where browsers reach the lobby when a proxy stands in front, such as `https://play.example.org`.
    #[arg(long, env = "CLUSTER_PUBLIC_URL")]
    pub public_url: Option<PublicUrl>,

    /// Other addresses at which browsers reach the lobby, or whose pages may connect to it and show it in
    /// a frame, such as `https://example.org`; several with commas between.
    #[arg(long, env = "CLUSTER_ALLOW_ORIGIN", value_delimiter = ',')]
    pub allow_origin: Vec<PublicUrl>,

    /// Relays what browsers and rooms say instead of handing the browser's socket to the room, as is
    /// always done elsewhere than on Linux.
    #[arg(long, env = "CLUSTER_RELAY")]
    pub relay: bool,

    /// Seats in a room.
    #[arg(long, env = "CLUSTER_SEATS", default_value = "1", value_parser = positive)]
    pub seats: usize,

    /// Rooms at once; one more is refused. Each is a process.
    #[arg(long, env = "CLUSTER_MAX_ROOMS", default_value_t = 100, value_parser = positive)]
    pub max_rooms: usize,

    /// Rooms at once that one player may have opened; one more is refused.
    #[arg(
        long,
        env = "CLUSTER_MAX_ROOMS_PER_PLAYER",
        default_value_t = 3,
        value_parser = positive
    )]
    pub max_rooms_per_player: usize,

    /// Rooms at once that players from one address may have opened; one more is refused.
    #[arg(
        long,
        env = "CLUSTER_MAX_ROOMS_PER_ADDRESS",
        default_value_t = 20,
        value_parser = positive
    )]
    pub max_rooms_per_address: usize,

    /// Warm rooms kept ready to be opened: an open then costs no process start.
    #[arg(long, env = "CLUSTER_POOL", default_value_t = 1)]
    pub pool: usize,

    /// So many rooms that die at their start, within `--failed-starts-pause`, and none is started for as
    /// long.
    #[arg(long, env = "CLUSTER_FAILED_STARTS", default_value_t = 10, value_parser = positive)]
    pub failed_starts: usize, // more than one player can make die

    /// How long rooms that died at their start count, and how long none is started after too many of them.
    #[arg(long, env = "CLUSTER_FAILED_STARTS_PAUSE", default_value = "10s", value_parser = duration)]
    pub failed_starts_pause: Duration,

    /// Wrong codes of private rooms in a minute from one player; ten times as many from one address.
    #[arg(long, env = "CLUSTER_WRONG_CODES_PER_MINUTE", default_value = "10")]
    pub wrong_codes_per_minute: NonZeroU32, // typing errors; trying all 47 million codes takes nine years

    /// Memory that one room may use, and again each process that it starts, such as `512m` or `2g`. One
    /// that wants more dies. (Linux)
    #[arg(long, env = "CLUSTER_ROOM_MEMORY", default_value = "1g")]
    pub room_memory: Size,

    /// What a panic in a hook of a room does: end the room, or only the hook.
    #[arg(long, env = "CLUSTER_ROOM_PANIC", value_enum, default_value_t = RoomPanic::EndRoom)]
    pub room_panic: RoomPanic,

    /// How long a room may take to become ready.
    #[arg(long, env = "CLUSTER_READY_TIMEOUT", default_value = "5s", value_parser = duration)]
    pub ready_timeout: Duration, // as long as somebody who waits is patient

    /// How often a room gives a sign of life.
    #[arg(long, env = "CLUSTER_HEARTBEAT", default_value = "1s", value_parser = duration)]
    pub heartbeat: Duration, // cheap, and soon enough for the next

    /// Without a sign of life for so long a room counts as hung and is killed. Time in which it waited for a processor
    /// does not count. (Linux)
    #[arg(long, env = "CLUSTER_HEARTBEAT_TIMEOUT", default_value = "3s", value_parser = duration)]
    pub heartbeat_timeout: Duration, // two slow ones in a row are no death

    /// How long a ticket, and with it a seat, waits for its player.
    #[arg(long, env = "CLUSTER_TICKET_TTL", default_value = "15s", value_parser = duration)]
    pub ticket_ttl: Duration, // a page that loads on a slow network

    /// How long a token proves who a player is.
    #[arg(long, env = "CLUSTER_TOKEN_TTL", default_value = "30d", value_parser = duration)]
    pub token_ttl: Duration, // renewed after half of it, so forever for who comes twice a month

    /// A room without players is closed after so long.
    #[arg(long, env = "CLUSTER_EMPTY_TIMEOUT", default_value = "30s", value_parser = duration)]
    pub empty_timeout: Duration, // a friend who was invited is still on his way

    /// When the lobby stops, rooms have so long to finish.
    #[arg(long, env = "CLUSTER_STOP_TIMEOUT", default_value = "2s", value_parser = duration)]
    pub stop_timeout: Duration, // service managers kill after ten seconds or more

    /// The lobby's secret, 32 bytes; made at the first start. Tokens live as long as it does.
    #[arg(long, env = "CLUSTER_KEY_FILE", default_value = "lobby.key")]
    pub key_file: PathBuf,

    /// The key before that one, if there is such a file: its tokens are good, and are replaced when their
    /// players connect. Delete it after the tokens' time.
    #[arg(long, env = "CLUSTER_OLD_KEY_FILE", default_value = "lobby.key.old")]
    pub old_key_file: PathBuf,

    /// The page's files.
    #[arg(long, env = "CLUSTER_STATIC_DIR", default_value = "static")]
    pub static_dir: PathBuf,

    /// Where browsers get a client library that `npm ci` has not put into node_modules.
    #[arg(long, env = "CLUSTER_CDN", default_value = "https://cdn.jsdelivr.net/npm")]
    pub cdn: PublicUrl,

    /// How log lines look.
    #[arg(long, env = "CLUSTER_LOG_FORMAT", value_enum, default_value_t = LogFormat::Human)]
    pub log_format: LogFormat,

    /// Powers for development: anyone may kill a room and read the log. On in debug builds, unless
    /// `--dev=false`.
    #[arg(
        long,
        env = "CLUSTER_DEV",
        default_value_t = cfg!(debug_assertions),
        default_missing_value = "true",
        num_args = 0..=1,
        require_equals = true,
        action = ArgAction::Set
    )]
    pub dev: bool,

    /// What one client may take.
    #[command(flatten)]
    pub limits: Limits,
}

/// The role of a process that is started by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// The lobby.
    Lobby,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

/// What a room is told of the settings. Nothing in here is secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RoomSettings {
    pub public_url: Option<PublicUrl>,
    pub allow_origin: Vec<PublicUrl>,
    pub limits: Limits,
    pub memory: Size,
    pub panic: RoomPanic,
    pub heartbeat: Duration,
    pub ticket_ttl: Duration,
    pub empty_timeout: Duration,
}

impl Settings {
    /// From flags and environment. A bad one is said in one line; `--help` and `--version` end here.
    pub(crate) fn read(defaults: Defaults) -> anyhow::Result<Settings> {
        let command = Settings::command()
            .name(defaults.name)
            .version(concat!("on cluster ", env!("CARGO_PKG_VERSION")))
            .mut_arg("port", |port| port.default_value(defaults.port.to_string()))
            .mut_arg("seats", |seats| seats.default_value(defaults.seats.to_string()));
        let matches = command.try_get_matches();
        let settings = matches.and_then(|matches| Settings::from_arg_matches(&matches));
        let settings = settings.map_err(|error| {
            if !error.use_stderr() {
                error.exit();
            }
            let text = error.to_string();
            let first = text.lines().take_while(|line| !line.is_empty());
            let line = first.map(str::trim).collect::<Vec<_>>().join(" ");
            anyhow::anyhow!("{}", line.trim_start_matches("error: "))
        })?;
        Ok(Settings { name: defaults.name, ..settings })
    }

    /// The address to listen on.
    pub(crate) fn address(&self) -> SocketAddr {
        let host = if self.lan { Ipv4Addr::UNSPECIFIED.into() } else { self.host };
        SocketAddr::new(host, self.port)
    }

    /// Refuses what no single flag can see.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        ensure!(
            self.heartbeat_timeout >= 2 * self.heartbeat,
            "--heartbeat-timeout must be at least twice --heartbeat, or a slow pause kills a room"
        );
        ensure!(
            self.room_memory >= LEAST_MEMORY,
            "--room-memory must be at least 16m, or no room can begin"
        );
        ensure!(
            self.limits.max_message >= LEAST_MESSAGE,
            "--max-message must be at least 1k, or nobody can show his token"
        );
        ensure!(
            self.static_dir.join("index.html").is_file(),
            "no index.html in {:?}: start from the project's folder, or set --static-dir",
            self.static_dir
        );
        Ok(())
    }

    pub(crate) fn for_rooms(&self) -> RoomSettings {
        RoomSettings {
            public_url: self.public_url.clone(),
            allow_origin: self.allow_origin.clone(),
            limits: self.limits.clone(),
            memory: self.room_memory,
            panic: self.room_panic,
            heartbeat: self.heartbeat,
            ticket_ttl: self.ticket_ttl,
            empty_timeout: self.empty_timeout,
        }
    }
}
