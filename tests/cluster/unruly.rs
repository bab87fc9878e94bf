//! A program for the tests: a lobby that does what it is told, and rooms that misbehave on demand.

use std::{
    env,
    process::{Child, Command, ExitCode},
    thread,
    time::Duration,
};

use app::cluster::{
    Answer, Cluster, Ctx, Exit, Info, Leave, Lobby, Player, Refusal, Room, RoomId, done, later,
    refuse, reply,
};
use serde::{Deserialize, Serialize};

mod hostile;

fn main() -> ExitCode {
    let is_room = env::args().nth(1).as_deref() == Some("room");
    match env::var("HOSTILE") {
        Ok(how) if is_room => hostile::run(&how),
        _ => app::cluster::main::<Obedient>(),
    }
}

/// Browser to lobby.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Ask {
    /// Create a room.
    Open(NewRoom),
    /// Create a room and join it.
    Play(NewRoom),
    Join {
        room: RoomId,
    },
    Tell {
        room: RoomId,
        text: String,
    },
    Lock {
        room: RoomId,
        locked: bool,
    },
    Close {
        room: RoomId,
    },
    List,
    SeatOf,
    /// Compute elsewhere for so many milliseconds.
    Compute {
        ms: u64,
    },
    Panic,
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct NewRoom {
    capacity: usize,
    options: Options,
    /// Told to the room at once, before it can be ready.
    tell: Vec<String>,
}

impl Default for NewRoom {
    fn default() -> Self {
        NewRoom { capacity: 8, options: Options::default(), tell: vec![] }
    }
}

/// Lobby to browser.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum News {
    Ready { room: RoomId },
    Said { room: RoomId, text: String },
    Exited { room: RoomId, how: &'static str, winner: Option<String> },
}

struct Obedient;

impl Lobby for Obedient {
    type Room = Unruly;
    type Request = Ask;
    type Event = News;

    async fn on_start(_: &Cluster<Self>) -> Result<Self, Refusal> {
        Ok(Obedient)
    }

    fn on_request(&mut self, lobby: &Cluster<Self>, from: &Player, asked: Ask) -> Answer {
        match asked {
            Ask::Open(new) => reply(open(lobby, new)?),
            Ask::Play(new) => lobby.join(from, &open(lobby, new)?),
            Ask::Join { room } => lobby.join(from, &room),
            Ask::Tell { room, text } => lobby.tell(&room, text).and_then(|()| done()),
            Ask::Lock { room, locked } => lobby.lock(&room, locked).and_then(|()| done()),
            Ask::Close { room } => lobby.close(&room, "closed").and_then(|()| done()),
            Ask::List => reply(lobby.rooms()),
            Ask::SeatOf => reply(lobby.seat_of(from)),
            Ask::Compute { ms } => {
                lobby.compute(move |_| thread::sleep(Duration::from_millis(ms)), |_, _, _| {});
                done()
            }
            Ask::Panic => panic!("as asked"),
        }
    }

    fn on_room_ready(&mut self, lobby: &Cluster<Self>, room: &Info<Self>) {
        lobby.broadcast(News::Ready { room: room.id.clone() });
    }

    fn on_room_message(&mut self, lobby: &Cluster<Self>, room: &Info<Self>, text: String) {
        lobby.broadcast(News::Said { room: room.id.clone(), text });
    }

    fn on_room_exit(&mut self, lobby: &Cluster<Self>, room: &Info<Self>, exit: Exit<Outcome>) {
        let how = exit.reason();
        let winner = match exit {
            Exit::Finished(Outcome { winner }) => Some(winner),
            Exit::Closed | Exit::Crashed(_) | Exit::Hung | Exit::NeverReady(_) => None,
        };
        lobby.broadcast(News::Exited { room: room.id.clone(), how, winner });
    }
}

fn open(lobby: &Cluster<Obedient>, new: NewRoom) -> Result<RoomId, Refusal> {
    let room = lobby.create(None, new.capacity, new.options)?;
    new.tell.into_iter().try_for_each(|text| lobby.tell(&room, text))?;
    Ok(room)
}

#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Options {
    opening: Opening,
    /// How long the seat of one who was dropped is kept.
    grace_ms: Option<u64>,
    /// The name of somebody who may not come.
    banned: Option<String>,
}

