//! What the browser's tests take from the template's.

#[allow(dead_code, reason = "shared with the template's tests")]
pub mod helpers;
