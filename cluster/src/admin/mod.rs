//! What the lobby offers to those who run it. On its own port its health, and in development its
//! log; at `--admin` the metrics, and a page that shows rooms and acts on them.

mod access;
mod development;
pub(crate) mod health;
mod metrics;
mod page;

use crate::admin::access::Access;
use crate::config::Settings;
use crate::lobby::Lobby;
use crate::lobby::process::AdminRoutes;

/// Fails if the routes could not start with these settings.
pub(crate) fn routes<L: Lobby>(settings: &Settings) -> anyhow::Result<AdminRoutes<L>> {
    let (access, dev) = (Access::new(settings.admin_token_file.as_deref())?, settings.dev);
    Ok(Box::new(move |watched| {
        let health = health::routes(watched.lobby.clone());
        let public = health.clone().merge(development::routes(dev, watched.lobby.clone()));
        let private = health.merge(page::routes(watched.lobby.clone()));
        (public, access.protect(private.merge(metrics::routes(watched))).merge(page::files()))
    }))
}
