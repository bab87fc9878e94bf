//! Reaches the lobby's event loop from routes, which run on other threads.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use tokio::sync::{mpsc, oneshot};

use crate::lobby::{Lobby, LobbyContext};
use crate::types::Refusal;

/// Calls that wait for the loop. Further callers wait for a place.
const MAX_QUEUED: usize = 256;

/// A call of a route, for the event loop.
pub(crate) type RouteCall<L> = Box<dyn FnOnce(&mut L, &LobbyContext<L>) + Send>;

/// Asks the lobby's event loop from a route: [`Lobby::routes`] gets it. Clones ask the same loop.
pub struct LobbyHandle<L>(mpsc::Sender<RouteCall<L>>);

impl<L> Clone for LobbyHandle<L> {
    fn clone(&self) -> Self {
        LobbyHandle(self.0.clone())
    }
}

impl<L: Lobby> LobbyHandle<L> {
    pub(crate) fn new() -> (Self, mpsc::Receiver<RouteCall<L>>) {
        let (calls, queue) = mpsc::channel(MAX_QUEUED);
        (LobbyHandle(calls), queue)
    }

    /// Calls a function with the lobby's state, between two hooks, and waits for its result. Like a
    /// hook, the function must not block. If 256 calls are queued, this one waits for a place.
    ///
    /// # Errors
    /// - `stopping`: the lobby is stopping
    /// - `internal`: the function panicked; the log says why
    pub async fn call<T: Send + 'static>(
        &self,
        call: impl FnOnce(&mut L, &LobbyContext<L>) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let (answer, result) = oneshot::channel();
        let call = move |lobby: &mut L, context: &LobbyContext<L>| {
            // Fails if the route's client has gone away.
            let _ = answer.send(call(lobby, context));
        };
        self.0.send(Box::new(call)).await.map_err(|_| Refusal::STOPPING)?;
        let stopped = || self.0.is_closed().then_some(Refusal::STOPPING);
        result.await.map_err(|_| stopped().unwrap_or(Refusal::INTERNAL))
    }
}

/// As the answer of a route: `{ code, message }` with status 400, or 500 and 503 for `internal` and
/// `stopping`.
impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = match self.code() {
            "internal" => StatusCode::INTERNAL_SERVER_ERROR,
            "stopping" => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_REQUEST,
        };
        (status, Json(self)).into_response()
    }
}
