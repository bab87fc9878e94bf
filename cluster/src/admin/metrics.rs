//! `/metrics`, in Prometheus' text format. Nothing has a label of a room or a player: there may be
//! any number of them.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::sync::atomic::Ordering::Relaxed;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;

use crate::admin::health::ask;
use crate::lobby::Ask;
use crate::lobby::event_loop::Figures;
use crate::lobby::process::Watched;
use crate::logging::lost_lines;
use crate::socketio::REFUSALS;

pub(super) fn routes(watched: Watched) -> Router {
    Router::new().route("/metrics", get(metrics)).with_state(watched)
}

async fn metrics(State(watched): State<Watched>) -> Response {
    match ask(&watched.asks, Ask::Figures).await {
        Some(figures) => {
            let headers = [(CONTENT_TYPE, "text/plain; version=0.0.4")];
            (headers, render(&watched, figures)).into_response()
        }
        None => (StatusCode::SERVICE_UNAVAILABLE, "busy\n").into_response(),
    }
}

fn render(watched: &Watched, figures: Figures) -> String {
    let Figures { rooms, players, lag } = figures;
    let Watched { routes, connections, tokens, .. } = watched;
    let mut page = Page::default();
    let version = BTreeMap::from([(env!("CARGO_PKG_VERSION"), 1)]);
    page.gauge("build_info", "Always 1. The version of the structure.", by("version", version));
    page.gauge(
        "connections",
        "Connections to the lobby, relayed ones included.",
        one(connections.open()),
    );
    page.gauge("players", "Players, by where they are.", by("place", players));
    page.gauge("rooms", "Rooms, by kind and state.", by_two(["kind", "state"], rooms.rooms));
    page.gauge("seats", "Seats of all rooms.", by("kind", rooms.seats));
    page.gauge("seats_taken", "Seats that players have.", by("kind", rooms.seats_taken));
    page.counter("rooms_started", "Rooms created.", by("kind", rooms.started));
    page.counter(
        "rooms_ended",
        "Rooms that have ended, by how.",
        by_two(["kind", "how"], rooms.ended),
    );
    let cpu = rooms.cpu.into_iter().map(|(kind, cpu)| (kind, cpu.as_secs_f64())).collect();
    page.counter("rooms_cpu_seconds", "Processor time of all rooms.", by("kind", cpu));
    page.gauge("rooms_memory_bytes", "Resident memory of all rooms.", by("kind", rooms.memory));
    let refusals = REFUSALS.get();
    page.counter("refusals", "Requests that the lobby has refused.", by("code", refusals));
    let (handed_off, relayed) = (routes.handed_off.load(Relaxed), routes.relayed.load(Relaxed));
    page.counter("handed_off", "Connections handed off to rooms.", one(handed_off));
    page.counter("relayed", "Connections relayed to rooms.", one(relayed));
    page.counter(
        "invalid_tokens",
        "Forged or logged-out tokens.",
        one(tokens.rejected.count.load(Relaxed)),
    );
    page.counter("log_lines_lost", "Log lines that stdout did not take.", one(lost_lines()));
    let help = "How late the event loop was at most, since the last time that this was read.";
    page.gauge("loop_lag_seconds", help, one(lag.as_secs_f64()));
    page.0
}

/// A value with its labels.
type Sample<const N: usize> = ([(&'static str, String); N], String);

fn one(value: impl Display) -> Vec<Sample<0>> {
    vec![([], value.to_string())]
}

fn by(label: &'static str, values: BTreeMap<impl Into<String>, impl Display>) -> Vec<Sample<1>> {
    let sample = |(name, value): (_, _)| ([(label, Into::into(name))], ToString::to_string(&value));
    values.into_iter().map(sample).collect()
}

fn by_two(labels: [&'static str; 2], values: BTreeMap<(&str, &str), u64>) -> Vec<Sample<2>> {
    let [first, second] = labels;
    let sample = |((a, b), value): ((&str, &str), u64)| {
        ([(first, a.to_owned()), (second, b.to_owned())], value.to_string())
    };
    values.into_iter().map(sample).collect()
}

#[derive(Default)]
struct Page(String);

impl Page {
    fn gauge<const N: usize>(&mut self, name: &str, help: &str, samples: Vec<Sample<N>>) {
        self.family(&format!("cluster_{name}"), "gauge", help, samples);
    }

    fn counter<const N: usize>(&mut self, name: &str, help: &str, samples: Vec<Sample<N>>) {
        self.family(&format!("cluster_{name}_total"), "counter", help, samples);
    }

    fn family<const N: usize>(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        samples: Vec<Sample<N>>,
    ) {
        let page = &mut self.0;
        let _ = writeln!(page, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in samples {
            let labels = labels.map(|(label, text)| format!("{label}=\"{}\"", escape(&text)));
            let labels = if N == 0 { String::new() } else { format!("{{{}}}", labels.join(",")) };
            let _ = writeln!(page, "{name}{labels} {value}");
        }
    }
}

/// A code of a hook's refusal may hold anything.
fn escape(text: &str) -> String {
    text.replace('\\', r"\\").replace('\n', r"\n").replace('"', r#"\""#)
}
