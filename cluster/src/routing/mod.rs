//! How a connection comes to its room through the one public port: handed off, or relayed.

pub(crate) mod gateway;
pub(crate) mod relay;
