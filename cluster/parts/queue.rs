//! A matchmaking queue: players wait until there are enough of them, and go to a new room together.
//! It uses only what every hook can do.
//!
//! `server.rs` keeps a [`Queue`] in its state, implements [`Queued`], and calls `self.enqueue(…)`
//! and `self.dequeue(…)` in its hooks, the latter also in `on_leave`. A player whom the room does
//! not admit leaves the queue, too: the page gets `refused { event: "reroute" }`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cluster::{Answer, LobbyContext, Player, RoomManager, RoomOf, Timer, ok};
use tracing::warn;

/// Delay before the next attempt, if no room can be opened.
const RETRY: Duration = Duration::from_secs(1);

/// A lobby with one queue, or with one for each kind of game.
pub trait Queued<R: RoomOf<Self>>: RoomManager<R> {
    /// What players queue for: a mode, a map, a language. `()` if there is one queue.
    type Kind: Ord + Clone + 'static;

    /// The queue in the lobby's state.
    fn queue(&mut self) -> &mut Queue<Self::Kind, Self::Profile>;

    /// The number of players in a room.
    fn rules(&self, kind: &Self::Kind) -> Rules;

    /// The options of a room for these players.
    fn options(&self, kind: &Self::Kind, players: &[Player<Self::Profile>]) -> R::Options;

    /// The event for a player whose place, from 1, or the number of waiting players has changed.
    fn place(&self, place: usize, waiting: usize) -> Self::Event;

    /// Adds a player to this queue and removes them from any other. Keeps their place if they are
    /// in it already. Answers `{}`, and sends `place`.
    fn enqueue(
        &mut self,
        lobby: &LobbyContext<Self>,
        player: &Player<Self::Profile>,
        kind: Self::Kind,
    ) -> Answer {
        if self.queue().find(player).is_some_and(|(waits_for, _)| waits_for == kind) {
            self.tell_places(lobby, &kind);
            return ok();
        }
        self.dequeue(lobby, player);
        let (id, patience) = (player.clone(), self.rules(&kind).patience);
        let timer = lobby.after(patience, move |server, lobby| server.lose_patience(lobby, &id));
        let waiting = Waiting { player: player.clone(), timer, patient: true };
        self.queue().lines.entry(kind.clone()).or_default().push(waiting);
        self.fill(lobby, &kind);
        self.tell_places(lobby, &kind);
        ok()
    }

    /// Removes a player from the queue.
    fn dequeue(&mut self, lobby: &LobbyContext<Self>, player: &Player<Self::Profile>) {
        if let Some((kind, at)) = self.queue().find(player) {
            let line = self.queue().lines.entry(kind.clone()).or_default();
            lobby.cancel(line.remove(at).timer);
            self.queue().lines.retain(|_, line| !line.is_empty());
            self.tell_places(lobby, &kind);
        }
    }

    #[doc(hidden)]
    fn lose_patience(&mut self, lobby: &LobbyContext<Self>, player: &Player<Self::Profile>) {
        if let Some((kind, at)) = self.queue().find(player) {
            self.queue().lines.entry(kind.clone()).or_default()[at].patient = false;
            self.fill_again(lobby, &kind);
        }
    }

    #[doc(hidden)]
    fn fill_again(&mut self, lobby: &LobbyContext<Self>, kind: &Self::Kind) {
        if self.fill(lobby, kind) {
            self.tell_places(lobby, kind);
        }
    }

    /// Opens rooms while there are enough players. Returns whether it opened any.
    #[doc(hidden)]
    fn fill(&mut self, lobby: &LobbyContext<Self>, kind: &Self::Kind) -> bool {
        let mut some_went = false;
        let rules = self.rules(kind);
        while let Some(players) = self.queue().first(kind, &rules) {
            let room = lobby.create::<R>(None, rules.size, self.options(kind, &players));
            let Ok(room) = room.inspect_err(|error| warn!(%error, "the queue cannot open a room"))
            else {
                // One retry at a time, however many players join the queue meanwhile.
                if self.queue().retrying.insert(kind.clone()) {
                    let kind = kind.clone();
                    lobby.after(RETRY, move |server, lobby| {
                        server.queue().retrying.remove(&kind);
                        server.fill_again(lobby, &kind);
                    });
                }
                break;
            };
            let line = self.queue().lines.entry(kind.clone()).or_default();
            line.drain(..players.len()).for_each(|gone| lobby.cancel(gone.timer));
            self.queue().lines.retain(|_, line| !line.is_empty());
            // If the room refuses them, their pages are told, and they are not queued again.
            let opened = room.clone();
            lobby.reroute_then(&players, &room, move |_, lobby, sent| {
                if sent.is_err() {
                    let _ = lobby.close(&opened, "not_needed");
                }
            });
            some_went = true;
        }
        some_went
    }

    #[doc(hidden)]
    fn tell_places(&mut self, lobby: &LobbyContext<Self>, kind: &Self::Kind) {
        let line = self.queue().lines.get(kind).into_iter().flatten();
        let players: Vec<Player<Self::Profile>> =
            line.map(|waiting| waiting.player.clone()).collect();
        for (place, player) in (1..).zip(&players) {
            lobby.send(player, self.place(place, players.len()));
        }
    }
}

