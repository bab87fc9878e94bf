//! A lobby's process: from the settings to a server that runs until it is told to stop. The loop runs
//! on the main thread, which lives as long as the process, and starts the rooms from there.

use std::{
    cell::RefCell,
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    process::ExitCode,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use serde_json::Value;
use socketioxide::layer::SocketIoLayer;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::Instant,
};
use tracing::info;

#[cfg(debug_assertions)]
use crate::lobby::page_types;
use crate::{
    auth::token::Tokens,
    config::settings::Settings,
    http::{
        connection_limits::{self, CONNECT_BURST, ConnectionLimiter},
        origin::Origins,
        pages, server,
    },
    lobby::{
        context::{LobbyContext, kinds::Kind},
        event_loop::{Auth, Inboxes, LobbyLoop},
        hooks::Lobby,
        sessions::Sessions,
    },
    logging::subscriber,
    rooms::{Rooms, code_attempts::CodeAttempts},
    routing::{
        gateway::{Gateway, GatewayRoutes},
        relay,
    },
    runtime::{clock, rate_limiter::KeyedRateLimiter, scheduler::Scheduler, token_bucket::Quota},
    socketio::{
        connection::FromClient,
        event_limits::EventLimiter,
        events::{self, LOBBY_REQUESTS},
        namespace,
    },
    types::Refusal,
};

/// What a lobby needs itself and for a few connections, and what each room costs it: a socket, two
/// pipes, a handle.
const DESCRIPTORS: (u64, u64) = (64, 4);
/// The few: a relayed one takes two descriptors.
const FEW: u32 = 16;
/// When the lobby has stopped, what was given to other threads may take so long.
const LAST_WORK: Duration = Duration::from_millis(100);

/// The whole life of a lobby process, on the main thread.
pub(crate) fn main<L: Lobby>(settings: Settings, kinds: Vec<Kind<L>>) -> anyhow::Result<ExitCode> {
    settings.check()?;
    clock::start();
    // Hooks may take the main thread, and connections all others.
    std::thread::Builder::new().name("clock".into()).spawn(|| {
        loop {
            std::thread::sleep(clock::TICK);
            clock::now();
        }
    })?;
    let _last_lines = subscriber::init_lobby(settings.log_format, settings.dev)?;
    let connections = fit_descriptors(&settings)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        let listener = server::bind(settings.address())?;
        run(listener, connections, settings, kinds, stop_signal()?).await
    });
    // Dropping it would wait for computations; they end with the process.
    runtime.shutdown_timeout(LAST_WORK);
    result.map(|()| ExitCode::SUCCESS)
}

/// Runs a lobby on this listener, with so many connections at once, until `shutdown`.
pub(crate) async fn run<L: Lobby>(
    listener: TcpListener,
    connections: u32,
    settings: Settings,
    kinds: Vec<Kind<L>>,
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    events::check_names::<L::Request>(LOBBY_REQUESTS)?;
    kinds.iter().try_for_each(|kind| (kind.process.check)())?;
    let (from_processes, processes) = mpsc::unbounded_channel();
    let (from_clients, clients) = mpsc::unbounded_channel();
    let (kill, kills) = mpsc::unbounded_channel();
    let tokens = Arc::new(Tokens::open(&settings)?);
    let routes = GatewayRoutes::default();
    let rooms = Rooms::new(settings.clone(), from_processes, routes.clone())?;
    #[cfg(debug_assertions)]
    if settings.dev {
        page_types::write(&settings.static_dir, &kinds);
    }
    let cluster = LobbyContext {
        kinds,
        rooms: RefCell::new(rooms),
        sessions: RefCell::new(Sessions::default()),
        code_attempts: RefCell::new(CodeAttempts::new(settings.max_code_attempts_per_minute)),
        scheduler: Scheduler::new(),
        tokens: tokens.clone(),
        settings,
    };
    let mut lobby = L::default();
    cluster.scheduler.timed(lobby.on_start(&cluster)).await.context("the lobby does not start")?;

    let settings = &cluster.settings;
    let limiter = ConnectionLimiter::new(&settings.limits, connections)?;
    let sockets = sockets(settings, &limiter, tokens, from_clients);
    let app = pages::pages(settings, kill).merge(relay::routes(routes.clone())).layer(sockets);
    let origins = Origins::new(settings.public_url.as_ref(), &settings.allow_origin);
    let app = connection_limits::enforce_limits(pages::check_origin(app, origins));
    let server = server::Server::new(app, &settings.limits);
    let hand_off = cfg!(target_os = "linux") && !settings.no_handoff;
    let front = Gateway { server, routes: routes.clone(), hand_off };
    let address = listener.local_addr()?;
    let receive = move |stream, permit| front.clone().receive(stream, permit);
    let accepting = tokio::spawn(server::accept(listener, limiter, receive));
    announce(settings, address);

    let inboxes = Inboxes { clients, processes, kills };
    LobbyLoop::new(lobby, cluster).run(inboxes, shutdown).await;
    accepting.abort();
    let (handed_off, relayed) = routes.counts();
    info!(handed_off, relayed, "lobby stopped");
    Ok(())
}

