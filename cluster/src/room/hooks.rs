//! The hooks of a room. `src/room.rs` implements them; `core/` calls them, except for `on_open`
//! (`process.rs`).

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Bytes;
use crate::room::RoomContext;
use crate::types::{Answer, Data, LeaveReason, Message, Player, Refusal};

/// One room: its state, and its hooks.
///
/// Hooks are called one at a time, in the order of events, by the task that owns the state. What a
/// hook sends goes out when it returns. A hook must not block: use
/// [`spawn`](crate::Scheduler::spawn) for futures and [`compute`](crate::Scheduler::compute) for
/// heavy work. If a hook takes longer than `--heartbeat-timeout` (3 s), the room is killed as hung.
/// If it panics, the room crashes; with `--on-room-panic continue` only that call ends, and a
/// request is refused with `internal`. A panic in `on_open` always ends the room.
///
/// ```
/// use std::time::Duration;
///
/// use cluster::{Answer, Player, Refusal, Room, RoomContext, ok};
///
/// cluster::messages! {
///     pub enum Ask { Press }
///     pub struct Presses(u32);
/// }
///
/// /// A button that its players press a hundred times.
/// struct Button {
///     presses: u32,
/// }
///
/// impl Room for Button {
///     cluster::room_types! {
///         type Request = Ask;
///         type State = Presses;
///     }
///
///     async fn on_open(_: (), _: &RoomContext<Self>) -> Result<Self, Refusal> {
///         Ok(Button { presses: 0 })
///     }
///
///     fn state(&self, _: &RoomContext<Self>) -> Option<Presses> {
///         Some(Presses(self.presses))
///     }
///
///     fn on_request(&mut self, room: &RoomContext<Self>, _: &Player, _: Ask) -> Answer {
///         self.presses += 1;
///         room.sync(); // everyone gets the new state
///         if self.presses == 100 {
///             room.close();
///         }
///         ok()
///     }
///
///     fn on_disconnect(&mut self, _: &RoomContext<Self>, _: &Player) -> Option<Duration> {
///         Some(Duration::from_secs(10)) // to come back
///     }
/// }
/// ```
///
/// Limits: the lobby logs 200 lines a second from each of a room's stdout and stderr, with bursts
/// of 2,000, and counts the rest. It reads 2,000 messages a second from a room, with bursts of
/// 10,000; a room with 4,096 messages, or 8 MiB, that the lobby has not read crashes. An allocation
/// beyond `--room-memory` fails and ends the room.
#[allow(unused_variables, reason = "defaults name their arguments for those who copy them")]
pub trait Room: Sized + 'static {
    /// What the lobby sets at creation, such as a level: a struct of
    /// [`messages!`](crate::messages), at most 60 KiB as JSON. In a public room, every page sees
    /// them in the list of rooms.
    type Options: Data;
    /// What the list of rooms shows of the room beside its options, and may change while it runs:
    /// [`RoomContext::set_listing`] sets it.
    type Listing: Data;
    /// The profile of players: the same type as [`Lobby::Profile`](crate::Lobby::Profile).
    type Profile: Data;
    /// What the lobby passes on with a seat, such as a side:
    /// [`LobbyContext::join_with`](crate::LobbyContext::join_with). [`RoomContext::join_options`]
    /// has it.
    type JoinOptions: Data;
    /// What pages may ask of the room: an enum of [`messages!`](crate::messages). A variant's name,
    /// in snake_case, is the event's name.
    type Request: DeserializeOwned + Message;
    /// What the room sends to pages: an enum as above.
    type Event: Serialize + Message;
    /// What all pages show of the room: see [`state`](Self::state).
    type State: Serialize + Message;
    /// What the lobby sends to the room with [`LobbyContext::tell`](crate::LobbyContext::tell).
    type FromLobby: Serialize + DeserializeOwned;
    /// What the room sends to the lobby with [`RoomContext::tell_lobby`].
    type ToLobby: Serialize + DeserializeOwned;

    /// The room opens: creates its state. Players are admitted when this returns, which must be
    /// within `--ready-timeout` (5 s). A refusal ends the room and is sent to those who wait for
    /// it. No default.
    fn on_open(
        options: Self::Options,
        room: &RoomContext<Self>,
    ) -> impl Future<Output = Result<Self, Refusal>>;

    /// A player sent a request. Requests of one player arrive in the order in which they were sent.
    /// Only the form of a request has been checked: [`readable_line`](crate::readable_line) checks
    /// a text that others will see. Default: refused with `unknown_event`.
    fn on_request(
        &mut self,
        room: &RoomContext<Self>,
        from: &Player<Self::Profile>,
        request: Self::Request,
    ) -> Answer {
        Err(Refusal::unknown_event(""))
    }

    /// A player sent bytes, which a page sends as the event `binary`. Default: refused with
    /// `unknown_event`.
    fn on_binary(
        &mut self,
        room: &RoomContext<Self>,
        from: &Player<Self::Profile>,
        data: Bytes,
    ) -> Answer {
        Err(Refusal::unknown_event("binary"))
    }

    /// May this player take a seat? Called before they connect, and only while a seat is free; they
    /// are not among `players` and `expected` yet, and may still not come.
    /// [`RoomContext::join_options`] has what the lobby passed on. A refusal is sent to the page.
    /// Default: yes.
    fn on_admit(
        &mut self,
        room: &RoomContext<Self>,
        player: &Player<Self::Profile>,
    ) -> Result<(), Refusal> {
        Ok(())
    }

    /// Returns what all pages show of the room, in `cluster.room.state`. Each player is sent it as
    /// they join or return, before `on_join` and `on_reconnect`; those who are there get it after
    /// [`RoomContext::sync`], if it has changed. It is encoded once for all. Default: `None`, the
    /// room has no such state.
    fn state(&self, room: &RoomContext<Self>) -> Option<Self::State> {
        None
    }

    /// Returns an event with what only this player may see, such as their hand. It is sent as
    /// [`state`](Self::state) is, after it, and sends nothing itself. Default: nothing is sent.
    fn snapshot(
        &self,
        room: &RoomContext<Self>,
        to: &Player<Self::Profile>,
    ) -> Option<Self::Event> {
        None
    }

    /// A player has joined: once for each player, before their first request. The others have been
    /// sent `player_joined`. Default: nothing.
    fn on_join(&mut self, room: &RoomContext<Self>, player: &Player<Self::Profile>) {}

    /// A player has lost the connection; `is_here` is false already. `Some(grace)` keeps the seat
    /// for that time, after which `on_leave` follows unless they reconnect. Default: `None`, the
    /// player leaves at once.
    ///
    /// A connection that is closed, as by a reload, is noticed at once. A device that vanishes is
    /// noticed within `--ping-interval` plus `--ping-timeout` (8 s); the grace counts from then.
    fn on_disconnect(
        &mut self,
        room: &RoomContext<Self>,
        player: &Player<Self::Profile>,
    ) -> Option<Duration> {
        None
    }

    /// A player has a new connection: after `on_disconnect`, or from another window. Default:
    /// nothing.
    fn on_reconnect(&mut self, room: &RoomContext<Self>, player: &Player<Self::Profile>) {}

    /// A player has left for good and is not among `players` any more. Called exactly once for each
    /// `on_join`, also for those who are in the room when it ends. In a room that crashes or is
    /// killed no hook is called. Default: nothing.
    ///
    /// When the room ends, it is called for one player after the other, and what it sends still
    /// reaches the rest. The reason is `Finished` or `Closed` then.
    fn on_leave(
        &mut self,
        room: &RoomContext<Self>,
        player: &Player<Self::Profile>,
        reason: LeaveReason,
    ) {
    }

    /// A tick, at the rate set with [`RoomContext::set_tick_rate`]. `dt` is the measured time since
    /// the last one. Ticks missed in a delay of up to two periods are made up for; after a longer
    /// stall they are skipped. [`RoomContext::tick_delay`] is how late this one is. Default:
    /// nothing.
    fn on_tick(&mut self, room: &RoomContext<Self>, dt: Duration) {}

    /// The lobby sent a message with [`LobbyContext::tell`](crate::LobbyContext::tell). Default:
    /// nothing.
    fn on_lobby_message(&mut self, room: &RoomContext<Self>, message: Self::FromLobby) {}

    /// The lobby wants the room to end: it stops, or called
    /// [`LobbyContext::close`](crate::LobbyContext::close). No new players come. The room is closed
    /// after `left`, or as soon as no seat is taken; [`RoomContext::close`] ends it sooner. Called
    /// again if less time is left than the last call said. Default: nothing; the room waits for its
    /// players to leave.
    fn on_drain(&mut self, room: &RoomContext<Self>, left: Duration) {}

    /// Everyone has left: the last hook, for example to save the result. In a room that the lobby
    /// closes it has `--stop-timeout` (2 s). Not called in a room that crashes or is killed.
    /// Default: nothing.
    fn on_dispose(self) -> impl Future<Output = ()> {
        async {}
    }
}
