#[derive(Default)]
pub struct Server;

impl cluster::Lobby for Server {
    cluster::lobby_types! {}
}
