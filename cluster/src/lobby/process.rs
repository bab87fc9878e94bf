//! The lobby's process: from the settings to a server that runs until it is told to stop. The event
//! loop runs on the main thread and starts the rooms from there, because a room's parent-death
//! signal (Linux) is bound to the thread that started the room.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::num::NonZero;
use std::process::ExitCode;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use axum::Router;
use serde_json::Value;
use socketioxide::layer::SocketIoLayer;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tower_http::catch_panic::CatchPanicLayer;
use tracing::{error, info};

use crate::auth::{self, Tokens};
use crate::config::Settings;
use crate::hosts::Fleet;
use crate::http::pages::{HostOrigins, check_origin};
use crate::http::{CONNECT_BURST, ConnectionLimiter, Server, bind, pages};
use crate::lobby::event_loop::reload::{Reloader, SavedLobby};
use crate::lobby::event_loop::{Auth, EventHandler, Inboxes, OWN_REQUESTS};
use crate::lobby::{Kind, Lobby, LobbyContext, LobbyHandle, event_loop};
use crate::logging::subscriber;
use crate::process::Supervisors;
use crate::process::signals::{self, Order};
use crate::reload;
use crate::routing::{Gateway, GatewayRoutes, relay};
use crate::runtime::{KeyedRateLimiter, Quota, catch, clock};
use crate::socketio::{FromClient, events, namespace};
use crate::types::Refusal;

/// Of operators. They take the lobby's own open files.
const MAX_ADMIN_CONNECTIONS: u32 = 16;
/// How long work on other threads may go on when the lobby has stopped.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(100);
/// After a reload: the pause before a refused `on_start` is called again.
const START_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Routes for operators: on its own port, and at `--admin`.
pub(crate) type AdminRoutes<L> =
    Box<dyn FnOnce(LobbyHandle<L>, Arc<ConnectionLimiter>) -> (Router, Router)>;
/// Fails if they could not start with these settings.
pub(crate) type AdminSetup<L> = fn(&Settings) -> anyhow::Result<AdminRoutes<L>>;

/// A lobby that may start: its settings and its files are in order.
struct Start<L> {
    settings: Settings,
    kinds: Vec<Kind<L>>,
    admin: AdminRoutes<L>,
    tokens: Tokens,
    /// How many are allowed.
    connections: u32,
    /// What a reload has handed over, if there was one.
    saved: Option<SavedLobby>,
}

impl<L: Lobby> Start<L> {
    fn new(settings: Settings, kinds: Vec<Kind<L>>, admin: AdminSetup<L>) -> anyhow::Result<Self> {
        settings.check()?;
        settings.hosts.check()?;
        events::check_names::<L::Request>(*OWN_REQUESTS)?;
        kinds.iter().try_for_each(|kind| kind.check(&settings))?;
        let (admin, tokens) = (admin(&settings)?, Tokens::open(&settings)?);
        let connections = settings.raise_file_limit()?;
        Ok(Start { settings, kinds, admin, tokens, connections, saved: None })
    }
}

/// Whether this program can take over from a lobby that reloads and has written its state to stdin.
pub(crate) fn check_reload<L: Lobby>(
    settings: Settings,
    kinds: Vec<Kind<L>>,
    admin: AdminSetup<L>,
) -> anyhow::Result<ExitCode> {
    let start = Start::new(settings, kinds, admin)?;
    SavedLobby::read(std::io::stdin(), &start.kinds)?;
    println!("{}", reload::CHECKED);
    Ok(ExitCode::SUCCESS)
}

