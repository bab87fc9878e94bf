//! Settings, parsed once into types.

pub(crate) mod limits;
mod open_files;
pub(crate) mod parse;
pub(crate) mod settings;

pub(crate) use self::limits::Limits;
pub(crate) use self::parse::{MAX_PATH, Origin, Size, authority, without_path};
pub(crate) use self::settings::{LogFormat, Settings};
