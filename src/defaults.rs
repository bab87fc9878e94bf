//! The answers given when this project was generated. Flags and environment override the numbers.

use cluster::Defaults;

pub const DEFAULTS: Defaults = Defaults { name: "room-clusters", port: 3000, seats: 8 };
