#[cfg(target_os = "linux")]
mod handoff;
pub mod relay;
