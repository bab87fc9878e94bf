//! In place of `nats.rs`, in a program without the feature `nats`.

use std::convert::Infallible;

use anyhow::bail;
use tokio::sync::mpsc::UnboundedReceiver;

use super::{Change, Term};
use crate::config::Settings;

pub(crate) fn share_key(_: &Settings) -> anyhow::Result<()> {
    bail!("--lease needs a program that is built with the feature `cluster/nats`")
}

/// There is none.
pub(super) struct Lease(Infallible);

impl Lease {
    pub async fn open(settings: &Settings, _: &str) -> anyhow::Result<Lease> {
        share_key(settings).map(|()| unreachable!())
    }

    pub async fn acquire(&mut self) -> Term {
        match self.0 {}
    }

    pub async fn keep(&mut self) {
        match self.0 {}
    }

    pub async fn release(&self) {
        match self.0 {}
    }
}

/// There are none.
pub(super) struct Changes(Infallible);

impl Changes {
    pub async fn open(settings: &Settings) -> anyhow::Result<Changes> {
        share_key(settings).map(|()| unreachable!())
    }

    pub async fn read(&self) -> anyhow::Result<Vec<Change>> {
        match self.0 {}
    }

    pub async fn write(self, _: UnboundedReceiver<Change>) {
        match self.0 {}
    }
}
