use cluster::{Answer, Player, Refusal, Room, RoomContext, ok};

use crate::messages::{Said, Say};

pub struct Echo;

impl Room for Echo {
    cluster::room_types! {
        type Request = Say;
        type Event = Said;
    }

    async fn on_open(_: (), _: &RoomContext<Self>) -> Result<Self, Refusal> {
        Ok(Echo)
    }

    fn on_request(&mut self, room: &RoomContext<Self>, from: &Player, say: Say) -> Answer {
        let Say::Text(text) = say;
        room.broadcast(Said::Text { from: from.name.clone(), text });
        ok()
    }
}
