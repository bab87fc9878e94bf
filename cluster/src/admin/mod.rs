//! What the lobby offers to those who run it. On its own port its health, and in development its
//! log; at `--admin` the metrics, and a page that shows rooms and acts on them.

mod access;
mod development;
pub(crate) mod health;
mod metrics;
mod page;

use axum::middleware::from_fn_with_state;

use crate::config::Settings;
use crate::lobby::Lobby;
use crate::lobby::process::AdminRoutes;

/// Fails if the routes could not start with these settings.
pub(crate) fn routes<L: Lobby>(settings: &Settings) -> anyhow::Result<AdminRoutes<L>> {
    let access = settings.admin_token_file.as_deref().map(access::open).transpose()?;
    let (access, dev) = (from_fn_with_state(access, access::check), settings.dev);
    Ok(Box::new(move |lobby, connections| {
        let public = health::routes().merge(development::routes(dev)).with_state(lobby.clone());
        let private = health::routes().merge(page::routes()).with_state(lobby.clone());
        let private = private.merge(metrics::routes(lobby, connections)).layer(access);
        (public, private.merge(page::files()))
    }))
}
