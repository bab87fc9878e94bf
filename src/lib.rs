//! Your lobby and your rooms: `server.rs` (the lobby), `room.rs` (a room), `messages.rs` (what is said), and
//! `static/client.js` (the page). `rg HOOK` shows the places.

pub mod defaults;
pub mod messages;
pub mod queue;
pub mod room;
pub mod server;

#[cfg(test)]
mod tests {
    #[test]
    fn the_pages_types_are_those_of_the_messages() {
        cluster::testing::check_types::<crate::server::Server>(env!("CARGO_MANIFEST_DIR"));
    }
}
