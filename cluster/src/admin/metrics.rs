//! `/metrics`, in Prometheus' text format. Nothing has a label of a room or a player: there may be
//! any number of them.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;

use crate::admin::health::ask;
use crate::lobby::event_loop::Figures;
use crate::lobby::process::Watched;
use crate::lobby::{Lobby, LobbyContext};
use crate::logging::lost_lines;
use crate::socketio::REFUSALS;

pub(super) fn routes<L: Lobby>(watched: Watched<L>) -> Router {
    Router::new().route("/metrics", get(metrics)).with_state(Arc::new(watched))
}

async fn metrics<L: Lobby>(State(watched): State<Arc<Watched<L>>>) -> Response {
    match ask(&watched.lobby, LobbyContext::figures).await {
        Some(figures) => {
            let headers = [(CONTENT_TYPE, "text/plain; version=0.0.4")];
            (headers, render(&watched, figures)).into_response()
        }
        None => (StatusCode::SERVICE_UNAVAILABLE, "busy\n").into_response(),
    }
}

fn render<L>(watched: &Watched<L>, figures: Figures) -> String {
    let Figures { rooms, players, lag } = figures;
    let Watched { routes, connections, tokens, .. } = watched;
    let mut page = Page::default();
    let version = BTreeMap::from([(env!("CARGO_PKG_VERSION"), 1)]);
    page.gauge("build_info", "Always 1. The version of the structure.", by("version", version));
    let open = one(connections.open());
    page.gauge("connections", "Connections to the lobby, relayed ones included.", open);
    page.gauge("players", "Players, by where they are.", by("place", players));
    page.gauge("rooms", "Rooms, by kind and state.", by_two(["kind", "state"], rooms.rooms));
    page.gauge("seats", "Seats of all rooms.", by("kind", rooms.seats));
    page.gauge("seats_taken", "Seats that players have.", by("kind", rooms.seats_taken));
    page.counter("rooms_started", "Rooms created.", by("kind", rooms.started));
    let ended = by_two(["kind", "how"], rooms.ended);
    page.counter("rooms_ended", "Rooms that have ended, by how.", ended);
    let cpu = rooms.cpu.into_iter().map(|(kind, cpu)| (kind, cpu.as_secs_f64())).collect();
    page.counter("rooms_cpu_seconds", "Processor time of all rooms.", by("kind", cpu));
    page.gauge("rooms_memory_bytes", "Resident memory of all rooms.", by("kind", rooms.memory));
    let refusals = by("code", REFUSALS.get());
    page.counter("refusals", "Requests that the lobby has refused.", refusals);
    let handed_off = one(routes.handed_off.load(Relaxed));
    page.counter("handed_off", "Connections handed off to rooms.", handed_off);
    let relayed = one(routes.relayed.load(Relaxed));
    page.counter("relayed", "Connections relayed to rooms.", relayed);
    let invalid = one(tokens.rejected.count.load(Relaxed));
    page.counter("invalid_tokens", "Forged or logged-out tokens.", invalid);
    page.counter("log_lines_lost", "Log lines that stdout did not take.", one(lost_lines()));
    let help = "How late the event loop was at most, since the last time that this was read.";
    page.gauge("loop_lag_seconds", help, one(lag.as_secs_f64()));
    page.0
}

/// Labels as they are written, and a value.
type Sample = (String, String);

fn one(value: impl Display) -> Vec<Sample> {
    vec![(String::new(), value.to_string())]
}

fn by(label: &str, values: BTreeMap<impl AsRef<str>, impl Display>) -> Vec<Sample> {
    let labels = |name: &str| format!(r#"{{{label}="{}"}}"#, escape(name));
    values.iter().map(|(name, value)| (labels(name.as_ref()), value.to_string())).collect()
}

fn by_two([first, second]: [&str; 2], values: BTreeMap<(&str, &str), u64>) -> Vec<Sample> {
    let labels = |(a, b)| format!(r#"{{{first}="{}",{second}="{}"}}"#, escape(a), escape(b));
    values.into_iter().map(|(names, value)| (labels(names), value.to_string())).collect()
}

#[derive(Default)]
struct Page(String);

impl Page {
    fn gauge(&mut self, name: &str, help: &str, samples: Vec<Sample>) {
        self.family(&format!("cluster_{name}"), "gauge", help, samples);
    }

    fn counter(&mut self, name: &str, help: &str, samples: Vec<Sample>) {
        self.family(&format!("cluster_{name}_total"), "counter", help, samples);
    }

    fn family(&mut self, name: &str, kind: &str, help: &str, samples: Vec<Sample>) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in samples {
            let _ = writeln!(self.0, "{name}{labels} {value}");
        }
    }
}

/// A code of a hook's refusal may hold anything.
fn escape(text: &str) -> String {
    text.replace('\\', r"\\").replace('\n', r"\n").replace('"', r#"\""#)
}
