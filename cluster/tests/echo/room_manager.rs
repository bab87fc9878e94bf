use crate::room::Echo;
use crate::server::Server;

cluster::kinds!(Server: Echo = "echo");

impl cluster::RoomManager<Echo> for Server {}
