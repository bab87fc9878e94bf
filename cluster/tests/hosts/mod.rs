//! Rooms on hosts: real hosts and lobbies, on loopback or in network namespaces.

mod adoption;
mod failures;
mod link;
mod partitions;
mod rooms;
