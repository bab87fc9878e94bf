//! Settings, parsed once into types.

pub(crate) mod limits;
pub(crate) mod parse;
pub(crate) mod settings;
