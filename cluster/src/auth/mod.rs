//! Authentication of players by tokens.

pub(crate) mod hs256;
pub(crate) mod key;
pub(crate) mod logouts;
pub(crate) mod token;
