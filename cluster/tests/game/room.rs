//! The rooms of the game. They misbehave on demand.

use std::collections::{BTreeMap, HashMap};
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use cluster::testing::ProcessStat;
use cluster::{
    Answer, Bytes, ComputeError, Job, LeaveReason, Player, PlayerId, Refusal, Room, RoomContext,
    RoomId, Timer, Work, deferred, ok, refuse, reply,
};
use rustix::process::{Signal, getpid, kill_process};
use serde::Serialize;
use serde_json::json;

use crate::channel_abuse::ChannelAbuse;

cluster::messages! {
    #[derive(Default)]
    #[serde(default, deny_unknown_fields)]
    pub struct Options {
        pub title: String,
        pub opening: Opening,
        /// How long the seat of a disconnected player is kept.
        pub grace_ms: Option<u64>,
        /// The name of a player who is not admitted.
        pub banned: Option<String>,
        /// Count joins and leaves without logging them.
        pub quiet: bool,
        /// `on_dispose` never returns.
        pub clings: bool,
        /// The hook that panics; if it concerns a player, only for Eve.
        pub panics: Option<String>,
        /// Start a process that runs for a minute, before opening.
        pub forks: bool,
        /// JSON text can hold such numbers, `serde_json::Value` cannot.
        pub big: u128,
    }

    #[derive(Default)]
    pub enum Opening {
        #[default]
        Fine,
        /// Waits forever.
        Never,
        /// Loops forever.
        Spin,
        Refuse,
        Panic,
        /// Takes this long.
        Late {
            ms: u64,
        },
    }

    /// Browser to room.
    pub enum Request {
        /// Answered with `n` and broadcast.
        Echo {
            n: u64,
        },
        /// Keep this number.
        Log {
            n: u64,
        },
        /// The numbers that were kept.
        Logged,
        /// One more than the player's last number, at first 1; anything else counts as out of
        /// order.
        Next {
            n: u64,
        },
        /// Answered by a future.
        Later {
            n: u64,
        },
        /// Square `n` in a computation of this duration; 0 panics.
        Compute {
            n: u64,
            ms: u64,
        },
        /// Echo `n` later.
        After {
            n: u64,
            ms: u64,
        },
        TellLobby {
            text: String,
        },
        /// Send the requester to the lobby for this reason.
        SendMeAway {
            reason: String,
        },
        LockRoom {
            locked: bool,
        },
        /// On to another room: the player who asks, or another one.
        SendToRoom {
            room: RoomId,
            player: Option<PlayerId>,
        },
        /// From now on transfer everyone who joins to this room.
        PassOn {
            room: RoomId,
        },
        Kick {
            player: PlayerId,
            reason: String,
        },
        Ban {
            player: PlayerId,
            reason: String,
        },
        /// All information in the room's context.
        About,
        /// Counts of joins and of leaves by reason, and the maximum of players.
        Census,
        TickRate {
            hz: u32,
        },
        EmptyTimeout {
            ms: Option<u64>,
        },
        /// Send this many bytes to the requester, to everyone, and to everyone as volatile.
        Bytes {
            n: usize,
        },
        /// Compute this many parts, and the sum of their numbers.
        Parts {
            n: u64,
        },
        /// Compute until it is cancelled.
        Endless,
        CancelCompute,
        /// Start computations that each keep a processor busy for this time.
        Busy {
            jobs: usize,
            ms: u64,
        },
        /// Echo 1, 2, 3 … until cancelled.
        Every {
            ms: u64,
        },
        CancelTimer,
        Finish {
            winner: String,
            /// So many messages to the lobby come first.
            #[serde(default)]
            messages: usize,
        },
        /// Write a line to stdout and one to stderr.
        Print {
            text: String,
        },
        /// Start a process that runs for a minute; answered with its id.
        Fork,
        /// The same, but it leaves the room's process group.
        ForkAway,
        /// Start a process that prints endlessly.
        ForkPrinter,
        /// Print endlessly: lines, or one line.
        PrintForEver {
            lines: bool,
        },
        /// Print this many lines.
        PrintMany {
            lines: usize,
        },
        /// Allocate memory endlessly.
        Hog,
        /// Allocate so much memory, and keep it.
        Allocate {
            mib: usize,
        },
        /// Use so much processor time. Linux only.
        Burn {
            ms: u64,
        },
        /// The resource limits of a child process.
        LimitsOfOthers,
        /// Panic in a callback.
        PanicLater {
            from: String,
        },
        /// Panic with this text.
        PanicOver {
            text: String,
        },
        Spin,
        /// Block the event loop for this time, as no hook should.
        Block {
            ms: u64,
        },
        Panic,
        Exit,
        Abort,
        /// Raise SIGSEGV.
        Segfault,
        /// Overflow the stack.
        Overflow,
        /// The id of the room's process.
        Pid,
        Misbehave(ChannelAbuse),
    }

    /// Room to browser.
    pub enum Event {
        Echoed {
            n: u64,
        },
        Computed {
            square: Option<u64>,
        },
        Part {
            n: u64,
        },
        /// A computation has ended with this result or error.
        Over {
            sum: Option<u64>,
            why: Option<String>,
        },
        Ticked {
            hz: u32,
            n: u64,
        },
        /// All messages from the lobby so far.
        Told {
            texts: Vec<String>,
        },
    }
}

