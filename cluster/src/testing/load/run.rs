//! A run, from the first bot to the report.

use std::collections::BTreeMap;
use std::env;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, anyhow, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use rand::RngExt as _;
use rustix::process::Pid;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::{Instant, interval, sleep, sleep_until};

use super::figures::{Figures, Time};
use super::options::Options;
use super::player::Player;
use super::processes::Processes;
use super::report::{judge, print, report};
use super::{Plan, SERVER};
use crate::testing::{Bot, BotCommand, Connection, LobbyProcess, allow_many_files};

/// How often the progress bar changes.
const REFRESH_PERIOD: Duration = Duration::from_millis(250);
/// How long the bots may take to leave.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// Returns whether no threshold is crossed.
pub(super) async fn run(plan: Plan, options: Options) -> anyhow::Result<bool> {
    let nothing = report(&Figures::new(), &mut Processes::watch(None).lock().unwrap(), 0);
    ensure!(options.players > 0, "a load test needs players");
    options.threshold.iter().try_for_each(|threshold| threshold.check(&nothing))?;
    allow_many_files();
    let mut lobby = None;
    let (url, pid) = match &options.url {
        Some(url) => {
            let url = url.trim_end_matches('/');
            let connected = Connection::connect_to_lobby(url, &json!({})).await;
            connected.map_err(|why| anyhow!("no lobby at {url}: {why}"))?.leave().await;
            (url.to_owned(), options.pid.and_then(Pid::from_raw))
        }
        None => {
            let lobby = lobby.insert(start_lobby(&options).await?);
            (lobby.url.clone(), Some(lobby.pid()))
        }
    };
    let (figures, processes) = (Arc::new(Mutex::new(Figures::new())), Processes::watch(pid));
    let bots = start_bots(&url, &plan, &options, &figures);
    let ended = watch(&options, &figures, &bots, lobby.as_mut()).await;
    let mut report = {
        let (figures, mut processes) = (figures.lock().unwrap(), processes.lock().unwrap());
        report(&figures, &mut processes, options.players)
    };
    report["log"] = json!(lobby.as_ref().map(warnings));
    let passed = judge(&mut report, &options.threshold);
    print(&report);
    if let Some(path) = &options.json {
        let text = serde_json::to_string_pretty(&report)? + "\n";
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    if lobby.is_none() {
        let quit = async {
            bots.iter().for_each(|bot| drop(bot.send(BotCommand::Quit)));
            while figures.lock().unwrap().gone < bots.len() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, quit).await;
    }
    ended?;
    Ok(passed)
}

/// What the lobby and its rooms have warned of, and how often.
fn warnings(lobby: &LobbyProcess) -> BTreeMap<String, u64> {
    let mut warnings = BTreeMap::new();
    for line in
        lobby.lines().iter().filter(|line| line["level"] == "WARN" || line["level"] == "ERROR")
    {
        let message = line["message"].as_str().unwrap_or_default();
        *warnings.entry(message.to_owned()).or_default() += 1;
    }
    warnings
}

/// This program once more, as a lobby.
async fn start_lobby(options: &Options) -> anyhow::Result<LobbyProcess> {
    let lobby = LobbyProcess::builder(env::current_exe()?)
        .flags(&options.lobby_flags())
        .env(SERVER, "1")
        .env("RUST_LOG", "info")
        .own_group();
    Ok(lobby.start().await)
}

/// They come one after the other.
fn start_bots(
    url: &str,
    plan: &Plan,
    options: &Options,
    figures: &Arc<Mutex<Figures>>,
) -> Vec<UnboundedSender<BotCommand>> {
    let start = Instant::now();
    let bot = |number: usize| {
        let at = start + options.ramp_up.mul_f64(number as f64 / options.players as f64);
        let name = format!("Bot {}", number + 1);
        Bot::start(url, name, at, number as u64, Player::new(plan, figures))
    };
    (0..options.players).map(bot).collect()
}

/// Shows live figures and drops connections until the time is over, or the test is interrupted.
async fn watch(
    options: &Options,
    figures: &Mutex<Figures>,
    bots: &[UnboundedSender<BotCommand>],
    mut lobby: Option<&mut LobbyProcess>,
) -> anyhow::Result<()> {
    let time = options.ramp_up + options.duration;
    let end = Instant::now() + time;
    let style = ProgressStyle::with_template("[{bar:16}] {msg}")?;
    let bar = ProgressBar::new(time.as_millis() as u64).with_style(style);
    let [mut interrupt, mut terminate] =
        [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?];
    let mut glance = interval(REFRESH_PERIOD);
    let each = options.drop_every.div_f64(options.players.max(1) as f64);
    let drops = !each.is_zero();
    let mut drop_at = Instant::now() + options.ramp_up + each;
    let mut before = (Instant::now(), 0);
    loop {
        tokio::select! {
            _ = glance.tick() => {
                let figures = figures.lock().unwrap();
                let start = figures.start.elapsed();
                bar.set_position(start.as_millis() as u64);
                bar.set_message(live(&figures, &mut before));
                if let Some(lobby) = &mut lobby {
                    let ended = lobby.has_ended();
                    ensure!(ended.is_none(), "the lobby has ended: {ended:?}\n{}", lobby.text());
                }
            }
            () = sleep_until(drop_at), if drops => {
                drop_at += each;
                let _ = bots[rand::rng().random_range(0..bots.len())].send(BotCommand::Vanish);
            }
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
            () = sleep_until(end) => break,
        }
    }
    bar.finish_and_clear();
    Ok(())
}

/// The figures of the progress bar. `before`: when it was shown, and deliveries by then.
fn live(figures: &Figures, before: &mut (Instant, u64)) -> String {
    let (now, deliveries) = (Instant::now(), figures.deliveries);
    let seconds = (now - before.0).as_secs_f64().max(1e-3);
    let rate = (deliveries - before.1) as f64 / seconds;
    *before = (now, deliveries);
    let p99 = |time| figures.percentile(time, 99.0).unwrap_or_default();
    format!(
        "{:.0} s  {} players in {} rooms  p99 of joins {:.0}, round trips {:.0} ms  {rate:.0} events/s  {} errors",
        figures.start.elapsed().as_secs_f64(),
        figures.in_rooms(),
        figures.rooms.len(),
        p99(Time::Join),
        p99(Time::RoundTrip),
        figures.errors.values().sum::<u64>(),
    )
}
