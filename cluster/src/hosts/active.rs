//! How a lobby becomes the active one of several, with the feature `nats`.

use std::array::from_fn;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use axum::http::StatusCode;
use axum::routing::any;
use cluster_nats::{Changes, Lease};
use futures_util::FutureExt as _;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::host::health;
use super::standby::Active;
use crate::auth::key;
use crate::config::Settings;
use crate::http::{ConnectionLimiter, Server};
use crate::routing::Gateway;

/// Connections to a lobby that stands by: health checks.
const MAX_CONNECTIONS: u32 = 64;

/// How long a lobby that stops waits for its changes to be stored.
const WRITE_TIMEOUT: Duration = Duration::from_secs(2);

/// Stores the key of tokens that all lobbies share in the key file.
pub(crate) fn share_key(settings: &Settings) -> anyhow::Result<()> {
    let (servers, file) = (&settings.hosts.lease, &settings.key_file);
    let own = key::load(file)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let offered = own.unwrap_or_else(rand::random);
    let shared = runtime.block_on(cluster_nats::share_key(servers, offered));
    match own {
        Some(own) => ensure!(own == shared, "{} is not the key in NATS", file.display()),
        None => key::create(file, &shared)?,
    }
    Ok(())
}

/// Waits until this lobby is the active one. Until then it answers all requests but `/healthz` with
/// 503.
pub(super) async fn wait(
    settings: &Settings,
    lobby: &str,
    listener: &Arc<TcpListener>,
) -> anyhow::Result<Active> {
    let mut lease = Lease::open(&settings.hosts.lease, lobby).await;
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

    let [superseded, stop, release] = from_fn(|_| CancellationToken::new());
    let keeping = tokio::spawn(lease.hold(superseded.clone(), release.clone()));
    let followed = Changes::follow(&settings.hosts.lease, settings.token_ttl, stop.clone());
    let followed = superseded.run_until_cancelled(followed).await;
    let (before, changes, writing) = followed.context("another lobby is active")?;
    let released = async move {
        stop.cancel();
        let _ = timeout(WRITE_TIMEOUT, writing).await;
        release.cancel();
        let _ = keeping.await;
    };
    Ok(Active { term, before, changes, superseded, release: released.boxed() })
}
