//! The answers given when this project was generated. Flags and environment override the numbers.

use cluster::Defaults;

pub const DEFAULTS: Defaults = Defaults {
    name: "{{project-name}}", // the tokens' issuer; a change logs everybody out
    port: {{lobby_port}},
    seats: {{seats}},
};
