//! The program: the lobby by default, or one of the rooms that a lobby starts.

use std::process::ExitCode;

use app::defaults::DEFAULTS;
use app::server::Server;

fn main() -> ExitCode {
    cluster::run::<Server>(DEFAULTS)
}
