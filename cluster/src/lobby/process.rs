//! The lobby's process: from the settings to a server that runs until it is told to stop. The event
//! loop runs on the main thread and starts the rooms from there, because a room's parent-death
//! signal (Linux) is bound to the thread that started the room.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::num::NonZero;
use std::process::ExitCode;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, anyhow, ensure};
use axum::Router;
use serde_json::Value;
use socketioxide::layer::SocketIoLayer;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::info;

use crate::auth;
use crate::auth::Tokens;
use crate::config::Settings;
use crate::http::{CONNECT_BURST, ConnectionLimiter, Server, pages};
use crate::lobby::event_loop::{Auth, Inboxes, MAX_ASKS};
use crate::lobby::{Ask, Kind, Lobby, LobbyContext, LobbyHandle, event_loop};
use crate::logging::subscriber;
use crate::process;
use crate::process::signals;
use crate::rooms::{CodeAttempts, Rooms};
use crate::routing::{Gateway, GatewayRoutes, relay};
use crate::runtime::{KeyedRateLimiter, Lag, Quota, Scheduler, catch, clock};
use crate::socketio::{EventLimiter, FromClient, LOBBY_REQUESTS, events, namespace};
use crate::types::Refusal;

/// Open files of the lobby itself, [`MIN_CONNECTIONS`] and [`MAX_ADMIN_CONNECTIONS`] included.
const OWN_FILES: u64 = 80;
/// Open files for each room: its socket, two pipes, and two handles of the process.
const ROOM_FILES: u64 = 5;
/// Connections that are always possible. A relayed one takes two open files.
const MIN_CONNECTIONS: u32 = 16;
/// Of those who run the lobby. They take the lobby's own open files.
const MAX_ADMIN_CONNECTIONS: u32 = 16;
/// How long work on other threads may go on when the lobby has stopped.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(100);

/// Routes for those who run the lobby.
pub(crate) struct AdminRoutes {
    /// On the lobby's own port.
    pub public: fn(&Settings, &Watched) -> Router,
    /// At `--admin`.
    pub private: fn(&Settings, Watched) -> anyhow::Result<Router>,
}

/// What such routes show.
#[derive(Clone)]
pub(crate) struct Watched {
    pub asks: mpsc::Sender<Ask>,
    pub routes: Arc<GatewayRoutes>,
    pub connections: Arc<ConnectionLimiter>,
    pub tokens: Arc<Tokens>,
}

/// Runs a lobby process, on the main thread, from start to end.
#[inline(never)] // its stack frame would add to a room's
pub(crate) fn main<L: Lobby>(
    settings: Settings,
    kinds: Vec<Kind<L>>,
    admin: AdminRoutes,
) -> anyhow::Result<ExitCode> {
    // Rooms do not inherit files that this process was started with.
    close_fds::set_fds_cloexec(3, &[]);
    settings.check()?;
    clock::start();
    // A thread of its own: hooks may block the main thread, and connections may block all of the
    // runtime's threads.
    thread::Builder::new().name("clock".into()).spawn(|| {
        loop {
            thread::sleep(clock::READ_INTERVAL);
            clock::now();
        }
    })?;
    let log = subscriber::init_lobby(settings.log_format, settings.dev)?;
    events::check_names::<L::Request>(LOBBY_REQUESTS)?;
    kinds.iter().try_for_each(|kind| kind.check(&settings))?;
    // Reading files may block: before the port is bound, and while signals still end the process.
    let tokens = Tokens::open(&settings)?;
    let key_lock = auth::lock(&settings.key_file)?;
    #[cfg(debug_assertions)]
    if settings.dev {
        crate::lobby::page_types::write(&settings.static_dir, &kinds);
    }
    let connections = raise_file_limit(&settings)?;
    // The runtime would hang if it could start only some of its threads. One more is to read files.
    let gate = Mutex::new(());
    thread::scope(|scope| {
        let _closed = gate.lock(); // until all threads are there
        let start = |_| thread::Builder::new().spawn_scoped(scope, || drop(gate.lock())).map(drop);
        (0..=thread::available_parallelism().map_or(1, NonZero::get)).try_for_each(start)
    })
    .context("cannot start the threads of the lobby")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        let stops = signals::stop(log.clone(), key_lock)?;
        let host = if settings.lan { Ipv4Addr::UNSPECIFIED.into() } else { settings.host };
        let address = SocketAddr::new(host, settings.port);
        let listener = TcpListener::bind(address).await.with_context(|| {
            format!("cannot listen on {address}; set a free --port above 1023, or another --host")
        })?;
        run(listener, connections, settings, tokens, kinds, admin, stops).await
    });
    // Dropping the runtime would wait for computations; they end with the process.
    runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
    result.map(|()| ExitCode::SUCCESS)
}