/// Runs a lobby process, on the main thread, from start to end.
#[inline(never)] // its stack frame would add to a room's
pub(crate) fn main<L: Lobby>(
    settings: Settings,
    kinds: Vec<Kind<L>>,
    admin: AdminSetup<L>,
) -> anyhow::Result<ExitCode> {
    // Rooms do not inherit files that this process was started with.
    close_fds::set_fds_cloexec(3, &[]);
    let received = reload::receive()?;
    // A thread of its own: hooks may block the main thread, and connections may block all of the
    // runtime's threads.
    clock::start("clock", || thread::sleep(clock::READ_INTERVAL))?;
    let _flushes = subscriber::init_lobby(settings.log_format, settings.dev)?;
    // Reading files may block: before the port is bound, and while signals still end the process.
    #[cfg(feature = "nats")]
    if !settings.hosts.lease.is_empty() {
        crate::hosts::share_key(&settings)?;
    }
    let mut start = Start::new(settings, kinds, admin)?;
    if let Some((state, files)) = received {
        start.saved = Some(SavedLobby { files, ..SavedLobby::read(state, &start.kinds)? });
    }
    #[cfg(debug_assertions)]
    if start.settings.dev {
        crate::lobby::page_types::write(&start.settings.static_dir, &start.kinds);
    }
    // The runtime would hang if it could start only some of its threads. One more is to read files.
    let gate = Mutex::new(());
    thread::scope(|scope| {
        let _closed = gate.lock(); // until all threads are there
        let start = |_| thread::Builder::new().spawn_scoped(scope, || drop(gate.lock())).map(drop);
        (0..=thread::available_parallelism().map_or(1, NonZero::get)).try_for_each(start)
    })
    .context("cannot start the threads of the lobby")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(run(start));
    // Dropping the runtime would wait for computations; they end with the process.
    runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
    result.map(|()| ExitCode::SUCCESS)
}

/// Runs a lobby until it is asked to stop.
async fn run<L: Lobby>(start: Start<L>) -> anyhow::Result<()> {
    let Start { settings, kinds, admin, tokens, connections, mut saved } = start;
    let mut orders = signals::orders(auth::lock(&settings.key_file)?)?;
    let listener = Arc::new(match &mut saved {
        Some(saved) => TcpListener::from_std(saved.files.remove(0).into())?,
        None => bind(&settings).await?,
    });
    let (from_processes, processes) = mpsc::unbounded_channel();
    let mut fleet = tokio::select! {
        fleet = Fleet::find(&settings, &listener, from_processes.clone()) => fleet?,
        () = asked_to_stop(&mut orders) => return Ok(()),
    };
    let (from_clients, clients) = mpsc::unbounded_channel();
    let (handle, calls) = LobbyHandle::new();
    let (admin_handle, admin_calls) = LobbyHandle::new();
    let mut inboxes = Inboxes { clients, processes, calls, admin_calls, orders };
    let supervisors = Supervisors::new(settings.clone(), None, from_processes);
    let routes = Arc::new(GatewayRoutes::default());
    let starter = fleet.starter().unwrap_or_else(|| supervisors.starter());
    let context =
        LobbyContext::new(settings, kinds, tokens, routes.clone(), starter, fleet.hosts.clone());
    if let Some(active) = &mut fleet.active {
        let before = std::mem::take(&mut active.before);
        context.sessions.borrow_mut().follow(before, active.changes.clone());
    }
    let is_reloaded = saved.is_some();
    if let Some(saved) = saved {
        context.sessions.replace(saved.sessions);
        context.rooms.borrow_mut().restore(saved.rooms, saved.files, &supervisors)?;
    }
    let lobby = start_lobby(&context, &mut inboxes.orders, is_reloaded).await?;
    let Some(mut lobby) = lobby else { return Ok(()) };

    let settings = &context.settings;
    let limiter = ConnectionLimiter::new(&settings.limits, connections)?;
    let (public, private) = admin(admin_handle, limiter.clone());
    let sockets = sockets(&context, &limiter, from_clients);
    let relayed = relay::routes(settings.base_path(), routes.clone());
    let server = server(settings, handle, fleet.origins(), public, relayed, sockets)?;
    serve_admin(settings, private).await?;

    event_loop::start_timers(&context);
    let mut handler = EventHandler { lobby: &mut lobby, context: &context };
    if is_reloaded {
        handler.adopt_rooms();
    }
    handler.find_rooms(&mut inboxes, &mut fleet).await;
    announce(settings, listener.local_addr()?);
    let gateway = Gateway::new(server, &routes, settings, settings.base_path());
    let reloader = Reloader { supervisors, listener };
    fleet.run(serve(handler, inboxes, gateway, limiter, reloader)).await?;
    let (handed_off, relayed) = (routes.handed_off.load(Relaxed), routes.relayed.load(Relaxed));
    info!(handed_off, relayed, "lobby stopped");
    Ok(())
}

