#[cfg(target_os = "linux")]
mod connection_limits;
mod origin;
pub mod pages;
mod static_files;
