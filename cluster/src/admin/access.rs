//! Access to the endpoints at `--admin`: those who have the token.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tokio::time::Instant;

use crate::auth::is_same;
use crate::http::ClientAddress;
use crate::runtime::{FailureCounter, KeyedRateLimiter, Quota};

/// A shorter token could be guessed.
const MIN_TOKEN: usize = 16;
/// Wrong tokens from one address: one a second, ten at once. Beyond that, right ones are refused
/// too.
const WRONG: Quota = Quota::new(1, 10);
static REJECTED: FailureCounter = FailureCounter::new("wrong tokens at --admin");

pub(super) struct Access {
    token: String,
    wrong: KeyedRateLimiter<IpAddr>,
}

/// Reads the token from this file.
pub(super) fn open(file: &Path) -> anyhow::Result<Arc<Access>> {
    let text = fs::read_to_string(file);
    let text = text.with_context(|| format!("cannot read --admin-token-file {file:?}"))?;
    let token = text.trim().to_owned();
    let is_long = token.len() >= MIN_TOKEN;
    ensure!(is_long, "{file:?}: a token has at least {MIN_TOKEN} characters");
    Ok(Arc::new(Access { token, wrong: KeyedRateLimiter::new(WRONG) }))
}

/// Answers requests that have the token. `None`: anyone's on this machine.
pub(super) async fn check(
    State(access): State<Option<Arc<Access>>>,
    request: Request,
    next: Next,
) -> Response {
    let Some(Access { token, wrong }) = access.as_deref() else { return next.run(request).await };
    let address = request.extensions().get::<ClientAddress>().and_then(|address| address.0);
    let address = address.unwrap_or(Ipv4Addr::LOCALHOST.into());
    if !wrong.would_allow(&address, Instant::now()) {
        return (StatusCode::TOO_MANY_REQUESTS, "too many wrong tokens\n").into_response();
    }
    let header = request.headers().get(AUTHORIZATION);
    let given = header.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    if given.is_some_and(|given| is_same(given.trim(), token)) {
        return next.run(request).await;
    }
    wrong.allow(&address, Instant::now());
    REJECTED.add();
    let wanted = [(WWW_AUTHENTICATE, "Bearer")];
    (StatusCode::UNAUTHORIZED, wanted, "a token is needed\n").into_response()
}
