//! The lobby's event loop: handles one event at a time and calls the hooks for it.
//!
//! A request comes as [`FromClient::Message`]. `requests.rs` calls the hook, which returns an
//! `Answer`; the message's `Responder` sends it to the browser. Timers, and the results of async
//! work, come as calls of the scheduler: one more kind of event.

mod arrivals;
pub(crate) mod reload;
mod requests;

pub(crate) use self::requests::OWN_REQUESTS;

use std::time::Duration;

use serde_json::json;
use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::auth::Login;
use crate::lobby::context::{LISTS_PERIOD, List};
use crate::lobby::{Lobby, LobbyContext, RouteCall};
use crate::process::ProcessEvent;
use crate::process::signals::Order;
use crate::rooms::{AnyRoom, RoomHook, RoomNotice};
use crate::runtime::{catch, clock, later};
use crate::socketio::{Conn, FromClient, reroute};
use crate::types::{AnyPlayer, Exit, LeaveReason, Refusal, RoomId, Route};

/// What a connection's token proves: a login, nothing if there is none, or why it is refused.
pub(crate) type Auth = Result<Option<Login>, Refusal>;

/// Where events come from.
pub(crate) struct Inboxes<L> {
    pub clients: mpsc::UnboundedReceiver<FromClient<Auth>>,
    pub processes: mpsc::UnboundedReceiver<ProcessEvent>,
    /// Calls of routes.
    pub calls: mpsc::Receiver<RouteCall<L>>,
    /// Of operators: a flood of other calls does not hold them up.
    pub admin_calls: mpsc::Receiver<RouteCall<L>>,
    /// Of signals.
    pub orders: mpsc::UnboundedReceiver<Order>,
}

/// Sets the timers of the lobby itself.
pub(crate) fn start_timers<L: Lobby>(context: &LobbyContext<L>) {
    context.scheduler.every(LISTS_PERIOD, |_, context| {
        context.publish(List::Rooms);
        context.publish(List::Players);
    });
}

/// Runs until it is asked to reload; or to stop, and then until all rooms have ended. They may do
/// so by themselves for `--drain-timeout`, or until the lobby is asked again. Then they are closed,
/// and have `--stop-timeout` to end. Cancel safe.
pub(crate) async fn run<L: Lobby>(
    handler: &mut EventHandler<'_, L>,
    inboxes: &mut Inboxes<L>,
) -> Order {
    let context = handler.context;
    let mut refill_at = Some(clock::now());
    loop {
        let closes_at = context.rooms.borrow().closes_at;
        let stop_at = closes_at.map(|at| later(at, context.settings.stop_timeout));
        if stop_at.is_some_and(|at| at <= clock::now() || context.rooms.borrow().is_empty()) {
            return Order::Stop;
        }
        let deadline =
            [context.scheduler.deadline(), refill_at, stop_at].into_iter().flatten().min();
        tokio::select! {
            Some(item) = inboxes.clients.recv() => match item {
                FromClient::Connected(conn, auth) => handler.connected(conn, auth),
                FromClient::Message(conn, message) => handler.handle_message(conn, message),
                FromClient::Disconnected { conn, .. } => handler.disconnected(conn),
            },
            Some(event) = inboxes.processes.recv() => handler.on_process(event),
            Some(call) = context.scheduler.next_call() => drop(handler.hook("spawned work", call)),
            Some(call) = inboxes.calls.recv() => drop(handler.hook("a route", call)),
            Some(call) = inboxes.admin_calls.recv() => drop(handler.hook("admin", call)),
            () = clock::sleep_until(deadline) => {}
            Some(order) = inboxes.orders.recv() => match order {
                // Rooms on hosts go on, for the lobby that comes next.
                Order::Stop if context.settings.hosts.are_used() => {
                    let _ = handler.hook("on_stop", |lobby, context| lobby.on_stop(context));
                    context.hosts.iter().for_each(|hosts| hosts.leave_rooms());
                    return Order::Stop;
                }
                Order::Stop => handler.stop(),
                Order::Reload => return Order::Reload,
            }
        }
        let now = clock::now();
        while let Some(call) = context.scheduler.pop_due(now) {
            let _ = handler.hook("timer", call);
        }
        let mut rooms = context.rooms.borrow_mut();
        if refill_at.take_if(|at| *at <= now).is_some() {
            rooms.refill();
        }
        refill_at = refill_at.or_else(|| Some(now + rooms.refill_delay()?));
    }
}

/// The lobby's state and its context, while an event is handled: in the loop, or in a later call.
pub(crate) struct EventHandler<'a, L> {
    pub lobby: &'a mut L,
    pub context: &'a LobbyContext<L>,
}

