//! The hosts of a lobby, and its turn to use them: of several lobbies one is active, and the others
//! stand by until its lease is over.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{Change, Hosts, Term};
use crate::auth::random_id;
use crate::config::Settings;
use crate::http::pages::HostOrigins;
use crate::process::{ProcessEvent, Starter};

/// How long a lobby that stops waits until its changes are written down.
const WRITE_TIMEOUT: Duration = Duration::from_secs(2);

/// The hosts of a lobby; none, if its rooms run on this machine.
#[derive(Default)]
pub(crate) struct Fleet {
    pub hosts: Option<Arc<Hosts>>,
    /// Closed when all that were found at first have told of their rooms, or do not answer.
    pub known: Option<mpsc::Receiver<()>>,
    /// The lease, if there are several lobbies.
    pub active: Option<Active>,
}

/// What the active lobby has.
pub(crate) struct Active {
    /// Later than those of the lobbies before.
    pub term: Term,
    /// What they have changed.
    pub before: Vec<Change>,
    /// Takes the changes of this one.
    pub changes: mpsc::UnboundedSender<Change>,
    /// Another lobby is active.
    pub superseded: CancellationToken,
    /// Ends `writing`, when all changes are written down.
    pub stop: CancellationToken,
    pub writing: JoinHandle<()>,
    /// Ends `keeping`: another lobby may be active.
    pub release: CancellationToken,
    pub keeping: JoinHandle<()>,
}

/// While the lobby runs, rooms that it drops are killed. They are not when it panics.
struct Running<'a>(&'a Hosts);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.leave_rooms();
    }
}

impl Fleet {
    /// Waits until this lobby is the active one, and begins to look for its hosts.
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
        let active: Option<Active> = match &settings.hosts.lease[..] {
            #[cfg(feature = "nats")]
            [_, ..] => Some(super::active::wait(settings, &lobby, listener).await?),
            _ => None,
        };
        let turn = active.as_ref().map(|active| (active.term, active.superseded.clone()));
        let (hosts, known) = Hosts::start(settings, lobby, turn.unwrap_or_default(), inbox)?;
        Ok(Fleet { hosts: Some(hosts), known: Some(known), active })
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
        let running = Running(&hosts);
        let stopped = hosts.superseded.run_until_cancelled(lobby).await;
        drop(running);
        if let Some(active) = self.active {
            active.stop.cancel();
            let _ = timeout(WRITE_TIMEOUT, active.writing).await;
            active.release.cancel();
            let _ = active.keeping.await;
        }
        stopped.context("another lobby is active")
    }
}
