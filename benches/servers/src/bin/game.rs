//! The project that is measured: a lobby whose rooms echo, and tick if they are told to. It is
//! built as a user's is, with the same profile.

use std::process::ExitCode;
use std::time::Duration;

use cluster::{
    Answer, Defaults, Lobby, LobbyContext, Player, Refusal, Room, RoomContext, RoomManager, ok,
    reply,
};
use rustix::time::{ClockId, clock_gettime};

cluster::messages! {
    pub enum Ask {
        /// Open a room without joining it.
        Open(Options),
        /// Open a room and join it.
        Create(Options),
        Nothing(()),
    }

    #[derive(Default)]
    pub struct Options {
        /// Ticks a second.
        pub hz: u32,
        /// The size of what each tick sends.
        pub bytes: usize,
        pub volatile: bool,
        /// Do not announce players to each other.
        pub quiet: bool,
    }

    #[derive(Default)]
    pub struct Listing {
        score: u32,
    }

    pub enum Say {
        Echo(String),
        /// Show this in the list of rooms.
        Score(u32),
    }

    pub enum Said {
        /// Microseconds of the monotonic clock.
        Tick { due: u64, sent: u64, pad: String },
    }
}

pub struct Bench(Options);

impl Room for Bench {
    cluster::room_types! {
        type Options = Options;
        type Listing = Listing;
        type Request = Say;
        type Event = Said;
    }

    async fn on_open(options: Options, room: &RoomContext<Self>) -> Result<Self, Refusal> {
        room.set_tick_rate(options.hz);
        room.announce_players(!options.quiet);
        Ok(Bench(options))
    }

    fn on_request(&mut self, room: &RoomContext<Self>, _: &Player, say: Say) -> Answer {
        match say {
            Say::Echo(text) => reply(text),
            Say::Score(score) => {
                room.set_listing(Listing { score });
                ok()
            }
        }
    }

    fn on_disconnect(&mut self, _: &RoomContext<Self>, _: &Player) -> Option<Duration> {
        Some(Duration::from_secs(3600))
    }

    fn on_tick(&mut self, room: &RoomContext<Self>, _: Duration) {
        let now = clock_gettime(ClockId::Monotonic);
        let sent = now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1000;
        let due = sent - room.tick_delay().as_micros() as u64;
        let tick = Said::Tick { due, sent, pad: "x".repeat(self.0.bytes) };
        match self.0.volatile {
            true => room.broadcast_volatile(tick),
            false => room.broadcast(tick),
        }
    }
}

#[derive(Default)]
pub struct Server;

impl Lobby for Server {
    cluster::lobby_types! {
        type Request = Ask;
    }

    fn on_request(&mut self, lobby: &LobbyContext<Self>, from: &Player, ask: Ask) -> Answer {
        match ask {
            Ask::Open(options) => reply(lobby.create::<Bench>(None, None, options)?),
            Ask::Create(options) => {
                let room = lobby.create::<Bench>(None, None, options)?;
                lobby.join(from, &room)
            }
            Ask::Nothing(()) => ok(),
        }
    }
}

cluster::kinds!(Server: Bench = "bench");

impl RoomManager<Bench> for Server {}

fn main() -> ExitCode {
    cluster::run::<Server>(Defaults { name: "bench", port: 0, seats: 10_000 })
}
