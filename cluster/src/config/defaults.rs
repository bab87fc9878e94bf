//! A project's own defaults.

/// The answers given when the project was generated. Flags and environment override port and seats.
#[derive(Debug, Clone, Copy)]
pub struct Defaults {
    /// The issuer of the tokens. Keep it when the project is renamed, or all
    /// players' tokens become invalid.
    pub name: &'static str,
    /// The lobby's port.
    pub port: u16,
    /// Seats in a room.
    pub seats: usize,
}
