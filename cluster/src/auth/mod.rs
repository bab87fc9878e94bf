//! Authentication of players by tokens.

mod hs256;
pub(crate) mod key;
pub(crate) mod token;

pub(crate) use self::key::{LinkKey, is_same, load, lock, print_link_key};
pub(crate) use self::token::{Login, Tokens, now, random_id, random_ticket};
