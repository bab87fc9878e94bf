//! The process of a host, `server host`: from the settings to rooms that run for one lobby after
//! the other.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use super::handshake::{About, Purpose, Reply, answer, reply};
use super::hosted::Link;
use crate::auth::{LinkKey, load};
use crate::config::Settings;
use crate::http::{ConnectionLimiter, Server, bind};
use crate::logging::subscriber;
use crate::process::signals::{self, Order};
use crate::routing::{Gateway, GatewayRoutes, relay};
use crate::runtime::clock;
use crate::types::RoomId;

/// How long a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(2);
/// Connections to the link's port that have not proved the key, or are relayed.
const MAX_CONNECTIONS: usize = 4096;
/// The pause after accepting fails.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);
const MAX_NAME: usize = 32;

/// A lobby that has proved the key and asks for rooms.
pub(super) struct Candidate {
    pub stream: TcpStream,
    /// Of the lobby's process.
    pub lobby: String,
    pub settings: Settings,
}

/// What a host is, for all of its lobbies.
pub(super) struct Host {
    pub settings: Settings,
    pub about: About,
    pub candidates: mpsc::Receiver<Candidate>,
    pub orders: mpsc::UnboundedReceiver<Order>,
    pub routes: Arc<GatewayRoutes>,
    /// The listener for players.
    pub listener: Arc<TcpListener>,
    pub limiter: Arc<ConnectionLimiter>,
    /// A lobby is linked, and the host is not about to stop.
    pub ready: Arc<AtomicBool>,
}

/// Runs a host, on the main thread, from start to end.
pub(crate) fn main(settings: Settings) -> anyhow::Result<ExitCode> {
    close_fds::set_fds_cloexec(3, &[]);
    clock::start("clock", || std::thread::sleep(clock::READ_INTERVAL))?;
    let _flushes = subscriber::init_lobby(settings.log_format, settings.dev)?;
    let name = settings.hosts.name.clone().context("a host needs a --name")?;
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    ensure!(
        !name.is_empty() && name.len() <= MAX_NAME && name.bytes().all(is_plain),
        "--name must consist of a-z, 0-9 and hyphens, and have at most {MAX_NAME} of them"
    );
    let file = &settings.hosts.link_key_file;
    let key = load(file)?.with_context(|| {
        format!("there is no {}: `server link-key` prints it where the lobby runs", file.display())
    })?;
    let connections = settings.raise_file_limit()?;
    let url = settings.public_url.as_ref();
    ensure!(url.is_none_or(|url| url.path.is_empty()), "the --public-url of a host has no path");
    let about = About {
        name,
        origin: url.map(|url| url.origin.clone()),
        max_rooms: settings.max_rooms,
        build: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(settings, about, LinkKey::new(&key), connections))?;
    Ok(ExitCode::SUCCESS)
}

async fn run(
    settings: Settings,
    about: About,
    key: LinkKey,
    connections: u32,
) -> anyhow::Result<()> {
    let orders = signals::orders(())?;
    let listener = Arc::new(bind(&settings).await?);
    let links = TcpListener::bind(settings.hosts.link).await;
    let links =
        links.with_context(|| format!("cannot listen on --link {}", settings.hosts.link))?;
    let limiter = ConnectionLimiter::new(&settings.limits, connections)?;
    let (link, address, name) = (links.local_addr()?, listener.local_addr()?, &about.name);
    info!(name, %link, %address, "host ready");
    let routes = Arc::<GatewayRoutes>::default();
    let (found, candidates) = mpsc::channel(1);
    tokio::spawn(accept(links, key, routes.clone(), found));
    let ready = Arc::default();
    let mut host = Host { settings, about, candidates, orders, routes, listener, limiter, ready };
    let mut next = None;
    loop {
        let candidate = match next.take() {
            Some(candidate) => candidate,
            None => {
                let idle = host.accept_players(&host.settings);
                let found = tokio::select! {
                    candidate = host.candidates.recv() => candidate,
                    () = stop(&mut host.orders) => None,
                };
                idle.abort();
                let Some(candidate) = found else { return Ok(()) };
                candidate
            }
        };
        let lobby = candidate.stream.peer_addr().ok().map(tracing::field::display);
        info!(lobby, "lobby linked");
        let served = host.serve(candidate).await;
        host.ready.store(false, Relaxed);
        match served {
            Ok(Some(candidate)) => next = Some(candidate),
            Ok(None) => return Ok(()),
            Err(error) => warn!(error = format!("{error:#}"), "lobby lost; its rooms have ended"),
        }
    }
}

