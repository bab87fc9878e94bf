//! A reload: the program at this one's path takes over, with all rooms and their players. The
//! lobby's own connections are cut, and its hooks begin anew.

use std::convert::Infallible;
use std::io::{BufReader, Read};
use std::os::fd::{AsFd as _, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tracing::{info, warn};

use crate::hosts::Fleet;
use crate::lobby::event_loop::{EventHandler, Inboxes};
use crate::lobby::sessions::Sessions;
use crate::lobby::{Kind, Lobby};
use crate::process::{Description, Process, ProcessEvent, Supervisors, VERSION};
use crate::reload;
use crate::rooms::saved::SavedRooms;
use crate::rooms::{AnyRoom, RoomHook};
use crate::runtime::timeout;
use crate::types::RoomId;

/// Raised whenever the state changes its form.
const STATE_VERSION: u32 = 3;
/// Both programs must agree on the state and on the channel to rooms.
const VERSIONS: [u32; 2] = [STATE_VERSION, VERSION];
/// How long supervisors may take to pause. One whose room is ending does not.
const PAUSE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a lobby that starts waits for its hosts.
const FIND_TIMEOUT: Duration = Duration::from_secs(3);

/// What a reload keeps.
#[derive(Deserialize)]
pub(crate) struct SavedLobby {
    pub rooms: SavedRooms,
    pub sessions: Sessions,
    /// What the previous program has handed over: its listener, and the ends of rooms' processes.
    #[serde(skip)]
    pub files: Vec<OwnedFd>,
}

impl SavedLobby {
    /// Reads a state. Fails if this program cannot go on with each of its rooms.
    pub fn read<L: Lobby>(state: impl Read, kinds: &[Kind<L>]) -> anyhow::Result<SavedLobby> {
        let state: Value = serde_json::from_reader(BufReader::new(state))?;
        let is_same = state["versions"] == json!(VERSIONS);
        ensure!(is_same, "the program is of another version of the cluster");
        let saved = SavedLobby::deserialize(state)?;
        saved.rooms.rooms.iter().try_for_each(|saved| check(&saved.room, kinds))?;
        Ok(saved)
    }
}

/// Fails if this program cannot go on with a room.
fn check<L: Lobby>(room: &AnyRoom, kinds: &[Kind<L>]) -> anyhow::Result<()> {
    let AnyRoom { id, kind: name, options, .. } = room;
    let kind = kinds.iter().find(|kind| kind.name == name);
    let kind = kind.with_context(|| format!("room {id}: no kind '{name}'"))?;
    (kind.check_options)(options).with_context(|| format!("room {id}: its options do not parse"))
}

/// What a reload needs of the lobby's process.
pub(crate) struct Reloader {
    pub supervisors: Rc<Supervisors>,
    pub listener: Arc<TcpListener>,
}

impl Reloader {
    /// Replaces the program. Returns if that is not possible: then the rooms go on as before.
    pub async fn reload<L: Lobby>(
        &self,
        handler: &mut EventHandler<'_, L>,
        inboxes: &mut Inboxes<L>,
    ) -> anyhow::Result<Infallible> {
        let context = handler.context;
        ensure!(
            !context.settings.hosts.are_used(),
            "rooms run on hosts, and go on while a lobby starts anew"
        );
        let pause = &self.supervisors.pause;
        context.rooms.borrow_mut().pool.warm.clear(); // these are of the old program
        pause.send_modify(|number| *number += 1);
        let number = *pause.borrow();
        let handed_over = async {
            let paused = async {
                while !context.rooms.borrow().are_paused(pause.receiver_count()) {
                    match inboxes.processes.recv().await {
                        Some(ProcessEvent::Paused(of, process, ends)) if of == number => {
                            let mut rooms = context.rooms.borrow_mut();
                            rooms.paused.insert(process.room.clone(), (process, ends));
                        }
                        Some(event) => handler.on_process(event),
                        None => {}
                    }
                }
            };
            timeout(PAUSE_TIMEOUT, paused).await.context("a room is just ending")?;
            let flushed = context.rooms.borrow().flush();
            ensure!(flushed.await, "a room does not read its channel");
            let (rooms, ends) = context.rooms.borrow_mut().save()?;
            let sessions = json!(*context.sessions.borrow());
            let state = json!({ "versions": VERSIONS, "rooms": rooms, "sessions": sessions });
            let files = ends.iter().map(OwnedFd::as_fd);
            let files: Vec<_> = [self.listener.as_fd()].into_iter().chain(files).collect();
            let asked = || !inboxes.orders.is_empty();
            reload::replace(&state, &files, asked).await
        };
        let failed = handed_over.await;
        context.rooms.borrow_mut().paused.clear();
        pause.send_modify(|number| *number += 1);
        failed
    }
}

impl<L: Lobby> EventHandler<'_, L> {
    /// Goes on with the rooms of the previous program: calls `on_room_adopted` for each.
    pub fn adopt_rooms(&mut self) {
        let ids = self.context.rooms.borrow().ids();
        info!(rooms = ids.len(), "reloaded");
        ids.iter().for_each(|id| self.adopted(id));
    }

    fn adopted(&mut self, id: &RoomId) {
        let Some(room) = self.context.rooms.borrow().find(id) else { return };
        self.context.limit_start(id);
        if self.context.rooms.borrow().is_draining(id) {
            self.context.limit_drain(id);
        }
        self.room_hook(room, RoomHook::Adopted);
    }

    /// Waits until hosts have reported their rooms: players may have seats there.
    pub async fn find_rooms(&mut self, inboxes: &mut Inboxes<L>, fleet: &mut Fleet) {
        let found = async {
            loop {
                tokio::select! {
                    biased;
                    Some(event) = inboxes.processes.recv() => self.on_process(event),
                    _ = async { fleet.discovered.as_mut()?.recv().await } => return,
                }
            }
        };
        let _ = timeout(FIND_TIMEOUT, found).await;
    }

    /// Goes on with a room on a host that an earlier lobby has opened. One that does not fit this
    /// program is killed.
    pub fn adopt(&mut self, id: &RoomId, process: Process, description: Description) {
        let context = self.context;
        let check = |room: &AnyRoom| check(room, &context.kinds);
        let adopted = context.rooms.borrow_mut().adopt(id, process, description, check);
        match adopted {
            Ok(players) => {
                info!(room = %id, "room adopted");
                self.adopted(id);
                // They were here before their room.
                for player in players {
                    if context.sessions.borrow().arrived(&player.id).is_some() {
                        context.reroute(player.typed::<L::Profile>(), id);
                    }
                }
            }
            Err(error) => warn!(room = %id, error = format!("{error:#}"), "room not adopted"),
        }
    }
}