/// Runs a lobby on this listener, with at most this many connections, until it is asked to stop.
async fn run<L: Lobby>(
    listener: TcpListener,
    connections: u32,
    settings: Settings,
    tokens: Tokens,
    kinds: Vec<Kind<L>>,
    admin: AdminRoutes,
    mut stops: mpsc::UnboundedReceiver<()>,
) -> anyhow::Result<()> {
    let (from_processes, processes) = mpsc::unbounded_channel();
    let (from_clients, clients) = mpsc::unbounded_channel();
    let (asks, asked) = mpsc::channel(MAX_ASKS);
    let tokens = Arc::new(tokens);
    let routes = Arc::new(GatewayRoutes::default());
    let starter = process::starter(settings.clone(), from_processes)?;
    let rooms = Rooms::new(settings.clone(), starter, routes.clone());
    let (handle, calls) = LobbyHandle::new();
    let context = LobbyContext {
        kinds,
        rooms: RefCell::new(rooms),
        sessions: RefCell::default(),
        lists: Default::default(),
        lag: Lag::default(),
        code_attempts: CodeAttempts::new(settings.max_code_attempts_per_minute),
        scheduler: Scheduler::new(),
        tokens: tokens.clone(),
        settings,
    };
    let mut lobby = L::default();
    tokio::select! {
        started = context.scheduler.timed(lobby.on_start(&context)) => {
            started.context("the lobby cannot start")?;
        }
        _ = stops.recv() => return Ok(()),
    }

    let settings = &context.settings;
    let limiter = ConnectionLimiter::new(&settings.limits, connections)?;
    let (connections, tokens_of) = (limiter.clone(), tokens.clone());
    let watched = Watched { asks, routes: routes.clone(), connections, tokens: tokens_of };
    let sockets = sockets(settings, &limiter, tokens, from_clients);
    let relayed = relay::routes(settings.base_path(), routes.clone());
    let server = server(settings, handle, (admin.public)(settings, &watched), relayed, sockets)?;
    let hand_off = cfg!(target_os = "linux") && !settings.no_handoff;
    let hand_off = hand_off.then(|| format!("GET {}/rooms/", settings.base_path()).into());
    let gateway = Gateway { server: server.clone(), routes: routes.clone(), hand_off };
    let address = listener.local_addr()?;
    let accepting = tokio::spawn(gateway.run(listener, limiter));
    serve_admin(settings, (admin.private)(settings, watched)?).await?;
    announce(settings, address);

    let inboxes = Inboxes { clients, processes, calls, asks: asked };
    event_loop::run(lobby, context, inboxes, stops).await;
    accepting.abort();
    server.stop().await;
    let (handed_off, relayed) = (routes.handed_off.load(Relaxed), routes.relayed.load(Relaxed));
    info!(handed_off, relayed, "lobby stopped");
    Ok(())
}

/// The server of the lobby's own port. A route of the project's that the cluster has as well is a
/// panic.
fn server<L: Lobby>(
    settings: &Settings,
    handle: LobbyHandle<L>,
    admin: Router,
    relayed: Router,
    sockets: SocketIoLayer,
) -> anyhow::Result<Server> {
    let server = catch("routes", || {
        let pages = pages::pages(settings, L::routes(handle.clone()).merge(admin)).layer(sockets);
        let cross_origin = L::cross_origin_routes(handle).layer(CatchPanicLayer::new());
        let path = settings.base_path();
        let server = Server::new(pages::below(path, pages).merge(relayed), settings, true);
        server.with_cross_origin_routes(pages::nest(path, cross_origin), settings)
    });
    server.map_err(|panic| anyhow!(panic.what))
}