/// Socket.IO for the lobby: a connection is a player's if it has a token.
fn sockets(
    settings: &Settings,
    limiter: &ConnectionLimiter,
    tokens: Arc<Tokens>,
    inbox: mpsc::UnboundedSender<FromClient<Auth>>,
) -> SocketIoLayer {
    let limits = &settings.limits;
    let per_player = Quota::new(limits.max_connects_per_second.get(), CONNECT_BURST);
    let connects = Arc::new(Mutex::new(KeyedRateLimiter::new(per_player)));
    let admit = move |auth: &Value| {
        let who = authenticate(&tokens, auth);
        let player = who.iter().flatten().map(|login| login.player.id.clone()).next();
        let mut connects = connects.lock().expect("nobody panics while holding this");
        match player.as_ref().is_none_or(|player| connects.allow(player, Instant::now())) {
            true => Ok((who, player)),
            false => Err(Refusal::TOO_FAST),
        }
    };
    namespace::serve("/socket.io", limits, limiter, EventLimiter::of_lobby(limits), inbox, admit)
}

fn announce(settings: &Settings, mut address: SocketAddr) {
    if address.ip().is_unspecified() {
        address.set_ip(own_address().unwrap_or(Ipv4Addr::LOCALHOST.into()));
    }
    let here = format!("http://{address}");
    let url = settings.public_url.as_ref().map_or(here.as_str(), |url| url.as_str());
    info!(url, "lobby ready");
    if settings.dev {
        info!("development: anyone may kill a room and read this log");
    }
}

/// The address at which others in the network reach this machine. Sends nothing: connecting a UDP
/// socket only asks the kernel which way it would send.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// Raises the limit on open files as far as allowed, refuses one that cannot do, and allows as many
/// connections as are left: who waits to be accepted needs none, and the rooms have theirs.
fn fit_descriptors(settings: &Settings) -> anyhow::Result<u32> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
    let rooms = settings.max_rooms.saturating_add(settings.pool) as u64;
    let needed = DESCRIPTORS.1.saturating_mul(rooms).saturating_add(DESCRIPTORS.0);
    let wanted = settings.limits.max_connections.get();
    let Some(have) = getrlimit(Resource::Nofile).current else {
        return Ok(wanted);
    };
    ensure!(
        have >= needed,
        "{have} open files are too few for {rooms} rooms: raise `ulimit -n` to {needed} or more, \
         or lower --max-rooms"
    );
    let connections = FEW + u32::try_from((have - needed) / 2).unwrap_or(u32::MAX - FEW);
    // A little less is no news.
    if connections < wanted / 2 {
        info!(connections, "{have} open files allow fewer connections than --max-connections");
    }
    Ok(connections.min(wanted))
}

/// Ctrl-C in a terminal, or SIGTERM.
fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => info!("interrupted; stopping"),
            _ = terminate.recv() => info!("asked to stop; stopping"),
        }
    })
}

fn authenticate(tokens: &Tokens, auth: &Value) -> Auth {
    match auth.get("token") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(token)) => tokens.verify(token).map(Some),
        Some(_) => {
            tokens.wrong.add();
            Err(Refusal::BAD_TOKEN)
        }
    }
}
