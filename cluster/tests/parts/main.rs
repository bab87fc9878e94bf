//! The program of the tests of `parts/waiting_room.rs`: a lobby with a waiting room, and rooms that
//! report with what options a player came.

use std::process::ExitCode;
use std::time::Duration;

use cluster::{
    Answer, Arrival, Exit, Lobby, LobbyContext, Player, Refusal, Room, RoomContext, RoomInfo,
    RoomManager, ok, refuse,
};
use waiting_room::{Rules, Seat, Table, TableRequest, TableView, Tables, WaitingRoom};

#[path = "../../parts/waiting_room.rs"]
mod waiting_room;

cluster::messages! {
    enum Ask {
        Table(TableRequest),
        /// Opens a table whose rooms do this.
        OpenTable { options: Options },
        /// Plays in a room without a waiting room.
        Elsewhere,
    }

    enum News {
        Table(Option<TableView>),
    }

    #[derive(Default)]
    #[serde(default)]
    struct Options {
        refuses_to_open: bool,
        /// Refuses the players of this side.
        refuses_side: Option<usize>,
        fewest: usize,
        countdown: u32,
        grace_ms: u64,
    }

    #[derive(Default)]
    struct Side(Option<usize>);

    enum RoomAsk {
        /// Ends the game.
        Finish,
        /// Sends this player back; the room stays open.
        SendBack,
    }

    enum RoomNews {
        YouAre { side: Option<usize> },
    }
}

#[derive(Default)]
struct Server {
    tables: Tables<Match>,
}

impl Lobby for Server {
    cluster::lobby_types! {
        type Request = Ask;
        type Event = News;
    }

    fn on_request(&mut self, lobby: &LobbyContext<Self>, from: &Player, request: Ask) -> Answer {
        match request {
            Ask::Table(request) => self.table_request(lobby, from, request),
            Ask::OpenTable { options } => self.open_table(lobby, from, false, options),
            Ask::Elsewhere => {
                let room = lobby.create::<Match>(from, 1, Options::default())?;
                lobby.join(from, &room)
            }
        }
    }

    fn on_arrive(&mut self, lobby: &LobbyContext<Self>, player: &Player, _: Arrival<Self>) {
        self.table_presence(lobby, player);
        lobby.send_back(player);
    }

    fn on_leave(&mut self, lobby: &LobbyContext<Self>, player: &Player) {
        self.table_presence(lobby, player);
    }
}

impl WaitingRoom<Match> for Server {
    fn tables(&mut self) -> &mut Tables<Match> {
        &mut self.tables
    }

    fn rules(options: &Options) -> Rules {
        let Options { fewest, countdown, grace_ms, .. } = *options;
        Rules { sides: vec![1, 2], fewest, countdown, grace: Duration::from_millis(grace_ms) }
    }

    fn join_options(seat: &Seat<Match>) -> Side {
        Side(Some(seat.side))
    }

    fn table_event(table: Option<&Table<Match>>) -> News {
        News::Table(table.map(Table::view))
    }
}

cluster::kinds!(Server: Match = "match");

impl RoomManager<Match> for Server {
    fn on_room_exit(&mut self, lobby: &LobbyContext<Self>, room: &RoomInfo<Match>, _: Exit) {
        self.table_room_exit(lobby, &room.id);
    }
}

struct Match {
    refuses_side: Option<usize>,
}

impl Room for Match {
    cluster::room_types! {
        type Options = Options;
        type JoinOptions = Side;
        type Request = RoomAsk;
        type Event = RoomNews;
    }

    async fn on_open(options: Options, _: &RoomContext<Self>) -> Result<Self, Refusal> {
        match options.refuses_to_open {
            true => Err(refuse("no_map", "There is no such map.")),
            false => Ok(Match { refuses_side: options.refuses_side }),
        }
    }

    fn on_admit(&mut self, room: &RoomContext<Self>, player: &Player) -> Result<(), Refusal> {
        let side = room.join_options(player).0;
        match side.is_some() && side == self.refuses_side {
            true => Err(refuse("not_you", "This side may not play.")),
            false => Ok(()),
        }
    }

    fn on_join(&mut self, room: &RoomContext<Self>, player: &Player) {
        let side = room.join_options(player).0;
        room.send(player, RoomNews::YouAre { side });
    }

    fn on_request(&mut self, room: &RoomContext<Self>, from: &Player, ask: RoomAsk) -> Answer {
        match ask {
            RoomAsk::Finish => room.close(),
            RoomAsk::SendBack => room.send_to_lobby(from, "won"),
        }
        ok()
    }

    fn on_disconnect(&mut self, _: &RoomContext<Self>, _: &Player) -> Option<Duration> {
        Some(Duration::from_secs(60))
    }
}

const DEFAULTS: cluster::Defaults = cluster::Defaults { name: "parts", port: 0, seats: 8 };

fn main() -> ExitCode {
    cluster::run::<Server>(DEFAULTS)
}
