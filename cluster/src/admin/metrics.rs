//! `/metrics`, in Prometheus' text format. Nothing has a label of a room or a player: there may be
//! any number of them.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;

use crate::admin::health::{Busy, ask};
use crate::hosts::HostFigures;
use crate::http::ConnectionLimiter;
use crate::lobby::{Lobby, LobbyContext, LobbyHandle};
use crate::logging::LOST_LINES;
use crate::socketio::REFUSALS;

pub(super) fn routes<L: Lobby>(
    lobby: LobbyHandle<L>,
    connections: Arc<ConnectionLimiter>,
) -> Router {
    Router::new().route("/metrics", get(metrics)).with_state((lobby, connections))
}

async fn metrics<L: Lobby>(
    State((lobby, connections)): State<(LobbyHandle<L>, Arc<ConnectionLimiter>)>,
) -> Result<impl IntoResponse, Busy> {
    let open = connections.open();
    let page = ask(&lobby, move |lobby| render(lobby, open)).await?;
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4")], page))
}

fn render<L: Lobby>(lobby: &LobbyContext<L>, connections: u32) -> String {
    let names = ["lobby", "on_the_way", "room", "away"];
    let mut players = BTreeMap::from(names.map(|name| (name, 0)));
    for place in lobby.known_players().iter().filter_map(|id| lobby.find(id)) {
        *players.entry(place.shown().0).or_default() += 1_u64;
    }
    let registry = lobby.rooms.borrow();
    let rooms = registry.figures();
    let version = BTreeMap::from([(env!("CARGO_PKG_VERSION"), 1)]);
    let connections = one(connections);
    let ended = by_two(["kind", "how"], rooms.ended);
    let cpu = rooms.cpu.into_iter().map(|(kind, cpu)| (kind, cpu.as_secs_f64())).collect();
    let refusals = by("code", REFUSALS.get());
    let handed_off = one(registry.routes.handed_off.load(Relaxed));
    let relayed = one(registry.routes.relayed.load(Relaxed));
    let invalid = one(lobby.tokens.rejected.count.load(Relaxed));
    let lost = one(LOST_LINES.load(Relaxed));
    let lag = one(lobby.scheduler.lag.take().as_secs_f64());
    let lag_help = "How late the event loop was at most, since the last time that this was read.";
    let mut families = vec![
        ("gauge", "build_info", "Always 1. The version of the structure.", by("version", version)),
        ("gauge", "connections", "Connections to the lobby, relayed ones included.", connections),
        ("gauge", "players", "Players, by where they are.", by("place", players)),
        ("gauge", "rooms", "Rooms, by kind and state.", by_two(["kind", "state"], rooms.rooms)),
        ("gauge", "seats", "Seats of all rooms.", by("kind", rooms.seats)),
        ("gauge", "seats_taken", "Seats that players have.", by("kind", rooms.seats_taken)),
        ("counter", "rooms_started", "Rooms created.", by("kind", rooms.started)),
        ("counter", "rooms_ended", "Rooms that have ended, by how.", ended),
        ("counter", "rooms_cpu_seconds", "Processor time of all rooms.", by("kind", cpu)),
        ("gauge", "rooms_memory_bytes", "Resident memory of all rooms.", by("kind", rooms.memory)),
        ("counter", "refusals", "Requests that the lobby has refused.", refusals),
        ("counter", "handed_off", "Connections handed off to rooms.", handed_off),
        ("counter", "relayed", "Connections relayed to rooms.", relayed),
        ("counter", "invalid_tokens", "Forged or logged-out tokens.", invalid),
        ("counter", "log_lines_lost", "Log lines that stdout did not take.", lost),
        ("gauge", "loop_lag_seconds", lag_help, lag),
    ];
    if let Some(hosts) = lobby.hosts.as_ref().map(|hosts| hosts.figures()) {
        let by_host = |value: fn(&HostFigures) -> f64| {
            by("host", hosts.iter().map(|host| (&host.info.name, value(host))).collect())
        };
        families.extend([
            ("gauge", "host_rooms", "Rooms on each host.", by_host(|it| it.rooms as f64)),
            ("gauge", "host_max_rooms", "Rooms allowed.", by_host(|it| it.info.max_rooms as f64)),
            ("gauge", "host_cpu", "Busy share of processors.", by_host(|it| it.load.cpu.into())),
            ("gauge", "host_draining", "1 if it drains.", by_host(|it| it.load.draining.into())),
        ]);
    }
    let mut page = String::new();
    for (kind, name, help, samples) in families {
        let name = format!("cluster_{name}{}", if kind == "counter" { "_total" } else { "" });
        let _ = writeln!(page, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in samples {
            let _ = writeln!(page, "{name}{labels} {value}");
        }
    }
    page
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

fn by_two([first, second]: [&str; 2], values: BTreeMap<(String, &str), u64>) -> Vec<Sample> {
    let labels = |a, b| format!(r#"{{{first}="{}",{second}="{}"}}"#, escape(a), escape(b));
    values.iter().map(|((a, b), value)| (labels(a, b), value.to_string())).collect()
}

/// A code of a hook's refusal may hold anything.
fn escape(text: &str) -> String {
    text.replace('\\', r"\\").replace('\n', r"\n").replace('"', r#"\""#)
}
