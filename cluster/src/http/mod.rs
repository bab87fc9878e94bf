//! HTTP for the lobby and for rooms: serving, limits, the checks of each request, the pages.

mod assets;
pub(crate) mod connection_limits;
mod frame_counter;
pub(crate) mod origin;
pub(crate) mod pages;
pub(crate) mod server;
pub(crate) mod throttled_stream;
