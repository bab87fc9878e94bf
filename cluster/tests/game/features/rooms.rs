//! Two small kinds of rooms.

use cluster::{Answer, Refusal, Room, RoomContext, ok};

use super::messages::{Player, Profile, Said, Say};

/// Everyone hears what any player says.
pub struct Chat;

impl Room for Chat {
    cluster::room_types! {
        type Profile = Profile;
        type Request = Say;
        type Event = Said;
    }

    async fn on_open((): (), _: &RoomContext<Self>) -> Result<Self, Refusal> {
        Ok(Chat)
    }

    fn on_request(&mut self, room: &RoomContext<Self>, from: &Player, say: Say) -> Answer {
        match say {
            Say::Text(text) => room.broadcast(Said::Text { from: from.name.clone(), text }),
            Say::Hog => hog(),
        }
        ok()
    }
}

/// No players: it works for the lobby, and never closes for being empty.
pub struct Worker;

impl Room for Worker {
    cluster::room_types! {
        type Profile = Profile;
        type FromLobby = String;
        type ToLobby = String;
    }

    async fn on_open((): (), room: &RoomContext<Self>) -> Result<Self, Refusal> {
        room.set_empty_timeout(None);
        Ok(Worker)
    }

    fn on_lobby_message(&mut self, room: &RoomContext<Self>, text: String) {
        let _ = room.tell_lobby(text.to_uppercase());
    }
}

/// Takes 48 MiB for a while: more than some rooms may have.
pub fn hog() {
    drop(std::hint::black_box(vec![1_u8; 48 << 20]));
}
