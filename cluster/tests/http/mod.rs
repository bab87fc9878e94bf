mod base_path;
#[cfg(target_os = "linux")]
mod connection_limits;
mod origin;
pub mod pages;
mod routes;
mod static_files;
