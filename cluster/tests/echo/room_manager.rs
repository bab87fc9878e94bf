use crate::room::Echo;
use crate::server::Server;

impl cluster::RoomManager<Echo> for Server {}
