//! Tokens: who a player is, for days.

pub(crate) mod hs256;
pub(crate) mod key;
pub(crate) mod logouts;
pub(crate) mod token;