impl<L: Lobby> EventHandler<'_, L> {
    /// Calls a hook. Refuses with `internal` if it panicked.
    pub fn hook<T>(
        &mut self,
        name: &'static str,
        call: impl FnOnce(&mut L, &LobbyContext<L>) -> T,
    ) -> Result<T, Refusal> {
        self.context.scheduler.now.set(clock::now());
        catch(name, || call(self.lobby, self.context)).map_err(|_| Refusal::INTERNAL)
    }

    pub fn on_process(&mut self, event: ProcessEvent) {
        if let ProcessEvent::Adopted(room, adopted) = event {
            return self.adopt(&room, adopted.0, adopted.1);
        }
        let notices = self.context.rooms.borrow_mut().process(event);
        notices.into_iter().for_each(|notice| self.on_notice(notice));
    }

    /// The lobby is asked to stop. The first time it calls `on_stop` and drains its rooms for
    /// `--drain-timeout`, again it closes them. Tells all pages in the lobby.
    pub fn stop(&mut self) {
        let is_first = self.context.rooms.borrow().closes_at.is_none();
        if is_first {
            let _ = self.hook("on_stop", |lobby, context| lobby.on_stop(context));
        }
        let left = if is_first { self.context.settings.drain_timeout } else { Duration::ZERO };
        self.context.rooms.borrow_mut().stop(left);
        self.context.sessions.borrow().welcomed().for_each(|conn| self.tell_closing(conn));
    }

    /// Tells a page in how many seconds the rooms are closed, if the lobby is about to stop.
    fn tell_closing(&self, conn: &Conn) {
        if let Some(closes_at) = self.context.rooms.borrow().closes_at {
            let left = closes_at.saturating_duration_since(clock::now());
            conn.tell("closing", &json!({ "seconds": left.as_secs_f64().ceil() as u64 }));
        }
    }

    /// Handles what a room reported: calls the hook for it, and tells the players concerned.
    fn on_notice(&mut self, notice: RoomNotice) {
        match notice {
            RoomNotice::Hook(room, hook) => self.room_hook(room, hook),
            RoomNotice::Reroute { player, to, from, asked } => {
                self.reroute(&player, to, from, asked);
            }
            RoomNotice::Refused(player, refusal) => self.context.notify_refused(player, &refusal),
            RoomNotice::Transfer(player, room) => {
                self.context.reroute(player.typed::<L::Profile>(), &room);
            }
            RoomNotice::Connected(player) => {
                let mut sessions = self.context.sessions.borrow_mut();
                sessions.take_exit_notice(&player);
                sessions.mark_stale(&player);
            }
            RoomNotice::Gone { player, room, reason, rerouted } => {
                self.gone(&player, room, reason, rerouted);
            }
        }
    }

    /// Calls a hook for a room. One whose message does not parse is killed, unless it may be of
    /// another build.
    fn room_hook(&mut self, room: AnyRoom, hook: RoomHook) {
        let kind = self.context.kind(&room.kind).expect("rooms are of a registered kind");
        let (id, call) = (room.id.clone(), kind.hook);
        let called = self.hook(hook.name(), |lobby, context| call(lobby, context, room, hook));
        let Ok(Err(error)) = called else { return };
        let mut rooms = self.context.rooms.borrow_mut();
        if rooms.is_adopted(&id) {
            warn!(room = %id, %error, "a message of another build does not parse");
        } else {
            let what = format!("sent a message that does not parse: {error}");
            let _ = rooms.kill(&id, Exit::Crashed(what));
        }
    }

    /// Keeps the reason for a player who is about to return to the lobby.
    fn gone(&mut self, player: &AnyPlayer, room: RoomId, reason: LeaveReason, rerouted: bool) {
        let mut sessions = self.context.sessions.borrow_mut();
        // A player on the way to another room does not return.
        let returns = self.context.seat_of(player).is_none_or(|seat| seat == room);
        // If the room that they moved to has ended already, its notice is kept.
        let moved = reason == LeaveReason::Moved && sessions.exit_notices.contains_key(&player.id);
        if rerouted && returns && !moved {
            sessions.add_exit_notice(player.id.clone(), room, reason);
        }
        drop(sessions);
        self.arrive(&player.id);
    }

    /// Sends a player to a room, from the lobby or from the room they are in.
    fn reroute(&mut self, player: &AnyPlayer, to: Route, from: Option<RoomId>, asked: bool) {
        self.arrive(&player.id); // `welcome` comes first
        let rooms = self.context.rooms.borrow();
        let sessions = self.context.sessions.borrow();
        // A player who did not ask may be in a room, with a stale connection to the lobby.
        let conn = match from.is_some() && !asked {
            true => sessions.newest_conn_of(&player.id),
            false => sessions.conn_of(&player.id),
        };
        info!(player = %player.name, id = %player.id, room = %to.room, "rerouted");
        if let Some(conn) = &conn {
            conn.tell("reroute", &reroute(&to));
        }
        if let Some(from) = from {
            // The room reroutes a player who is not in the lobby.
            rooms.transfer(&from, &player.id, conn.is_none().then_some(to));
        }
    }
}