/// Serves these routes at `--admin`, if it is given.
async fn serve_admin(settings: &Settings, routes: Router) -> anyhow::Result<()> {
    let Some(address) = settings.admin else { return Ok(()) };
    let listener = TcpListener::bind(address).await;
    let listener = listener.with_context(|| format!("cannot listen on --admin {address}"))?;
    info!(address = %listener.local_addr()?, "admin ready");
    let server = match settings.admin_token_file {
        Some(_) => Server::for_any_host(routes, settings, true),
        None => Server::new(routes, settings, true),
    };
    let gateway = Gateway { server, routes: Default::default(), hand_off: None };
    let limiter = ConnectionLimiter::new(&settings.limits, MAX_ADMIN_CONNECTIONS)?;
    tokio::spawn(gateway.run(listener, limiter)); // until the runtime ends
    Ok(())
}

/// The lobby's Socket.IO. Verifies the token of each connection, on the thread that accepts it, and
/// limits the connections of each player.
fn sockets(
    settings: &Settings,
    limiter: &Arc<ConnectionLimiter>,
    tokens: Arc<Tokens>,
    inbox: mpsc::UnboundedSender<FromClient<Auth>>,
) -> SocketIoLayer {
    let limits = &settings.limits;
    let per_player = Quota::new(limits.max_connects_per_second.get(), CONNECT_BURST);
    let connects = Arc::new(KeyedRateLimiter::new(per_player));
    let admit = move |auth: &Value| {
        let login = match &auth["token"] {
            Value::Null => Ok(None),
            token => tokens.verify(token.as_str().unwrap_or_default()).map(Some),
        };
        let player = login.iter().flatten().map(|login| login.player.id.clone()).next();
        match &player {
            Some(player) if !connects.allow(player, Instant::now()) => Err(Refusal::TOO_FAST),
            _ => Ok((login, player)),
        }
    };
    namespace::serve("/socket.io", limits, limiter, EventLimiter::of_lobby(limits), inbox, admit)
}

fn announce(settings: &Settings, mut address: SocketAddr) {
    if address.ip().is_unspecified() {
        address.set_ip(own_address().unwrap_or(Ipv4Addr::LOCALHOST.into()));
    }
    let here = format!("http://{address}");
    let origin = settings.public_url.as_ref().map_or(here.as_str(), |url| url.origin.as_str());
    let url = format!("{origin}{}", settings.base_path());
    if settings.dev {
        info!("development mode: anyone can kill rooms and read this log");
    }
    info!(url, "lobby ready");
}

/// The address at which others in the network reach this machine. Nothing is sent: connecting a UDP
/// socket only selects the local address.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// Raises the limit on open files as far as allowed. Returns how many connections it leaves room
/// for beside the rooms; further ones wait in the backlog. Fails if it is too low for the rooms.
fn raise_file_limit(settings: &Settings) -> anyhow::Result<u32> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
    let rooms = settings.max_rooms.saturating_add(settings.pool) as u64;
    let needed = ROOM_FILES.saturating_mul(rooms).saturating_add(OWN_FILES);
    let have = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    ensure!(
        have >= needed,
        "{have} open files are too few for {rooms} rooms: raise `ulimit -n` to {needed} or more, \
         or lower --max-rooms"
    );
    let more = u32::try_from((have - needed) / 2).unwrap_or(u32::MAX);
    let connections = more.saturating_add(MIN_CONNECTIONS);
    let wanted = settings.limits.max_connections.get();
    if connections < wanted && !settings.dev {
        info!(connections, "{have} open files allow fewer connections than --max-connections");
    }
    Ok(connections.min(wanted))
}