#[derive(Default)]
pub struct GameRoom {
    options: Options,
    numbers: Vec<u64>,
    told: Vec<String>,
    forked: Vec<Child>,
    pass_on: Option<RoomId>,
    census: Census,
    last: HashMap<PlayerId, u64>,
    hz: u32,
    ticks: u64,
    computations: Vec<Job>,
    memory: Vec<Vec<u8>>,
    timers: Vec<Timer>,
}

#[derive(Default, Serialize)]
struct Census {
    joins: u64,
    returns: u64,
    leaves: BTreeMap<String, u64>,
    most: usize,
    in_order: u64,
    out_of_order: u64,
}

impl Room for GameRoom {
    cluster::room_types! {
        type Options = Options;
        type Request = Request;
        type Event = Event;
        type FromLobby = String;
        type ToLobby = String;
    }

    async fn on_open(options: Options, _: &RoomContext<Self>) -> Result<Self, Refusal> {
        if options.forks {
            drop(Command::new("sleep").arg("60").spawn());
        }
        match options.opening {
            Opening::Fine => Ok(GameRoom { options, ..GameRoom::default() }),
            Opening::Never => std::future::pending().await,
            Opening::Spin => spin(),
            Opening::Refuse => Err(refuse("no_mood", "Not today.")),
            Opening::Panic => panic!("as asked"),
            Opening::Late { ms } => {
                tokio::time::sleep(Duration::from_millis(ms)).await;
                Ok(GameRoom { options, ..GameRoom::default() })
            }
        }
    }

    fn on_admit(&mut self, _: &RoomContext<Self>, player: &Player) -> Result<(), Refusal> {
        self.panic_in("on_admit", Some(player));
        match self.options.banned.as_ref() == Some(&player.name) {
            true => Err(refuse("banned", "Not you.")),
            false => Ok(()),
        }
    }

    fn snapshot(&self, _: &RoomContext<Self>, to: &Player) -> Option<Event> {
        self.panic_in("snapshot", Some(to));
        Some(Event::Told { texts: self.told.clone() })
    }

    fn on_disconnect(&mut self, _: &RoomContext<Self>, player: &Player) -> Option<Duration> {
        self.panic_in("on_disconnect", Some(player));
        self.options.grace_ms.map(Duration::from_millis)
    }

    fn on_join(&mut self, room: &RoomContext<Self>, player: &Player) {
        self.panic_in("on_join", Some(player));
        self.census.joins += 1;
        self.census.most = self.census.most.max(room.players().len());
        if let Some(next) = &self.pass_on {
            room.send_to_room(player, next);
        }
        if !self.options.quiet {
            println!("on_join {}", player.name);
        }
    }

    fn on_reconnect(&mut self, _: &RoomContext<Self>, player: &Player) {
        self.panic_in("on_reconnect", Some(player));
        self.census.returns += 1;
    }

    fn on_leave(&mut self, _: &RoomContext<Self>, player: &Player, why: LeaveReason) {
        self.panic_in("on_leave", Some(player));
        *self.census.leaves.entry(why.to_string()).or_default() += 1;
        if !self.options.quiet {
            println!("on_leave {} {why}", player.name);
        }
    }

    fn on_tick(&mut self, room: &RoomContext<Self>, _: Duration) {
        self.panic_in("on_tick", None);
        self.ticks += 1;
        room.broadcast(Event::Ticked { hz: self.hz, n: self.ticks });
    }

