//! Every setting, from flags and environment (`--help` lists them), parsed once into types.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZeroU32,
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use clap::{ArgAction, Parser, ValueEnum};
use serde::{Deserialize, Serialize};

use super::{
    limits::{Limits, Size},
    origins::Authority,
};
use crate::defaults;

/// A room takes three megabytes before it does anything, and two for each thread.
const LEAST_MEMORY: Size = Size(16 << 20);
/// Four times as much is read, and a token has up to 2 KiB.
const LEAST_MESSAGE: Size = Size(1 << 10);

/// A lobby that starts rooms as processes of their own and routes players between them.
#[derive(Debug, Clone, Parser)]
#[command(version, about)]
pub struct Settings {
    /// The role of this process. The other one, `room`, is never started by hand.
    #[arg(value_enum, default_value_t = Role::Lobby, hide = true)]
    pub role: Role,

    /// Address to listen on; rooms with ports of their own listen on the same one.
    #[arg(long, env = "CLUSTER_HOST", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub host: IpAddr,

    /// Port of the lobby; 0 takes a free one.
    #[arg(long, env = "CLUSTER_PORT", default_value_t = defaults::PORT)]
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

    /// Gives each room a port of its own from LOW-HIGH, instead of the lobby's for all.
    #[arg(long, env = "CLUSTER_ROOM_PORTS", value_name = "LOW-HIGH")]
    pub room_ports: Option<PortRange>,

    /// Relays what browsers and rooms say instead of handing the browser's socket to the room, as is
    /// always done elsewhere than on Linux.
    #[arg(long, env = "CLUSTER_RELAY")]
    pub relay: bool,

    /// Seats in a room.
    #[arg(long, env = "CLUSTER_SEATS", default_value_t = defaults::SEATS, value_parser = positive)]
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

    /// Warm rooms kept ready to be opened: an open then costs no process start.
    #[arg(long, env = "CLUSTER_POOL", default_value_t = 1)]
    pub pool: usize,

    /// Rooms at once that players from one address may have opened; one more is refused.
    #[arg(
        long,
        env = "CLUSTER_MAX_ROOMS_PER_ADDRESS",
        default_value_t = 20,
        value_parser = positive
    )]
    pub max_rooms_per_address: usize,

    /// So many rooms that die at their start, within the time below, and no new ones are opened for as
    /// long.
    #[arg(long, env = "CLUSTER_FAILED_STARTS", default_value_t = 10, value_parser = positive)]
    pub failed_starts: usize, // more than one player can make die

    /// See above.
    #[arg(long, env = "CLUSTER_FAILED_STARTS_PAUSE", default_value = "10s", value_parser = duration)]
    pub failed_starts_pause: Duration,

    /// Wrong codes of private rooms in a minute from one player; ten times as many from one address.
    #[arg(long, env = "CLUSTER_WRONG_CODES_PER_MINUTE", default_value = "10")]
    pub wrong_codes_per_minute: NonZeroU32, // typing errors; 47 million codes take 900 years

    /// Memory that one room may use, and again each process that it starts, such as `512m` or `2g`. One
    /// that wants more dies. (Linux)
    #[arg(long, env = "CLUSTER_ROOM_MEMORY", default_value = "1g")]
    pub room_memory: Size,

    /// What a panic in a hook of a room does: end the room, or only the hook.
    #[arg(long, env = "CLUSTER_ROOM_PANIC", value_enum, default_value_t = RoomPanic::EndsRoom)]
    pub room_panic: RoomPanic,

    /// How long a room may take to become ready.
    #[arg(long, env = "CLUSTER_READY_TIMEOUT", default_value = "5s", value_parser = duration)]
    pub ready_timeout: Duration,

    /// How often a room gives a sign of life.
    #[arg(long, env = "CLUSTER_HEARTBEAT", default_value = "1s", value_parser = duration)]
    pub heartbeat: Duration,

    /// Without a sign of life for so long a room counts as hung and is killed.
    #[arg(long, env = "CLUSTER_HEARTBEAT_TIMEOUT", default_value = "3s", value_parser = duration)]
    pub heartbeat_timeout: Duration,

    /// How long a ticket, and with it a seat, waits for its player.
    #[arg(long, env = "CLUSTER_TICKET_TTL", default_value = "15s", value_parser = duration)]
    pub ticket_ttl: Duration,

    /// How long a token proves who a player is.
    #[arg(long, env = "CLUSTER_TOKEN_TTL", default_value = "30d", value_parser = duration)]
    pub token_ttl: Duration,

    /// A room without players is closed after so long.
    #[arg(long, env = "CLUSTER_EMPTY_TIMEOUT", default_value = "30s", value_parser = duration)]
    pub empty_timeout: Duration,

    /// When the lobby stops, rooms have so long to finish.
    #[arg(long, env = "CLUSTER_STOP_TIMEOUT", default_value = "2s", value_parser = duration)]
    pub stop_timeout: Duration,

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

    #[command(flatten)]
    pub limits: Limits,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    Lobby,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Human,
    Json,
}

