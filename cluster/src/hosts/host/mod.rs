//! The process of a host, `server host`: from the settings to rooms that it runs for one lobby at a
//! time.

mod hosted;
mod load;
mod orphan;

use std::collections::HashMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use rustix::system::uname;
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info, warn};

use crate::auth::{LinkKey, load};
use crate::config::Settings;
use crate::hosts::host::hosted::{Hosted, Link};
use crate::hosts::host::load::CpuTimes;
use crate::hosts::{HostInfo, Purpose, Response, Term, answer, check_name, write};
use crate::http::{ConnectionLimiter, Server, bind};
use crate::logging::subscriber;
use crate::process::ProcessEvent;
use crate::process::signals::{self, Order};
use crate::routing::{Gateway, GatewayRoutes, relay};
use crate::runtime::{Lease, clock};
use crate::types::RoomId;

/// How long a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(2);
/// Connections to the link's port that are in their handshake, or relay a player.
const MAX_CONNECTIONS: usize = 4096;
/// The pause after accepting fails.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);

/// A lobby that has proved that it has the key, and asks to be served.
struct Candidate {
    stream: TcpStream,
    /// Of the lobby's process.
    lobby: String,
    term: Term,
    settings: Box<Settings>,
}

/// A host, with its rooms and the lobby that it serves (`hosted.rs`).
struct Host {
    settings: Settings,
    info: HostInfo,
    candidates: mpsc::Receiver<Candidate>,
    orders: mpsc::UnboundedReceiver<Order>,
    routes: Arc<GatewayRoutes>,
    /// The listener for players, and what accepts them.
    listener: Arc<TcpListener>,
    limiter: Arc<ConnectionLimiter>,
    accepting: JoinHandle<()>,
    /// A lobby is linked, or the next one is awaited, and the host was not asked to stop.
    ready: Arc<AtomicBool>,
    inbox: mpsc::UnboundedSender<ProcessEvent>,
    events: mpsc::UnboundedReceiver<ProcessEvent>,
    rooms: HashMap<RoomId, Hosted>,
    /// The share of this machine's processors that is busy, from 0 to 1.
    cpu: f32,
    cpu_times: CpuTimes,
    /// Rooms end when it expires; heartbeats of the lobby renew it.
    lease: Lease,
    link: Option<Link>,
    /// The id and the term of the lobby that was linked last.
    lobby: String,
    term: Term,
    /// When orphaned rooms are closed.
    closes_at: Option<Instant>,
    /// When the host ends, if it was asked to stop.
    stops_at: Option<Instant>,
}

/// Runs a host, on the main thread, from start to end.
pub(crate) fn main(settings: Settings) -> anyhow::Result<ExitCode> {
    close_fds::set_fds_cloexec(3, &[]);
    clock::start("clock", || std::thread::sleep(clock::READ_INTERVAL))?;
    let _flushes = subscriber::init_lobby(settings.log_format, settings.dev)?;
    let machine = || uname().nodename().to_string_lossy().into_owned();
    let name = settings.hosts.name.clone().unwrap_or_else(machine);
    check_name(&name).context("--name")?;
    settings.hosts.check_lease()?;
    let file = &settings.hosts.link_key_file;
    let key = load(file)?.with_context(|| {
        format!("there is no {}: `server link-key` prints it where the lobby runs", file.display())
    })?;
    let connections = settings.raise_file_limit()?;
    let url = settings.public_url.as_ref();
    ensure!(url.is_none_or(|url| url.path.is_empty()), "the --public-url of a host has no path");
    let info = HostInfo {
        name,
        origin: url.map(|url| url.origin.clone()),
        max_rooms: settings.max_rooms,
        next_room: 1,
        build: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(settings, info, LinkKey::new(&key), connections))?;
    Ok(ExitCode::SUCCESS)
}