    /// Answered with the number of bytes, and broadcast.
    fn on_binary(&mut self, room: &RoomContext<Self>, from: &Player, data: Bytes) -> Answer {
        self.panic_in("on_binary", Some(from));
        room.broadcast_binary(data.clone());
        reply(data.len())
    }

    fn on_request(&mut self, room: &RoomContext<Self>, from: &Player, request: Request) -> Answer {
        match request {
            Request::Echo { n } => {
                room.broadcast(Event::Echoed { n });
                return reply(n);
            }
            Request::Log { n } => self.numbers.push(n),
            Request::Next { n } => {
                let last = self.last.entry(from.id.clone()).or_default();
                self.census.in_order += u64::from(n == *last + 1);
                self.census.out_of_order += u64::from(n != *last + 1);
                *last = n;
            }
            Request::Logged => return reply(&self.numbers),
            Request::Later { n } => {
                return deferred(async move {
                    tokio::task::yield_now().await;
                    Ok(n)
                });
            }
            Request::Compute { n, ms } => {
                room.compute(
                    move |_| {
                        thread::sleep(Duration::from_millis(ms));
                        assert_ne!(n, 0, "as asked");
                        n * n
                    },
                    |_, room, square| room.broadcast(Event::Computed { square: square.ok() }),
                );
            }
            Request::After { n, ms } => {
                room.after(Duration::from_millis(ms), move |_, room| {
                    room.broadcast(Event::Echoed { n });
                });
            }
            Request::TellLobby { text } => room.tell_lobby(text)?,
            Request::SendMeAway { reason } => room.send_to_lobby(from, reason),
            Request::LockRoom { locked } => room.lock(locked),
            Request::SendToRoom { room: to, player } => {
                room.send_to_room(player.as_ref().unwrap_or(&from.id), &to);
            }
            Request::PassOn { room } => self.pass_on = Some(room),
            Request::Kick { player, reason } => room.kick(player, reason),
            Request::Ban { player, reason } => room.ban(player, reason),
            Request::About => {
                let players = room.players();
                let here = players.iter().filter(|player| room.is_here(player));
                return reply(json!({
                    "id": room.id(), "host": room.host(), "code": room.code(),
                    "capacity": room.capacity(), "full": room.is_full(),
                    "locked": room.is_locked(), "elapsed_ms": room.elapsed().as_millis() as u64,
                    "here": here.map(|player| &player.name).collect::<Vec<_>>(),
                    "players": players.iter().map(|player| &player.name).collect::<Vec<_>>(),
                }));
            }
            Request::Census => return reply(&self.census),
            Request::TickRate { hz } => {
                self.hz = hz;
                room.set_tick_rate(hz);
            }
            Request::EmptyTimeout { ms } => room.set_empty_timeout(ms.map(Duration::from_millis)),
            Request::Bytes { n } => {
                room.send_binary(from, vec![1; n]);
                room.broadcast_binary(vec![2; n]);
                room.broadcast_binary_volatile(vec![3; n]);
            }
            Request::Parts { n } => {
                let work =
                    move |work: &Work<u64>| (1..=n).inspect(|part| work.report(*part)).sum::<u64>();
                let job = room.compute_in_parts(
                    work,
                    |_, room, n| room.broadcast(Event::Part { n }),
                    |_, room, sum| over(room, sum),
                );
                self.computations.push(job);
            }
            Request::Endless => {
                let work = |work: &Work<u64>| {
                    for n in 1.. {
                        if work.is_cancelled() {
                            return n;
                        }
                        work.report(n);
                    }
                    0
                };
                let job = room.compute_in_parts(
                    work,
                    |_, room, n| room.broadcast(Event::Part { n }),
                    |_, room, sum| over(room, sum),
                );
                self.computations.push(job);
            }
            Request::CancelCompute => self.computations.drain(..).for_each(|job| job.cancel()),
            Request::Busy { jobs, ms } => {
                for _ in 0..jobs {
                    let until = Instant::now() + Duration::from_millis(ms);
                    let work = move |_: &Work| {
                        while Instant::now() < until {
                            std::hint::spin_loop();
                        }
                        ms
                    };
                    self.computations.push(room.compute(work, |_, room, sum| over(room, sum)));
                }
            }
            Request::Every { ms } => {
                let mut n = 0;
                self.timers.push(room.every(Duration::from_millis(ms), move |_, room| {
                    n += 1;
                    room.broadcast(Event::Echoed { n });
                }));
            }
            Request::CancelTimer => self.timers.drain(..).for_each(|timer| room.cancel(timer)),
            Request::Finish { winner, messages } => {
                (0..messages).try_for_each(|_| room.tell_lobby(format!("{:2000}", "flood")))?;
                room.tell_lobby(format!("the winner is {winner}"))?;
                room.close();
            }
            Request::Print { text } => {
                println!("{text} on stdout");
                eprintln!("{text} on stderr");
            }
            Request::Fork => {
                return self.fork(Command::new("sleep").arg("60"));
            }
            Request::ForkAway => {
                return self.fork(Command::new("setsid").args(["sleep", "60"]));
            }
            Request::ForkPrinter => return self.fork(Command::new("yes").arg("y")),
            Request::PrintForEver { lines: true } => loop {
                println!("again");
            },
            Request::PrintForEver { lines: false } => loop {
                print!("and on and on ");
            },
            Request::PrintMany { lines } => (0..lines).for_each(|n| println!("line {n}")),
            Request::Hog => {
                let mut all = vec![];
                loop {
                    all.push(vec![1_u8; 1 << 20]);
                }
            }
            Request::LimitsOfOthers => {
                let mut shell = Command::new("sh");
                let shell = shell.args(["-c", "ulimit -d; cat /proc/self/oom_score_adj"]);
                let output = shell.output().map_err(|error| refuse("sh", error.to_string()))?;
                return reply(String::from_utf8_lossy(&output.stdout));
            }
            Request::PanicLater { from } => {
                let moment = Duration::from_millis(1);
                match from.as_str() {
                    "timer" => drop(room.after(moment, |_, _| panic!("as asked"))),
                    "compute" => drop(room.compute(|_| (), |_, _, _| panic!("as asked"))),
                    "future" => room.spawn(async { panic!("as asked") }, |_, _, ()| {}),
                    "spawn" => room.spawn(async {}, |_, _, ()| panic!("as asked")),
                    _ => return deferred::<()>(async { panic!("as asked") }),
                }
            }
            Request::Allocate { mib } => self.memory.push(vec![1; mib << 20]),
            Request::Burn { ms } => burn(Duration::from_millis(ms)),
            Request::Spin => spin(),
            Request::Block { ms } => thread::sleep(Duration::from_millis(ms)),
            Request::Panic => panic!("as asked"),
            Request::PanicOver { text } => panic!("{text}"),
            Request::Exit => std::process::exit(0),
            Request::Abort => std::process::abort(),
            Request::Segfault => loop {
                // The first one only removes the standard library's own handler.
                let _ = kill_process(getpid(), Signal::SEGV);
            },
            Request::Overflow => return reply(overflow(1)),
            Request::Pid => return reply(std::process::id()),
            Request::Misbehave(how) => return how.commit(),
        }
        ok()
    }

