//! How a connection to the public port reaches its room: handed off, or relayed.

pub(crate) mod gateway;
pub(crate) mod relay;

pub(crate) use self::gateway::{Gateway, GatewayRoutes};
