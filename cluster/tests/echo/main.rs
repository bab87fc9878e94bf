mod messages;
mod room;
mod room_manager;
mod server;

fn main() -> std::process::ExitCode {
    cluster::run::<server::Server>(cluster::Defaults { name: "echo", port: 3000, seats: 8 })
}