    fn on_lobby_message(&mut self, room: &RoomContext<Self>, text: String) {
        self.panic_in("on_lobby_message", None);
        self.told.push(text);
        room.sync();
    }

    fn on_drain(&mut self, _: &RoomContext<Self>, _: Duration) {
        self.panic_in("on_drain", None);
        println!("on_drain");
    }

    async fn on_dispose(self) {
        self.panic_in("on_dispose", None);
        println!("on_dispose");
        if self.options.clings {
            std::future::pending().await
        }
    }
}

impl GameRoom {
    fn panic_in(&self, hook: &str, because_of: Option<&Player>) {
        let eve = because_of.is_none_or(|player| player.name == "Eve");
        assert!(!eve || self.options.panics.as_deref() != Some(hook), "as asked");
    }

    fn fork(&mut self, command: &mut Command) -> Answer {
        let child = command.spawn().map_err(|error| refuse("no_fork", error.to_string()))?;
        let id = child.id();
        self.forked.push(child);
        reply(id)
    }
}

fn over(room: &RoomContext<GameRoom>, sum: Result<u64, ComputeError>) {
    let why = sum.err().map(|error| error.to_string());
    room.broadcast(Event::Over { sum: sum.ok(), why });
}

/// Until the process has used so much more.
fn burn(time: Duration) {
    let used = || ProcessStat::of(getpid()).expect("it runs").processor_time;
    let until = used() + time;
    while used() < until {}
}

fn spin() -> ! {
    loop {
        std::hint::spin_loop();
    }
}

/// Deeper than any stack.
fn overflow(n: u64) -> u64 {
    let deep = std::hint::black_box([n; 1024]);
    if n == 0 { deep[0] } else { overflow(n + 1) + deep[1] }
}