impl Host {
    /// Serves a lobby until its link is lost. `Some`: the same lobby links anew. `None`: the host
    /// is to stop.
    async fn serve(&mut self, mut candidate: Candidate) -> anyhow::Result<Option<Candidate>> {
        reply(&mut candidate.stream, &Reply::Accepted(self.about.clone())).await?;
        let Candidate { stream, lobby, mut settings } = candidate;
        let accepting = self.accept_players(&settings);
        self.ready.store(true, Relaxed);
        settings.allow_origin.extend(self.about.origin.clone());
        let served = match Link::new(self, stream, lobby, settings) {
            Ok(link) => link.run().await,
            Err(error) => Err(error),
        };
        accepting.abort();
        served
    }

    /// Accepts the connections of players to rooms of a lobby with these settings.
    fn accept_players(&self, settings: &Settings) -> JoinHandle<()> {
        let app = relay::routes(settings.base_path(), self.routes.clone());
        // Rooms check the origin by themselves.
        let server = Server::for_any_host(app.merge(health(self.ready.clone())), settings, true);
        let hand_off = cfg!(target_os = "linux") && !self.settings.no_handoff;
        let hand_off = hand_off.then(|| format!("GET {}/rooms/", settings.base_path()).into());
        let gateway = Gateway { server, routes: self.routes.clone(), hand_off };
        tokio::spawn(gateway.run(self.listener.clone(), self.limiter.clone()))
    }
}

/// Waits until the host is asked to stop.
async fn stop(orders: &mut mpsc::UnboundedReceiver<Order>) {
    while orders.recv().await == Some(Order::Reload) {}
}

/// Health, for balancers and orchestrators.
fn health(ready: Arc<AtomicBool>) -> Router {
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
        let (key, routes, found) = (key.clone(), routes.clone(), found.clone());
        tokio::spawn(async move {
            if let Err(error) = receive(stream, peer, &key, &routes, &found).await {
                warn!(%peer, error = format!("{error:#}"), "link refused");
            }
            drop(permit);
        });
    }
}

/// Does what the lobby that has connected asks for.
async fn receive(
    mut stream: TcpStream,
    peer: SocketAddr,
    key: &LinkKey,
    routes: &GatewayRoutes,
    found: &mpsc::Sender<Candidate>,
) -> anyhow::Result<()> {
    let asked = timeout(HANDSHAKE_TIMEOUT, answer(&mut stream, key)).await;
    match asked.context("no handshake in time")?? {
        Purpose::Rooms { lobby, settings } => {
            let candidate = Candidate { stream, lobby, settings: *settings };
            found.send(candidate).await.ok().context("the host is stopping")
        }
        Purpose::Relay { room } => {
            debug!(%peer, %room, "relayed by the lobby");
            relay_to(stream, &room, routes).await
        }
    }
}

/// Copies between the lobby's connection and a room.
async fn relay_to(
    mut stream: TcpStream,
    room: &RoomId,
    routes: &GatewayRoutes,
) -> anyhow::Result<()> {
    let sent = async {
        let (ours, theirs) = UnixStream::pair()?;
        let sender = routes.find(room).context("there is no such room")?;
        sender.send_socket(&theirs).await.map(|()| ours)
    };
    match sent.await {
        Ok(ours) => {
            reply(&mut stream, &Reply::Relaying).await?;
            let _ = stream.set_nodelay(true);
            relay::copy(stream, ours).await;
        }
        Err(error) => reply(&mut stream, &Reply::Refused(format!("{error:#}"))).await?,
    }
    Ok(())
}