/// Accepts connections and handles events until the lobby has stopped.
async fn serve<L: Lobby>(
    mut handler: EventHandler<'_, L>,
    mut inboxes: Inboxes<L>,
    gateway: Gateway,
    limiter: Arc<ConnectionLimiter>,
    reloader: Reloader,
) {
    loop {
        tokio::spawn(gateway.clone().run(reloader.listener.clone(), limiter.clone()));
        if event_loop::run(&mut handler, &mut inboxes).await == Order::Stop {
            break;
        }
        // Answers to requests may need the loop. One more SIGHUP changes nothing.
        let handle =
            async { while event_loop::run(&mut handler, &mut inboxes).await == Order::Reload {} };
        tokio::select! {
            () = gateway.server.stop() => {}
            () = handle => {}
        }
        if handler.context.rooms.borrow().closes_at.is_none() {
            let Err(error) = reloader.reload(&mut handler, &mut inboxes).await;
            error!(error = format!("{error:#}"), "not reloaded; nothing has changed");
        }
    }
    drop(inboxes); // routes that wait for the loop are told that it has stopped
    gateway.server.stop().await;
}

/// Calls `on_start`. After a reload a refusal does not end the rooms: it is called again. `None`:
/// the lobby was asked to stop meanwhile.
async fn start_lobby<L: Lobby>(
    context: &LobbyContext<L>,
    orders: &mut mpsc::UnboundedReceiver<Order>,
    is_reloaded: bool,
) -> anyhow::Result<Option<L>> {
    let start = async {
        loop {
            let mut lobby = L::default();
            match context.scheduler.timed(lobby.on_start(context)).await {
                Ok(()) => return Ok(Some(lobby)),
                Err(refusal) if is_reloaded => error!(%refusal, "cannot start; trying again"),
                Err(refusal) => return Err(refusal).context("the lobby cannot start"),
            }
            sleep(START_AGAIN_AFTER).await;
        }
    };
    tokio::select! { started = start => started, () = asked_to_stop(orders) => Ok(None) }
}

async fn asked_to_stop(orders: &mut mpsc::UnboundedReceiver<Order>) {
    while let Some(Order::Reload) = orders.recv().await {}
}

/// The server of the lobby's own port. A route of the project's that the cluster has as well is a
/// panic.
fn server<L: Lobby>(
    settings: &Settings,
    handle: LobbyHandle<L>,
    hosts: HostOrigins,
    public: Router,
    relayed: Router,
    sockets: SocketIoLayer,
) -> anyhow::Result<Server> {
    let server = catch("routes", || {
        let routes = L::routes(handle.clone()).merge(public);
        let pages = pages::pages(settings, hosts, routes).layer(sockets);
        let cross_origin = L::cross_origin_routes(handle).layer(CatchPanicLayer::new());
        let path = settings.base_path();
        let own = check_origin(pages::below(path, pages).merge(relayed), settings, false);
        let any = check_origin(pages::nest(path, cross_origin), settings, true);
        Server::for_any_host(own.merge(any), settings, true)
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
    tokio::spawn(gateway.run(Arc::new(listener), limiter)); // until the runtime ends
    Ok(())
}

/// The lobby's Socket.IO. Verifies the token of each connection, on the thread that accepts it, and
/// limits the connections of each player.
fn sockets<L: Lobby>(
    context: &LobbyContext<L>,
    limiter: &Arc<ConnectionLimiter>,
    inbox: mpsc::UnboundedSender<FromClient<Auth>>,
) -> SocketIoLayer {
    let (limits, tokens) = (&context.settings.limits, context.tokens.clone());
    let per_player = Quota::new(limits.max_connects_per_second.get(), CONNECT_BURST);
    let connects = Arc::new(KeyedRateLimiter::new(per_player));
    let admit = move |auth: &Value| {
        let login = match &auth["token"] {
            Value::Null => Ok(None),
            token => tokens.verify(token.as_str().unwrap_or_default(), auth::now()).map(Some),
        };
        let player = login.iter().flatten().map(|login| login.player.id.clone()).next();
        match &player {
            Some(player) if !connects.allow(player, Instant::now()) => Err(Refusal::TOO_FAST),
            _ => Ok((login, player)),
        }
    };
    namespace::serve("/socket.io", limiter, limits, true, inbox, admit)
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