/// The number of players in a room.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// The seats of a room, which opens as soon as this many wait. At most 32.
    pub size: usize,
    /// Enough players once somebody has waited for `patience`.
    pub fewest: usize,
    pub patience: Duration,
}

/// The waiting players, in the order of arrival; each at most once.
#[derive(Debug)]
pub struct Queue<Kind, Profile = ()> {
    lines: BTreeMap<Kind, Vec<Waiting<Profile>>>,
    /// Kinds with a retry scheduled.
    retrying: BTreeSet<Kind>,
}

#[derive(Debug)]
struct Waiting<Profile> {
    player: Player<Profile>,
    timer: Timer,
    patient: bool,
}

impl<Kind, Profile> Default for Queue<Kind, Profile> {
    fn default() -> Self {
        Queue { lines: BTreeMap::new(), retrying: BTreeSet::new() }
    }
}

impl<Kind: Ord + Clone, Profile: Clone> Queue<Kind, Profile> {
    /// What a player waits for, and how many are ahead of them.
    pub fn find(&self, player: &Player<Profile>) -> Option<(Kind, usize)> {
        self.lines.iter().find_map(|(kind, line)| {
            let at = line.iter().position(|waiting| waiting.player.id == player.id)?;
            Some((kind.clone(), at))
        })
    }

    /// The players for the next room, if there are enough.
    fn first(&self, kind: &Kind, rules: &Rules) -> Option<Vec<Player<Profile>>> {
        let line = self.lines.get(kind)?;
        let impatient = line.iter().any(|waiting| !waiting.patient);
        let enough = if impatient { rules.fewest.max(1) } else { rules.size };
        let players = line.iter().take(rules.size).map(|waiting| waiting.player.clone());
        (line.len() >= enough).then(|| players.collect())
    }
}

#[cfg(test)]
mod tests {
    use cluster::testing::TestLobby;
    use cluster::{Defaults, Lobby, Refusal, Room, RoomContext};
    use serde_json::json;

    use super::*;

    const DEFAULTS: Defaults = Defaults { name: "queue", port: 0, seats: 3 };
    const PATIENCE: Duration = Duration::from_secs(10);

    cluster::messages! {
        enum Ask { Wait }
        enum News { Place { place: usize, waiting: usize } }
    }

    struct Game;

    impl Room for Game {
        cluster::room_types! {}

        async fn on_open(_: (), _: &RoomContext<Self>) -> Result<Self, Refusal> {
            Ok(Game)
        }
    }

    #[derive(Default)]
    struct Server {
        queue: Queue<()>,
    }

    impl Lobby for Server {
        cluster::lobby_types! {
            type Request = Ask;
            type Event = News;
        }

        fn on_request(&mut self, lobby: &LobbyContext<Self>, from: &Player, _: Ask) -> Answer {
            self.enqueue(lobby, from, ())
        }

        fn on_leave(&mut self, lobby: &LobbyContext<Self>, player: &Player) {
            self.dequeue(lobby, player);
        }
    }

    cluster::kinds!(Server: Game = "game");

    impl RoomManager<Game> for Server {}

    impl Queued<Game> for Server {
        type Kind = ();

        fn queue(&mut self) -> &mut Queue<()> {
            &mut self.queue
        }

        fn rules(&self, (): &()) -> Rules {
            Rules { size: 3, fewest: 2, patience: PATIENCE }
        }

        fn options(&self, (): &(), _: &[Player]) {}

        fn place(&self, place: usize, waiting: usize) -> News {
            News::Place { place, waiting }
        }
    }

    fn waiting<const N: usize>(names: [&str; N]) -> (TestLobby<Server>, [Player; N]) {
        let mut lobby = TestLobby::<Server>::start(DEFAULTS);
        let players = names.map(|name| lobby.player(name));
        for player in &players {
            lobby.ask(player, "wait", json!({})).expect("anyone may wait");
        }
        (lobby, players)
    }

    #[test]
    fn enough_players_go_to_a_room_together() {
        let (mut lobby, players) = waiting(["Ann", "Bob", "Cem", "Dan"]);
        let rooms = [0, 1, 2].map(|player| lobby.enter(&players[player]));
        assert!(rooms.iter().all(|room| *room == rooms[0]));
        assert_eq!(lobby.rerouted(&players[3]), None);
        let first = json!({ "place": 1, "waiting": 1 });
        assert_eq!(lobby.last(&players[3], "place"), Some(&first));
    }

    #[test]
    fn after_a_while_fewer_players_are_enough() {
        let (mut lobby, [ann, bob]) = waiting(["Ann", "Bob"]);
        assert_eq!(lobby.rerouted(&ann), None);
        lobby.advance(PATIENCE);
        assert_eq!(lobby.enter(&ann), lobby.enter(&bob));
    }

    #[test]
    fn a_player_who_leaves_the_lobby_leaves_the_queue() {
        let (mut lobby, [ann, bob]) = waiting(["Ann", "Bob"]);
        lobby.disconnect(&ann);
        let first = json!({ "place": 1, "waiting": 1 });
        assert_eq!(lobby.last(&bob, "place"), Some(&first));
        lobby.advance(PATIENCE);
        assert_eq!(lobby.rerouted(&bob), None, "nobody plays alone");
    }
}
