//! The answers given when this project was generated. Flags and environment override them.

/// The lobby's port.
pub const PORT: u16 = {{lobby_port}};
/// Seats in a room.
pub const SEATS: usize = {{seats}};
