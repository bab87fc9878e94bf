//! How a person becomes a player, and what hooks are told when a player arrives.

use std::net::IpAddr;

use axum::http::HeaderMap;
use serde::Deserialize;
use serde_json::{Map, Value};
use tracing::error;

use crate::auth::random_id;
use crate::lobby::Lobby;
use crate::types::{AnyPlayer, LeaveReason, Player, PlayerId, Refusal, RoomId, readable_line};

/// What a page sent to register; [`Lobby::on_register`] gets it. Nothing in it has been checked.
#[derive(Debug, Clone, Deserialize)]
pub struct Registration {
    /// The name as typed, unchecked.
    #[serde(default)]
    pub name: String,
    /// The address that the page connects from; of IPv6 the /64 network, which is one customer's.
    /// Behind a proxy it is the visitor's. `None` for this machine itself.
    #[serde(skip)]
    pub address: Option<IpAddr>,
    /// The headers of the page's websocket, such as `cookie` and `accept-language`.
    #[serde(skip)]
    pub headers: HeaderMap,
    /// All other fields, such as a password or another service's token.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// The player that a registration results in: a new one, or one that you know already.
///
/// An account gives the same id at each registration, and is the same player everywhere:
///
/// ```
/// # use cluster::{Identity, Lobby, PlayerId, Refusal, Registration, refuse};
/// # async fn log_in(name: &str, password: &str) -> Option<u64> { Some(7) }
/// # #[derive(Default)] struct Server;
/// # impl Lobby for Server {
/// #     cluster::lobby_types! {}
/// async fn on_register(form: Registration) -> Result<Identity<Self>, Refusal> {
///     let password = form.more.get("password").and_then(|password| password.as_str());
///     let account = log_in(&form.name, password.unwrap_or_default()).await;
///     let number = account.ok_or(refuse("wrong_password", "Wrong name or password."))?;
///     Ok(Identity::with_id(PlayerId(format!("account-{number}")), form.name))
/// }
/// # }
/// ```
///
/// An id or a name that is longer than 256 bytes or is no [`readable_line`] is refused with
/// `internal`, as is a profile of more than 512 bytes; the log says why.
pub struct Identity<L: Lobby> {
    /// The player's id: a new one, or the same at each registration of this person. 1 to 256 bytes.
    pub id: PlayerId,
    /// The name that other players see. 1 to 256 bytes.
    pub name: String,
    /// What everyone is told about them: [`Lobby::Profile`].
    pub profile: L::Profile,
    /// What only `on_arrive` gets: [`Lobby::Account`].
    pub account: L::Account,
}

/// The longest id, and the longest name, in bytes: a party of 32 fits into one frame of 64 KiB.
const MAX_IDENTITY: usize = 256;

impl<L: Lobby> Identity<L> {
    /// A new player with a random id, this name without spaces around it, and defaults.
    ///
    /// Refuses, with `bad_name`, a name that is no [`readable_line`] of 1 to 24 characters: with
    /// invisible characters, one player could take the name of another.
    pub fn new(name: &str) -> Result<Self, Refusal> {
        let name = readable_line(name, 24).ok_or(Refusal::BAD_NAME)?;
        Ok(Identity::with_id(PlayerId(random_id()), name))
    }

    /// The player with this id, such as that of an account, and defaults. Neither is checked yet.
    pub fn with_id(id: PlayerId, name: impl Into<String>) -> Self {
        let (profile, account) = (L::Profile::default(), L::Account::default());
        Identity { id, name: name.into(), profile, account }
    }

    /// Checks what the user's own `on_register` returned.
    pub(crate) fn check(self) -> Result<(AnyPlayer, L::Account), Refusal> {
        let Identity { id, name, profile, account } = self;
        for text in [&id.0, &name] {
            if text.len() > MAX_IDENTITY || readable_line(text, MAX_IDENTITY).is_none() {
                error!(
                    bytes = text.len(),
                    "on_register: an id or a name is a readable line of 1 to {MAX_IDENTITY} bytes"
                );
                return Err(Refusal::INTERNAL);
            }
        }
        Ok((Player { id, name, profile }.erased()?, account))
    }
}

/// How a player came to the lobby; [`Lobby::on_arrive`] gets it.
///
/// With neither an account nor a room that they return from, they connected with their token: after
/// a reload or a lost connection, even a month later.
pub struct Arrival<L: Lobby> {
    /// What `on_register` passed on: they have just registered.
    pub account: Option<L::Account>,
    /// The room that they return from, and why they left it. Their page is told the same. `None`
    /// more than ten minutes after they left it.
    pub returned: Option<(RoomId, LeaveReason)>,
    /// The room that keeps a seat for them;
    /// [`LobbyContext::send_back`](crate::LobbyContext::send_back) reroutes them there.
    pub seat: Option<RoomId>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Server;

    impl Lobby for Server {
        crate::lobby_types! {}
    }

    #[test]
    fn names_are_checked() {
        let name_of = |name| Identity::<Server>::new(name).map(|identity| identity.name);
        assert_eq!(name_of("  Ann Ö. 🦀 ").unwrap(), "Ann Ö. 🦀");
        for bad in ["", "   ", "a\nb", "a\u{202e}b", "\u{200b}", &"x".repeat(25)] {
            assert_eq!(name_of(bad), Err(Refusal::BAD_NAME), "{bad:?}");
        }
    }
}
