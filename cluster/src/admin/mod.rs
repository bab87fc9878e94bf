//! What the lobby offers to those who run it. On its own port its health, and in development its
//! log; at `--admin` the metrics.

mod access;
mod development;
pub(crate) mod health;
mod metrics;

use axum::Router;

use crate::admin::access::Access;
use crate::config::Settings;
use crate::lobby::process::{AdminRoutes, Watched};

pub(crate) const ROUTES: AdminRoutes = AdminRoutes { public, private, check };

fn public(settings: &Settings, watched: &Watched) -> Router {
    let asks = &watched.asks;
    health::routes(asks.clone()).merge(development::routes(settings.dev, asks.clone()))
}

fn private(settings: &Settings, watched: Watched) -> anyhow::Result<Router> {
    let access = Access::new(settings.admin_token_file.as_deref())?;
    Ok(access.protect(health::routes(watched.asks.clone()).merge(metrics::routes(watched))))
}

fn check(settings: &Settings) -> anyhow::Result<()> {
    Access::new(settings.admin_token_file.as_deref()).map(drop)
}