#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Opening {
    #[default]
    Fine,
    /// Waits for ever.
    Never,
    /// Computes for ever.
    Spin,
    Refuse,
    Panic,
}

/// Browser to room.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Request {
    /// Answered with `n`, and told to everyone.
    Echo {
        n: u64,
    },
    /// Keep this number.
    Log {
        n: u64,
    },
    /// The numbers that were kept.
    Logged,
    /// Answered by a future.
    Later {
        n: u64,
    },
    /// Square `n` elsewhere, in so many milliseconds; 0 panics.
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
    /// Back to the lobby for this reason.
    SendMeAway {
        reason: String,
    },
    LockRoom {
        locked: bool,
    },
    Finish {
        winner: String,
    },
    /// Write a line to stdout and one to stderr.
    Print {
        text: String,
    },
    /// Start a process that lives for a minute; answered with its id.
    Fork,
    Spin,
    Panic,
    Exit,
}

/// Room to browser.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Event {
    Echoed {
        n: u64,
    },
    Computed {
        square: Option<u64>,
    },
    /// What the lobby told this room so far.
    Told {
        texts: Vec<String>,
    },
}

#[derive(Serialize, Deserialize)]
struct Outcome {
    winner: String,
}

#[derive(Default)]
struct Unruly {
    options: Options,
    numbers: Vec<u64>,
    told: Vec<String>,
    forked: Vec<Child>,
}

impl Room for Unruly {
    type Options = Options;
    type Request = Request;
    type Event = Event;
    type Outcome = Outcome;
    type FromLobby = String;
    type ToLobby = String;

    async fn on_open(options: Options, _: &Ctx<Self>) -> Result<Self, Refusal> {
        match options.opening {
            Opening::Fine => Ok(Unruly { options, ..Unruly::default() }),
            Opening::Never => std::future::pending().await,
            Opening::Spin => spin(),
            Opening::Refuse => Err(refuse("no_mood", "Not today.")),
            Opening::Panic => panic!("as asked"),
        }
    }

    fn on_admit(&mut self, _: &Ctx<Self>, player: &Player) -> Result<(), Refusal> {
        match self.options.banned.as_ref() == Some(&player.name) {
            true => Err(refuse("banned", "Not you.")),
            false => Ok(()),
        }
    }

    fn snapshot(&self, _: &Ctx<Self>, _: &Player) -> Option<Event> {
        Some(Event::Told { texts: self.told.clone() })
    }

    fn on_drop(&mut self, _: &Ctx<Self>, _: &Player) -> Option<Duration> {
        self.options.grace_ms.map(Duration::from_millis)
    }

    fn on_leave(&mut self, _: &Ctx<Self>, player: &Player, why: Leave) {
        println!("on_leave {} {why}", player.name);
    }

    fn on_message(&mut self, room: &Ctx<Self>, from: &Player, request: Request) -> Answer {
        match request {
            Request::Echo { n } => {
                room.broadcast(Event::Echoed { n });
                return reply(n);
            }
            Request::Log { n } => self.numbers.push(n),
            Request::Logged => return reply(&self.numbers),
            Request::Later { n } => {
                return later(async move {
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
            Request::TellLobby { text } => room.tell_lobby(text),
            Request::SendMeAway { reason } => room.send_to_lobby(from, reason),
            Request::LockRoom { locked } => room.lock(locked),
            Request::Finish { winner } => room.close(Outcome { winner }),
            Request::Print { text } => {
                println!("{text} on stdout");
                eprintln!("{text} on stderr");
            }
            Request::Fork => {
                let child = Command::new("sleep")
                    .arg("60")
                    .spawn()
                    .map_err(|error| refuse("no_fork", error.to_string()))?;
                let id = child.id();
                self.forked.push(child);
                return reply(id);
            }
            Request::Spin => spin(),
            Request::Panic => panic!("as asked"),
            Request::Exit => std::process::exit(0),
        }
        done()
    }

    fn on_lobby_message(&mut self, room: &Ctx<Self>, text: String) {
        self.told.push(text);
        room.sync();
    }

    async fn on_dispose(self) {
        println!("on_dispose");
    }
}

fn spin() -> ! {
    loop {
        std::hint::spin_loop();
    }
}
