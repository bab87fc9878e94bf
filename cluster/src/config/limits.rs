//! Limits for clients, the same in the lobby and in rooms. The defaults suit a public game of some
//! hundred players.

use std::num::NonZeroU32;
use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::config::parse::{Size, duration};
use crate::runtime::Quota;

/// Limits for one connection, one player, one address.
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
#[command(next_help_heading = "Limits, for the lobby and for each room")]
pub struct Limits {
    /// Maximum concurrent connections, or fewer if the limit on open files is lower. The lobby
    /// leaves further ones in the backlog; a room answers 429, or 502 on a relayed connection.
    #[arg(long, default_value = "10000")]
    pub max_connections: NonZeroU32,

    /// Maximum concurrent connections from one address, or from one IPv6 /64 network. The next one
    /// gets 429. 127.0.0.1 and ::1 have no limit by address.
    #[arg(long, default_value = "200")]
    pub max_connections_per_address: NonZeroU32,

    /// New Socket.IO connections to the lobby per second and player; bursts of ten seconds' worth.
    #[arg(long, default_value = "2")]
    pub max_connects_per_second: NonZeroU32,

    /// New Socket.IO connections per second and address, to the lobby and to each room; bursts of
    /// ten seconds' worth. The default lets a whole school reconnect after a crash.
    #[arg(long, default_value = "50")]
    pub max_connects_per_second_per_address: NonZeroU32,

    /// Events per second and player; bursts of three seconds' worth. The default allows an input
    /// per frame at 60 Hz. Events above it are refused with `too_fast`; a client that keeps sending
    /// is throttled.
    #[arg(long, default_value = "100")]
    pub events_per_second: NonZeroU32,

    /// Events per second and address, in the lobby; bursts of three seconds' worth.
    #[arg(long, default_value = "2000")]
    pub events_per_second_per_address: NonZeroU32,

    /// Maximum size of an event from a browser. A larger one is refused; one of more than four
    /// times this size closes the connection.
    #[arg(long, default_value = "64k")]
    pub max_message: Size,

    /// Maximum events of one connection that wait for a hook or an answer; each 4 KiB of an event
    /// count as one more. Exceeding it closes the connection.
    #[arg(long, default_value = "1024")]
    pub max_queued_events: NonZeroU32,

    /// Maximum packets that wait to be written to one browser. Exceeding it closes the connection.
    #[arg(long, default_value = "1024")]
    pub max_outbound_packets: NonZeroU32,

    /// Time for the first bytes of a request, and again for all of its head. A connection without a
    /// request is closed after this time as well.
    #[arg(long, default_value = "10s", value_parser = duration)]
    pub header_timeout: Duration,

    /// Time for a new websocket to send its token or ticket.
    #[arg(long, default_value = "10s", value_parser = duration)]
    pub connect_timeout: Duration,

    /// Interval of pings to a browser.
    #[arg(long, default_value = "4s", value_parser = duration)]
    pub ping_interval: Duration,

    /// Time for the answer to a ping. After it, the browser counts as disconnected.
    #[arg(long, default_value = "4s", value_parser = duration)]
    pub ping_timeout: Duration,

    /// Header with the client's address, set by a proxy, such as `x-forwarded-for`; its last
    /// address counts. Only use it if clients cannot bypass the proxy.
    #[arg(long, value_name = "NAME")]
    pub client_address_header: Option<String>,
}

/// Seconds' worth of events in one burst: what a phone sends after a moment without network.
pub(crate) const BURST_SECONDS: u32 = 3;
/// Websocket frames that are read for each allowed event. The surplus is for pings, and for events
/// over the limit, which must be read to be refused at once.
const FRAMES_PER_EVENT: f64 = 2.0;

impl Limits {
    /// The rate of one player's events.
    pub(crate) fn events(&self) -> Quota {
        Quota::new(self.events_per_second.get(), BURST_SECONDS)
    }

    /// The rate of frames at which a websocket is throttled.
    pub(crate) fn frames(&self) -> Quota {
        self.events().times(FRAMES_PER_EVENT)
    }
}
