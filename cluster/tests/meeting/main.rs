//! A meeting: two players register, a second later both are in a room, which says hello, and ten
//! seconds later both are back in the lobby.

use std::env;
use std::process::ExitCode;
use std::time::Duration;

use cluster::{
    Arrival, Defaults, Lobby, LobbyContext, Player, Refusal, Room, RoomContext, RoomManager,
};

const WAIT: Duration = Duration::from_secs(1);
const STAY: Duration = Duration::from_secs(10);

cluster::messages! {
    pub enum Said { Hello }
}

#[derive(Default)]
struct Server {
    waiting: Vec<Player>,
}

impl Lobby for Server {
    cluster::lobby_types! {}

    fn on_arrive(&mut self, lobby: &LobbyContext<Self>, player: &Player, how: Arrival<Self>) {
        if how.returned.is_none() {
            self.waiting.push(player.clone());
        }
        if self.waiting.len() == 2 {
            let pair = std::mem::take(&mut self.waiting);
            lobby.after(WAIT, move |_, lobby| {
                if let Ok(room) = lobby.create::<Meeting>(None, 2, ()) {
                    lobby.reroute(&pair, &room);
                }
            });
        }
    }

    fn on_leave(&mut self, _: &LobbyContext<Self>, player: &Player) {
        self.waiting.retain(|other| other.id != player.id);
    }
}

impl RoomManager<Meeting> for Server {}

cluster::kinds!(Server: Meeting = "meeting");

struct Meeting;

impl Room for Meeting {
    cluster::room_types! {
        type Event = Said;
    }

    async fn on_open((): (), _: &RoomContext<Self>) -> Result<Self, Refusal> {
        Ok(Meeting)
    }

    fn on_join(&mut self, room: &RoomContext<Self>, _: &Player) {
        if room.is_full() {
            room.broadcast(Said::Hello);
            room.after(stay(), |_, room| room.close());
        }
    }
}

/// Ten seconds, unless a test sets fewer.
fn stay() -> Duration {
    let set = env::var("STAY_MS").ok().and_then(|ms| ms.parse().ok());
    set.map_or(STAY, Duration::from_millis)
}

fn main() -> ExitCode {
    cluster::run::<Server>(Defaults { name: "meeting", port: 3000, seats: 2 })
}
