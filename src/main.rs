//! Which role is this process: the lobby (default), or one of the rooms that the lobby starts.

use std::process::ExitCode;

fn main() -> ExitCode {
    cluster::main::<app::server::Server>(app::defaults::DEFAULTS)
}
