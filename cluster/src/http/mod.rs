//! HTTP for the lobby and for rooms: serving, limits, the checks of each request, the pages.

mod connection_limits;
mod files;
mod frame_counter;
mod origin;
pub(crate) mod pages;
mod server;
mod throttled_stream;

pub(crate) use self::connection_limits::{
    CONNECT_BURST, ClientAddress, ConnectionLimiter, ConnectionPermit,
};
pub(crate) use self::server::{MAX_HEADER_BYTES, STOP_GRACE, Server, bind};
pub(crate) use self::throttled_stream::Hangup;
