use crate::{room::Echo, server::Server};

impl cluster::RoomManager<Echo> for Server {}
