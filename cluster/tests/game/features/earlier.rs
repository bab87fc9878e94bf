//! An earlier build of the lobby, whose players had another profile.

use cluster::{Lobby, Refusal, Room, RoomContext, RoomManager};

cluster::messages! {
    pub struct OldProfile {
        color: u32,
    }
}

impl Default for OldProfile {
    fn default() -> Self {
        OldProfile { color: 7 }
    }
}

#[derive(Default)]
pub struct Earlier;

impl Lobby for Earlier {
    cluster::lobby_types! {
        type Profile = OldProfile;
    }
}

pub struct Den;

impl Room for Den {
    cluster::room_types! {
        type Profile = OldProfile;
    }

    async fn on_open((): (), _: &RoomContext<Self>) -> Result<Self, Refusal> {
        Ok(Den)
    }
}

impl RoomManager<Den> for Earlier {}

cluster::kinds!(Earlier: Den = "arena");
