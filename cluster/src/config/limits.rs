//! How much a client may take: what is over a limit is refused, and says which. Lobby and rooms keep to the
//! same limits; the defaults suit a public game of some hundred players.

use std::{num::NonZeroU32, time::Duration};

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::{
    config::parse::{Size, duration},
    runtime::token_bucket::Quota,
};

/// Limits for one connection, one player, one address.
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
#[command(next_help_heading = "Limits, for the lobby and for each room")]
pub struct Limits {
    /// Connections at once; one more waits to be accepted, and gets status 429 where it was handed to a
    /// room. Fewer if the limit on open files is low.
    #[arg(long, env = "CLUSTER_MAX_CONNECTIONS", default_value = "10000")]
    pub max_connections: NonZeroU32,

    /// Connections at once from one address (IPv6: one /64 network); one more gets status 429. This
    /// machine itself has no limit by address.
    #[arg(long, env = "CLUSTER_MAX_CONNECTIONS_PER_ADDRESS", default_value = "200")]
    pub max_connections_per_address: NonZeroU32, // a school behind one address plays

    /// New Socket.IO connections to the lobby in a second from one player, in the mean; ten seconds' worth
    /// may come at once. One more is refused with `too_fast`. In a room each ticket is good for one.
    #[arg(long, env = "CLUSTER_CONNECTS_PER_SECOND", default_value = "2")]
    pub connects_per_second: NonZeroU32, // two windows that fight for a place make one

    /// The same from one address, to the lobby and to each room.
    #[arg(long, env = "CLUSTER_CONNECTS_PER_SECOND_PER_ADDRESS", default_value = "50")]
    pub connects_per_second_per_address: NonZeroU32, // the school's room has died

    /// Events in a second from one player, in the mean; three seconds' worth may come at once. One more is
    /// refused with `too_fast`, and who goes on like that is read more slowly than he speaks.
    #[arg(long, env = "CLUSTER_EVENTS_PER_SECOND", default_value = "100")]
    pub events_per_second: NonZeroU32, // an input for each picture of a game at 60 Hz, and some more

    /// The same for all from one address together, in the lobby.
    #[arg(long, env = "CLUSTER_EVENTS_PER_SECOND_PER_ADDRESS", default_value = "2000")]
    pub events_per_second_per_address: NonZeroU32, // the school asks for its rooms

    /// The largest event from a browser. A larger one is refused with `too_large`, one four times as
    /// large ends the connection.
    #[arg(long, env = "CLUSTER_MAX_MESSAGE", default_value = "64k")]
    pub max_message: Size, // a picture of a hundred pixels square

    /// Events of one connection that wait for a hook, or for an answer that takes its time; each 4k
    /// of one counts like one more. One too many is refused with `too_fast` and ends the connection.
    #[arg(long, env = "CLUSTER_MAX_WAITING", default_value = "1024")]
    pub max_waiting: NonZeroU32, // a quick player survives a hook that takes some seconds

    /// Packets that wait to be written to one browser; one more, and it counts as gone.
    #[arg(long, env = "CLUSTER_MAX_UNSENT", default_value = "1024")]
    pub max_unsent: NonZeroU32, // ten seconds of a room that sends a hundred a second

    /// How long a client may take for a request's first line, and again for its headers; a connection
    /// without a request is closed after this as well.
    #[arg(long, env = "CLUSTER_HEADER_TIMEOUT", default_value = "10s", value_parser = duration)]
    pub header_timeout: Duration, // a slow phone network takes less

    /// How long a websocket may take to say who it is.
    #[arg(long, env = "CLUSTER_CONNECT_TIMEOUT", default_value = "10s", value_parser = duration)]
    pub connect_timeout: Duration, // the same

    /// How often a browser is asked whether it lives.
    #[arg(long, env = "CLUSTER_PING_INTERVAL", default_value = "4s", value_parser = duration)]
    pub ping_interval: Duration, // with the next: nobody is a ghost for ten seconds

    /// How long its answer may take; then it counts as gone.
    #[arg(long, env = "CLUSTER_PING_TIMEOUT", default_value = "4s", value_parser = duration)]
    pub ping_timeout: Duration,

    /// The header in which a proxy in front says whose request it is, such as `x-forwarded-for` (the
    /// last address in it counts). Without this the client's address is the connection's. Only set it
    /// if no client can come past the proxy.
    #[arg(long, env = "CLUSTER_CLIENT_ADDRESS_HEADER", value_name = "NAME")]
    pub client_address_header: Option<String>,
}

/// So many seconds' worth of events may come at once: what a phone has to say after a moment without network.
const SECONDS_AT_ONCE: u32 = 3;
/// Frames of a websocket for each event that may come: as many again for what is refused, so that it is told at once, and
/// for pings and the like.
const FRAMES_PER_EVENT: f64 = 2.0;

impl Limits {
    /// Events of one player.
    pub(crate) fn events(&self) -> Quota {
        Quota::new(self.events_per_second.get(), SECONDS_AT_ONCE)
    }

    /// Events of all connections from one address.
    pub(crate) fn events_per_address(&self) -> Quota {
        Quota::new(self.events_per_second_per_address.get(), SECONDS_AT_ONCE)
    }

    /// Frames of a websocket that is read at full speed.
    pub(crate) fn frames(&self) -> Quota {
        self.events().times(FRAMES_PER_EVENT)
    }
}