async fn run(
    settings: Settings,
    info: HostInfo,
    key: LinkKey,
    connections: u32,
) -> anyhow::Result<()> {
    let orders = signals::orders(())?;
    let listener = Arc::new(bind(&settings).await?);
    let links = TcpListener::bind(settings.hosts.link).await;
    let links =
        links.with_context(|| format!("cannot listen on --link {}", settings.hosts.link))?;
    let limiter = ConnectionLimiter::new(&settings.limits, connections)?;
    let (link, address, name) = (links.local_addr()?, listener.local_addr()?, &info.name);
    info!(name, %link, %address, "host ready");
    #[cfg(feature = "nats")]
    if !settings.hosts.lease.is_empty() {
        let reachable = !link.ip().is_unspecified();
        ensure!(reachable, "with --lease, --link must be an address at which the lobby reaches it");
        let (directory, name) =
            (cluster_nats::Directory::new(&settings.hosts.lease), info.name.clone());
        tokio::spawn(async move { directory.announce(&name, link).await });
    }
    let routes = Arc::<GatewayRoutes>::default();
    let (found, candidates) = mpsc::channel(1);
    tokio::spawn(accept(links, key, routes.clone(), found));
    let (inbox, events) = mpsc::unbounded_channel();
    let mut host = Host {
        info,
        candidates,
        orders,
        routes,
        listener,
        limiter,
        accepting: tokio::spawn(async {}),
        ready: Arc::default(),
        inbox,
        events,
        rooms: HashMap::new(),
        cpu: 0.0,
        cpu_times: CpuTimes::now(),
        lease: Lease::new().context("no file for the lease")?,
        link: None,
        lobby: String::new(),
        term: Term::default(),
        closes_at: None,
        stops_at: None,
        settings: settings.clone(),
    };
    host.accept_players(&settings);
    host.run().await
}

impl Host {
    /// Accepts the connections of players to rooms of a lobby with these settings.
    fn accept_players(&mut self, settings: &Settings) {
        let app = relay::routes(settings.base_path(), self.routes.clone());
        // Rooms check the origin by themselves.
        let server = Server::for_any_host(app.merge(health(self.ready.clone())), settings, true);
        let gateway = Gateway::new(server, &self.routes, &self.settings, settings.base_path());
        self.accepting.abort();
        self.accepting = tokio::spawn(gateway.run(self.listener.clone(), self.limiter.clone()));
    }
}

/// Health, for balancers and orchestrators.
pub(in crate::hosts) fn health(ready: Arc<AtomicBool>) -> Router {
    let readiness = async move || match ready.load(Relaxed) {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    Router::new().route("/healthz", get(StatusCode::OK)).route("/readyz", get(readiness))
}

/// Accepts connections of lobbies, each on a task of its own.
async fn accept(
    listener: TcpListener,
    key: LinkKey,
    routes: Arc<GatewayRoutes>,
    found: mpsc::Sender<Candidate>,
) {
    let space = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let permit = space.clone().acquire_owned().await;
        let Ok((stream, peer)) = listener.accept().await else {
            sleep(ACCEPT_BACKOFF).await;
            continue;
        };
        let received = receive(stream, key.clone(), routes.clone(), found.clone());
        tokio::spawn(async move {
            if let Err(error) = received.await {
                warn!(%peer, error = format!("{error:#}"), "link refused");
            }
            drop(permit);
        });
    }
}

/// Serves a new connection of a lobby, after the handshake.
async fn receive(
    mut stream: TcpStream,
    key: LinkKey,
    routes: Arc<GatewayRoutes>,
    found: mpsc::Sender<Candidate>,
) -> anyhow::Result<()> {
    let asked = timeout(HANDSHAKE_TIMEOUT, answer(&mut stream, &key)).await;
    match asked.context("no handshake in time")?? {
        Purpose::Rooms { lobby, term, settings } => {
            let candidate = Candidate { stream, lobby, term, settings };
            found.send(candidate).await.ok().context("the host is stopping")
        }
        Purpose::Relay { room } => {
            let (ours, theirs) = UnixStream::pair()?;
            let sender = routes.find(&room).context("there is no such room")?;
            sender.send_socket(&theirs).await?;
            drop(theirs); // or its end would not be noticed
            write(&mut stream, &Response::Relaying).await?;
            debug!(%room, "relayed by the lobby");
            let _ = stream.set_nodelay(true);
            relay::copy(stream, ours).await;
            Ok(())
        }
    }
}
