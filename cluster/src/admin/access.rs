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
use axum::{Router, middleware};
use tokio::time::Instant;

use crate::http::ClientAddress;
use crate::runtime::{FailureCounter, KeyedRateLimiter, Quota};

/// A shorter token could be guessed.
const MIN_TOKEN: usize = 16;
/// Wrong tokens from one address: one a second, ten at once. Beyond that, right ones are refused
/// too.
const WRONG: Quota = Quota::new(1, 10);
static REJECTED: FailureCounter = FailureCounter::new("wrong tokens at --admin");

#[derive(Clone)]
pub(super) struct Access {
    /// `None`: anyone on this machine.
    token: Option<Arc<str>>,
    wrong: Arc<KeyedRateLimiter<IpAddr>>,
}

impl Access {
    pub fn new(file: Option<&Path>) -> anyhow::Result<Access> {
        let read = |file: &Path| {
            let text = fs::read_to_string(file);
            let text = text.with_context(|| format!("cannot read --admin-token-file {file:?}"))?;
            let token = text.trim();
            let is_long = token.len() >= MIN_TOKEN;
            ensure!(is_long, "{file:?}: a token has at least {MIN_TOKEN} characters");
            Ok(token.into())
        };
        let wrong = Arc::new(KeyedRateLimiter::new(WRONG));
        Ok(Access { token: file.map(read).transpose()?, wrong })
    }

    pub fn protect(self, routes: Router) -> Router {
        routes.layer(middleware::from_fn_with_state(self, check))
    }

    fn check(&self, request: &Request) -> Result<(), StatusCode> {
        let Some(token) = &self.token else { return Ok(()) };
        let address = request.extensions().get::<ClientAddress>().and_then(|address| address.0);
        let address = address.unwrap_or(Ipv4Addr::LOCALHOST.into());
        if !self.wrong.would_allow(&address, Instant::now()) {
            return Err(StatusCode::TOO_MANY_REQUESTS);
        }
        let header = request.headers().get(AUTHORIZATION);
        let given = header.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        if given.is_some_and(|given| is_same(given.trim().as_bytes(), token.as_bytes())) {
            return Ok(());
        }
        self.wrong.allow(&address, Instant::now());
        REJECTED.add();
        Err(StatusCode::UNAUTHORIZED)
    }
}

async fn check(State(access): State<Access>, request: Request, next: Next) -> Response {
    match access.check(&request) {
        Ok(()) => next.run(request).await,
        Err(StatusCode::UNAUTHORIZED) => {
            let wanted = [(WWW_AUTHENTICATE, "Bearer")];
            (StatusCode::UNAUTHORIZED, wanted, "a token is needed\n").into_response()
        }
        Err(status) => (status, "too many wrong tokens\n").into_response(),
    }
}

/// Compares in constant time; only the length shows.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |all, (a, b)| all | a ^ b) == 0
}