/// What becomes of a room in which a hook panics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub enum RoomPanic {
    /// Its state may be half changed: everyone is sent to the lobby.
    EndsRoom,
    /// The player who has asked is refused with `internal`, and the room goes on.
    EndsHook,
}

/// What a room is told of the settings. Nothing in here is secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RoomSettings {
    pub host: IpAddr,
    pub ports: Option<PortRange>,
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
    /// The address to listen on.
    pub fn address(&self) -> SocketAddr {
        let host = if self.lan { Ipv4Addr::UNSPECIFIED.into() } else { self.host };
        SocketAddr::new(host, self.port)
    }

    /// Refuses what no single flag can see.
    pub fn check(&self) -> anyhow::Result<()> {
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
            host: self.address().ip(),
            ports: self.room_ports,
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

/// An http or https address without a trailing slash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PublicUrl(String);

impl PublicUrl {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `play.example.org` or `play.example.org:8443`.
    pub fn authority(&self) -> &str {
        let rest = self.0.split_once("://").map_or("", |(_, rest)| rest);
        rest.split('/').next().unwrap_or_default()
    }

    /// `https` or `http`.
    pub fn scheme(&self) -> &str {
        self.0.split_once("://").map_or("", |(scheme, _)| scheme)
    }
}

impl FromStr for PublicUrl {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url = PublicUrl(text.trim_end_matches('/').to_owned());
        ensure!(
            matches!(url.scheme(), "http" | "https") && !url.authority().is_empty(),
            "expected an address such as https://play.example.org"
        );
        ensure!(
            Authority::parse(url.authority()).is_some(),
            "expected a host name or an address, and perhaps a port"
        );
        ensure!(
            url.0.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"'<>;,".contains(&byte)),
            "an address holds no spaces, quotes, brackets or semicolons"
        );
        Ok(url)
    }
}

/// Both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortRange {
    pub low: u16,
    pub high: u16,
}

impl FromStr for PortRange {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (low, high) = text.split_once('-').context("expected LOW-HIGH, such as 4000-4099")?;
        let range = PortRange {
            low: low.trim().parse().context("LOW is not a port")?,
            high: high.trim().parse().context("HIGH is not a port")?,
        };
        ensure!(0 < range.low && range.low <= range.high, "LOW must be from 1 to HIGH");
        Ok(range)
    }
}

fn positive(text: &str) -> anyhow::Result<usize> {
    let number: u32 = text.parse().context("expected a whole number")?;
    ensure!(number > 0, "expected at least 1");
    Ok(number as usize)
}

/// `250ms`, `5s`, `10m`, `2h` or `30d`.
pub(super) fn duration(text: &str) -> anyhow::Result<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u32 =
        number.parse().context("expected a time such as 250ms, 5s, 10m, 2h or 30d")?;
    let unit = match unit {
        "ms" => Duration::from_millis(1),
        "s" => Duration::from_secs(1),
        "m" => Duration::from_secs(60),
        "h" => Duration::from_secs(60 * 60),
        "d" => Duration::from_secs(24 * 60 * 60),
        _ => bail!("expected one of the units ms, s, m, h and d"),
    };
    ensure!(number > 0, "expected more than nothing");
    Ok(number * unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        assert_eq!(duration("250ms").unwrap(), Duration::from_millis(250));
        assert_eq!(duration("30d").unwrap(), Duration::from_secs(30 * 24 * 60 * 60));
        for bad in ["", "5", "s", "5 s", "-1s", "0s", "1w"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn port_ranges_are_checked() {
        let range = |text: &str| text.parse::<PortRange>();
        assert_eq!(range("4000-4099").unwrap(), PortRange { low: 4000, high: 4099 });
        for bad in ["4000", "5-4", "0-9", "1-70000", "a-b"] {
            assert!(range(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses_are_checked() {
        let url: PublicUrl = "https://play.example.org:8443/".parse().unwrap();
        assert_eq!((url.scheme(), url.authority()), ("https", "play.example.org:8443"));
        for bad in
            ["play.example.org", "ftp://x", "http://", "http://a b", "http://a;b", "http://a@b"]
        {
            assert!(bad.parse::<PublicUrl>().is_err(), "{bad}");
        }
    }
}
