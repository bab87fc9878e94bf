//! Helpers of the template's tests that the browser tests share.
#![allow(dead_code, reason = "shared with the template's tests")]

pub mod helpers;
pub mod recipe;
pub mod watch;
