//! The answers given when this project was generated. Flags and environment override the numbers.

use cluster::Defaults;

pub const DEFAULTS: Defaults = Defaults {
    name: "room-clusters", // the tokens' issuer; a change logs everybody out
    port: 3000,
    seats: 8,
};
