//! Settings for rooms on other machines.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::ensure;
use clap::Args;
use serde::{Deserialize, Serialize};

use crate::config::parse::duration;

/// Settings for rooms on other machines, of the lobby and of `server host`.
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
#[command(next_help_heading = "Hosts")]
pub struct HostSettings {
    /// Addresses at which hosts listen for this lobby, separated by commas, such as
    /// `10.0.0.5:3001`. A name, as in `hosts.internal:3001`, may stand for several, and is looked
    /// up again every two seconds; `nats` stands for the hosts with `--lease`. All rooms run on
    /// hosts then.
    #[arg(long = "hosts", id = "hosts", value_name = "ADDRESSES", value_delimiter = ',')]
    pub addresses: Vec<String>,

    /// Servers of NATS, separated by commas, such as `nats://10.0.0.7:4222`, through which several
    /// lobbies agree on the active one; the others stand by. `server host` announces itself there.
    /// Needs the feature `nats`.
    #[arg(long, value_delimiter = ',')]
    pub lease: Vec<String>,

    /// `server host`: the host's name, such as `h1`. By default that of the machine.
    #[arg(long)]
    pub name: Option<String>,

    /// `server host`: address at which it listens for its lobby. Links are not encrypted: they
    /// belong in a private network.
    #[arg(long, default_value = "127.0.0.1:3001")]
    pub link: SocketAddr,

    /// `server host`: file with the key of links, as `server link-key` prints it on the lobby's
    /// machine.
    #[arg(long, default_value = "link.key")]
    pub link_key_file: PathBuf,

    /// `server host`: how long rooms go on when the process of their lobby has ended. The next one
    /// takes them over; if none comes, they are closed.
    #[arg(long, default_value = "30s", value_parser = duration)]
    pub orphan_grace: Duration,
}

impl HostSettings {
    /// Of a lobby.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let fits = self.lease.is_empty() || self.are_used();
        ensure!(fits, "--lease needs --hosts: rooms outlive their lobby only there");
        let is_known = !self.addresses.iter().any(|it| Self::are_in_nats(it));
        ensure!(is_known || !self.lease.is_empty(), "--hosts nats needs --lease");
        self.check_lease()
    }

    pub(crate) fn check_lease(&self) -> anyhow::Result<()> {
        let is_built = self.lease.is_empty() || cfg!(feature = "nats");
        ensure!(is_built, "--lease needs a program that is built with the feature `cluster/nats`");
        Ok(())
    }

    /// Whether one of `--hosts` stands for those that have told NATS where they are.
    pub(crate) fn are_in_nats(hosts: &str) -> bool {
        hosts == "nats"
    }

    /// Whether rooms run on hosts.
    pub(crate) fn are_used(&self) -> bool {
        !self.addresses.is_empty()
    }
}
