mod circuit_breaker;
mod crash_reports;
mod drain;
mod isolation;
mod process_exit;
mod process_lifetime;
mod reload;
mod room_floods;
mod signals;
#[cfg(target_os = "linux")]
mod starvation;
