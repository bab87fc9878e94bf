//! Settings, parsed once into types.

mod hosts;
pub(crate) mod limits;
pub(crate) mod parse;
pub(crate) mod settings;

pub use self::hosts::HostSettings;
pub use self::limits::Limits;
pub(crate) use self::parse::{MAX_PATH, authority, without_path};
pub use self::parse::{Origin, PublicUrl, Size};
pub use self::settings::{Defaults, LogFormat, Settings};
