//! The hosts of a lobby, and its turn to use them: of several lobbies one is active, and the others
//! stand by until its lease is over.

use std::mem::take;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::Context as _;
use axum::http::StatusCode;
use axum::routing::any;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::host::health;
use super::nats::{Changes, Lease};
use super::remote::Hosts;
use super::{Change, Term};
use crate::auth::random_id;
use crate::config::Settings;
use crate::http::pages::HostOrigins;
use crate::http::{ConnectionLimiter, Server};
use crate::process::{ProcessEvent, Starter};
use crate::routing::Gateway;

/// Connections of those who ask whether a lobby that stands by is ready.
const MAX_CONNECTIONS: u32 = 64;
/// The pause before NATS is asked again.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// The hosts of a lobby; none, if its rooms run on this machine.
#[derive(Default)]
pub(crate) struct Fleet {
    pub hosts: Option<Arc<Hosts>>,
    /// Closed when all that were found at first have told of their rooms, or do not answer.
    known: Option<mpsc::Receiver<()>>,
    /// The lease, if there are several lobbies.
    active: Option<Active>,
}

/// What the active lobby has.
pub(crate) struct Active {
    /// Later than those of the lobbies before.
    term: Term,
    /// What they have changed.
    before: Vec<Change>,
    /// Takes the changes of this one.
    changes: mpsc::UnboundedSender<Change>,
    /// Another lobby is active.
    superseded: CancellationToken,
    stop: CancellationToken,
    keeping: JoinHandle<()>,
}

impl Fleet {
    /// Waits until this lobby is the active one, and begins to look for its hosts.
    pub async fn find(
        settings: &Settings,
        listener: &Arc<TcpListener>,
        inbox: mpsc::UnboundedSender<ProcessEvent>,
    ) -> anyhow::Result<Fleet> {
        if !settings.hosts.are_used() {
            return Ok(Fleet::default());
        }
        let (lobby, mut active) = (random_id(), None);
        if !settings.hosts.lease.is_empty() {
            active = Some(Active::wait(settings, &lobby, listener).await?);
        }
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

    /// What earlier lobbies have changed, and what takes the changes of this one.
    pub fn changes(&mut self) -> Option<(Vec<Change>, mpsc::UnboundedSender<Change>)> {
        let active = self.active.as_mut()?;
        Some((take(&mut active.before), active.changes.clone()))
    }

    /// Waits until all hosts that were found at first have told of their rooms, or do not answer.
    pub async fn known(&mut self) {
        if let Some(known) = &mut self.known {
            known.recv().await;
        }
    }

    /// Runs the lobby until it has stopped, and leaves its rooms to the next one. Fails if another
    /// one is active before.
    pub async fn run(self, lobby: impl Future<Output = ()>) -> anyhow::Result<()> {
        let Some(hosts) = self.hosts else {
            lobby.await;
            return Ok(());
        };
        hosts.running.store(true, Relaxed);
        let stopped = hosts.superseded.run_until_cancelled(lobby).await;
        hosts.running.store(false, Relaxed);
        if let Some(active) = self.active {
            active.stop.cancel();
            let _ = active.keeping.await;
        }
        stopped.context("another lobby is active")
    }
}

impl Active {
    /// Waits until this lobby is the active one. Until then its port answers that it is not ready.
    async fn wait(
        settings: &Settings,
        lobby: &str,
        listener: &Arc<TcpListener>,
    ) -> anyhow::Result<Active> {
        let mut lease = Lease::open(settings, lobby).await?;
        let app = health(Arc::default()).fallback_service(any(StatusCode::SERVICE_UNAVAILABLE));
        let server = Server::for_any_host(app, settings, true);
        let gateway = Gateway { server, routes: Arc::default(), hand_off: None };
        let limiter = ConnectionLimiter::new(&settings.limits, MAX_CONNECTIONS)?;
        let accepting = tokio::spawn(gateway.clone().run(listener.clone(), limiter));
        info!(address = %listener.local_addr()?, "standing by");
        let term = lease.acquire().await;
        accepting.abort();
        gateway.server.stop().await;
        info!(?term, "this lobby is active");

        let (superseded, stop) = (CancellationToken::new(), CancellationToken::new());
        let (lost, stopped) = (superseded.clone(), stop.clone());
        let keeping = tokio::spawn(async move {
            tokio::select! {
                () = lease.keep() => lost.cancel(),
                () = stopped.cancelled() => lease.release().await,
            }
        });
        let reading = superseded.run_until_cancelled(read_changes(settings));
        let (kept, before) = reading.await.context("another lobby is active")?;
        let (changes, made) = mpsc::unbounded_channel();
        tokio::spawn(kept.write(made));
        Ok(Active { term, before, changes, superseded, stop, keeping })
    }
}

/// NATS may have answered just now, and not answer for a while.
async fn read_changes(settings: &Settings) -> (Changes, Vec<Change>) {
    loop {
        let read = async {
            let changes = Changes::open(settings).await?;
            let before = changes.read().await?;
            anyhow::Ok((changes, before))
        };
        match read.await {
            Ok(read) => return read,
            Err(error) => {
                warn!(error = format!("{error:#}"), "cannot read from NATS; trying again")
            }
        }
        sleep(RETRY_AFTER).await;
    }
}
