//! The hosts of a lobby, and the lease on them: of several lobbies one is active, and the others
//! stand by until its lease expires.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use anyhow::Context as _;
use futures_util::future::BoxFuture;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Change, Hosts, Term};
use crate::auth::{LinkKey, random_id};
use crate::config::Settings;
use crate::http::pages::HostOrigins;
use crate::process::{ProcessEvent, Starter};

/// The hosts of a lobby; none, if its rooms run on this machine.
#[derive(Default)]
pub(crate) struct Fleet {
    pub hosts: Option<Arc<Hosts>>,
    /// Closed when all that were found at first have reported their rooms, or do not answer.
    pub discovered: Option<mpsc::Receiver<()>>,
    /// The lease, if there are several lobbies.
    pub active: Option<Active>,
}

/// The state of the active lobby.
pub(crate) struct Active {
    /// Greater than those of earlier lobbies.
    pub term: Term,
    /// The changes of earlier lobbies.
    pub before: Vec<Change>,
    /// Stores the changes of this lobby.
    pub changes: mpsc::UnboundedSender<Change>,
    /// Cancelled when another lobby is active.
    pub superseded: CancellationToken,
    /// Waits until all changes are stored, and lets another lobby become active.
    pub release: BoxFuture<'static, ()>,
}

/// Rooms that a running lobby drops are killed. This leaves them when it stops, or panics.
struct LeaveRooms<'a>(&'a Hosts);

impl Drop for LeaveRooms<'_> {
    fn drop(&mut self) {
        self.0.leave_rooms();
    }
}

impl Fleet {
    /// Waits until this lobby is the active one, and starts to discover its hosts.
    #[cfg_attr(not(feature = "nats"), expect(unused_variables, reason = "one lobby never waits"))]
    pub async fn find(
        settings: &Settings,
        listener: &Arc<TcpListener>,
        inbox: mpsc::UnboundedSender<ProcessEvent>,
    ) -> anyhow::Result<Fleet> {
        if !settings.hosts.are_used() {
            return Ok(Fleet::default());
        }
        let lobby = random_id();
        // Read before it waits, as the key of its tokens was: the file may change.
        let key = LinkKey::new(&LinkKey::derived_from(&settings.key_file)?);
        let active: Option<Active> = match &settings.hosts.lease[..] {
            #[cfg(feature = "nats")]
            [_, ..] => Some(super::active::wait(settings, &lobby, listener).await?),
            _ => None,
        };
        let lease = active.as_ref().map(|active| (active.term, active.superseded.clone()));
        let (hosts, discovered) =
            Hosts::start(settings, key, lobby, lease.unwrap_or_default(), inbox);
        Ok(Fleet { hosts: Some(hosts), discovered: Some(discovered), active })
    }

    /// A function that starts rooms on hosts.
    pub fn starter(&self) -> Option<Starter> {
        let hosts = self.hosts.clone()?;
        Some(Box::new(move |_| hosts.start_room()))
    }

    /// The origins at which browsers reach rooms.
    pub fn origins(&self) -> HostOrigins {
        let hosts = self.hosts.clone();
        Arc::new(move || hosts.iter().flat_map(|hosts| hosts.origins()).collect())
    }

    /// Runs the lobby until it has stopped, and leaves its rooms to the next one. Fails if another
    /// one is active before.
    pub async fn run(self, lobby: impl Future<Output = ()>) -> anyhow::Result<()> {
        let Some(hosts) = self.hosts else {
            lobby.await;
            return Ok(());
        };
        hosts.running.store(true, Relaxed);
        let leave_rooms = LeaveRooms(&hosts);
        let stopped = hosts.superseded.run_until_cancelled(lobby).await;
        drop(leave_rooms);
        if let Some(active) = self.active {
            active.release.await;
        }
        stopped.context("another lobby is active")
    }
}
