//! The hosts of a lobby, and its turn to use them: of several lobbies one is active, and the others
//! stand by until its lease is over.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::routing::any;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::host::health;
use super::nats::{Changes, Lease};
use super::remote::Hosts;
use super::{Change, Term};
use crate::auth::random_id;
use crate::config::Settings;
use crate::http::{ConnectionLimiter, Server};
use crate::process::ProcessEvent;
use crate::routing::Gateway;

/// Connections of those who ask whether a lobby that stands by is ready.
const MAX_CONNECTIONS: u32 = 64;

/// The hosts of a lobby.
pub(crate) struct Fleet {
    pub hosts: Arc<Hosts>,
    /// Closed when all that were found at first have told of their rooms, or do not answer.
    pub known: mpsc::Receiver<()>,
    /// The lease, if there are several lobbies.
    pub active: Option<Active>,
}

/// What the active lobby has.
pub(crate) struct Active {
    /// Later than those of the lobbies before.
    term: Term,
    /// What they have changed.
    pub before: Vec<Change>,
    /// Takes the changes of this one.
    pub changes: mpsc::UnboundedSender<Change>,
    /// Another lobby is active.
    superseded: CancellationToken,
    stop: CancellationToken,
    keeping: JoinHandle<()>,
}

impl Fleet {
    /// Waits until this lobby is the active one, and begins to look for its hosts. `None`: rooms
    /// run on this machine.
    pub async fn find(
        settings: &Settings,
        listener: &Arc<TcpListener>,
        inbox: mpsc::UnboundedSender<ProcessEvent>,
    ) -> anyhow::Result<Option<Fleet>> {
        if !settings.hosts.are_used() {
            return Ok(None);
        }
        let (lobby, mut active) = (random_id(), None);
        if !settings.hosts.lease.is_empty() {
            active = Some(Active::wait(settings, &lobby, listener).await?);
        }
        let (term, superseded) = match &active {
            Some(active) => (active.term, active.superseded.clone()),
            None => Default::default(),
        };
        let (hosts, known) = Hosts::start(settings, (lobby, term), superseded, inbox)?;
        Ok(Some(Fleet { hosts, known, active }))
    }

    /// Leaves the rooms to the next lobby, which may be active at once.
    pub async fn leave(self) {
        self.hosts.leave_rooms();
        if let Some(active) = self.active {
            active.stop.cancel();
            let _ = active.keeping.await;
        }
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
        let kept = Changes::open(settings).await?;
        let before = kept.read().await?;
        let (changes, made) = mpsc::unbounded_channel();
        tokio::spawn(kept.write(made));
        Ok(Active { term, before, changes, superseded, stop, keeping })
    }
}
