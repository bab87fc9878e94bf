mod messages;
mod room;
mod room_manager;
mod server;

fn main() -> std::process::ExitCode {
    let defaults = cluster::Defaults { name: "echo", port: 3000, seats: 8 };
    cluster::lobby::<server::Server>(defaults).room::<room::Echo>("echo").run()
}
