//! What a project says of itself.

/// The answers given when the project was generated. Flags and environment override the numbers.
#[derive(Debug, Clone, Copy)]
pub struct Defaults {
    /// The issuer of the tokens. With another name every player is a stranger: it stays when the project is renamed.
    pub name: &'static str,
    /// The lobby's port.
    pub port: u16,
    /// Seats in a room.
    pub seats: usize,
}
