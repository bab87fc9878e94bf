//! The token: a JWT that identifies a player to the lobby for days. Rooms see neither tokens nor
//! the key.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::auth::hs256::HS256_ONLY;
use crate::auth::key;
use crate::auth::key::Key;
use crate::config::Settings;
use crate::runtime::FailureCounter;
use crate::types::{AnyPlayer, PlayerId, Refusal};

pub(crate) const KIND: &str = "player";
/// Longer tokens are not decoded. The lobby's own have some 300 bytes, at most 2,400.
pub(crate) const MAX_TOKEN_BYTES: usize = 2560;
/// Seconds that a token may come from the future: the system's clock may have been set back.
pub(crate) const MAX_CLOCK_SKEW: u64 = 24 * 60 * 60;

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    /// The purpose, should the key ever sign tokens of another kind.
    kind: String,
    sid: String,
    sub: PlayerId,
    name: String,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    profile: Value,
    iat: u64,
    exp: u64,
}

/// A player's identity, proved by a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Login {
    pub player: AnyPlayer,
    /// Identifies the login: one registration with all tokens that were renewed from it. A logout
    /// ends it.
    pub sid: String,
    /// A new token, which replaces the one that was shown.
    pub token: Option<String>,
}

/// Issues and verifies tokens.
pub(crate) struct Tokens {
    issuer: &'static str,
    signing_key: EncodingKey,
    /// The current key and, during key rotation, the previous one.
    keys: Vec<DecodingKey>,
    validation: Validation,
    ttl: Duration,
    /// Tokens that are malformed or not ours, or whose login has been logged out. Expired ones do
    /// not count.
    pub rejected: FailureCounter,
}

impl Tokens {
    /// Loads the keys. The current one is created at the first start; the old one may be missing.
    pub fn open(settings: &Settings) -> anyhow::Result<Self> {
        let key = key::load_or_create(&settings.key_file)?;
        let old_key = key::load(&settings.old_key_file)?;
        Ok(Self::new(settings.name, &key, old_key.as_ref(), settings.token_ttl))
    }

    pub(crate) fn new(issuer: &'static str, key: &Key, old: Option<&Key>, ttl: Duration) -> Self {
        // Fails if another lobby in this process has installed it.
        let _ = HS256_ONLY.install_default();
        let mut validation = Validation::new(Algorithm::HS256);
        // The library checks the signature only. Its checks of claims would accept a missing `iss`,
        // an `exp` of another type, or a list that contains the expected value; `verify` and
        // `read` check them.
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        Tokens {
            issuer,
            signing_key: EncodingKey::from_secret(key),
            keys: [key].into_iter().chain(old).map(|key| DecodingKey::from_secret(key)).collect(),
            validation,
            ttl,
            rejected: FailureCounter::new("invalid tokens"),
        }
    }

    /// Starts a login.
    pub fn issue(&self, player: AnyPlayer) -> anyhow::Result<Login> {
        let sid = random_id();
        let token = self.sign(&player, &sid, now())?;
        Ok(Login { player, sid, token: Some(token) })
    }

    /// Gives a login a new token, with what has changed about the player.
    pub fn renew(&self, login: &mut Login, now: u64) {
        match self.sign(&login.player, &login.sid, now) {
            Ok(token) => login.token = Some(token),
            Err(error) => tracing::error!(%error, "cannot renew a token; the old one stays valid"),
        }
    }

    /// Sliding expiration: a token past half of its lifetime, or signed with the old key, is
    /// renewed.
    pub fn verify(&self, token: &str, now: u64) -> Result<Login, Refusal> {
        let Some((claims, is_old_key)) = self.read(token) else {
            self.rejected.add();
            return Err(Refusal::BAD_TOKEN);
        };
        let Claims { sid, sub: id, name, profile, iat, exp, .. } = claims;
        // A lowered `--token-ttl` applies to tokens issued before.
        let end = exp.min(iat.saturating_add(self.ttl.as_secs()));
        if end <= now || iat > now.saturating_add(MAX_CLOCK_SKEW) {
            return Err(Refusal::BAD_TOKEN);
        }
        let player = AnyPlayer { id, name, profile };
        let mut login = Login { player, sid, token: None };
        let is_past_half = now.saturating_sub(iat).saturating_mul(2) > end.saturating_sub(iat);
        if is_past_half || is_old_key {
            self.renew(&mut login, now);
        }
        Ok(login)
    }

    /// The claims of a token of this lobby, and whether the old key has signed it.
    fn read(&self, token: &str) -> Option<(Claims, bool)> {
        if token.len() > MAX_TOKEN_BYTES {
            return None;
        }
        let decode = |key| jsonwebtoken::decode(token, key, &self.validation).ok();
        let mut decoded = self.keys.iter().map(decode).enumerate();
        let (index, data) = decoded.find_map(|(index, data)| Some((index, data?)))?;
        let claims: Claims = data.claims;
        let is_ours = data.header == Header::new(Algorithm::HS256)
            && claims.iss == self.issuer
            && claims.kind == KIND;
        let is_complete =
            !claims.sid.is_empty() && !claims.sub.0.is_empty() && !claims.name.is_empty();
        (is_ours && is_complete).then_some((claims, index > 0))
    }

    pub(crate) fn sign(&self, player: &AnyPlayer, sid: &str, now: u64) -> anyhow::Result<String> {
        let claims = Claims {
            iss: self.issuer.to_owned(),
            kind: KIND.to_owned(),
            sid: sid.to_owned(),
            sub: player.id.clone(),
            name: player.name.clone(),
            profile: player.profile.clone(),
            iat: now,
            exp: now.saturating_add(self.ttl.as_secs()),
        };
        Ok(jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.signing_key)?)
    }
}

/// Seconds since 1970; 0 if the clock is set before that.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// A ticket: 128 random bits as text.
pub(crate) fn random_ticket() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// A unique id for a player or a login: 64 random bits as text.
pub(crate) fn random_id() -> String {
    format!("{:016x}", rand::random::<u64>())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::Relaxed;

    use super::*;
    use crate::types::MAX_PROFILE;

    const HOUR: u64 = 60 * 60;
    const TTL: Duration = Duration::from_secs(100 * HOUR);
    const NOW: u64 = 1_800_000_000;

    fn tokens(key: u8, old: Option<u8>) -> Tokens {
        Tokens::new("this-lobby", &[key; 32], old.map(|old| [old; 32]).as_ref(), TTL)
    }

    fn ann() -> AnyPlayer {
        AnyPlayer { id: PlayerId("p1".into()), name: "Ann".into(), profile: Value::Null }
    }

    /// Issued at this time, for login "s".
    fn issued_at(tokens: &Tokens, at: u64) -> String {
        tokens.sign(&ann(), "s", at).unwrap()
    }

    #[test]
    fn a_token_proves_who_a_player_is_until_it_expires() {
        let ours = tokens(1, None);
        let login = ours.issue(ann()).unwrap();
        let verified = ours.verify(login.token.as_ref().unwrap(), now()).unwrap();
        assert_eq!(verified, Login { token: None, ..login });
        let token = issued_at(&ours, NOW);
        assert_eq!(ours.verify(&token, NOW).unwrap().player, ann());
        assert_eq!(ours.verify(&token, NOW + 100 * HOUR - 1).unwrap().player, ann());
        for late in [NOW + 100 * HOUR, NOW + 101 * HOUR, u64::MAX] {
            assert_eq!(ours.verify(&token, late), Err(Refusal::BAD_TOKEN), "{late}");
        }
        assert_eq!(ours.rejected.count.load(Relaxed), 0, "an expired token is not a forged one");
    }

    #[test]
    fn after_half_of_its_lifetime_a_token_is_renewed_within_its_session() {
        let ours = tokens(1, None);
        let token = issued_at(&ours, NOW);
        assert_eq!(ours.verify(&token, NOW + 50 * HOUR).unwrap().token, None);
        let login = ours.verify(&token, NOW + 50 * HOUR + 1).unwrap();
        assert_eq!((login.player, &*login.sid), (ann(), "s"));
        let next = login.token.expect("a new one");
        let later = ours.verify(&next, NOW + 150 * HOUR).unwrap();
        assert_eq!((later.player, &*later.sid), (ann(), "s"));
        assert_eq!(ours.verify(&token, NOW + 100 * HOUR), Err(Refusal::BAD_TOKEN));
    }

    #[test]
    fn tokens_of_the_old_key_are_renewed_until_that_key_is_deleted() {
        let token = issued_at(&tokens(1, None), NOW);
        let both = tokens(2, Some(1));
        let login = both.verify(&token, NOW).unwrap();
        assert_eq!((login.player, &*login.sid), (ann(), "s"));
        let next = login.token.expect("signed with the new key");
        assert_eq!(both.verify(&next, NOW).unwrap().token, None);
        let new_alone = tokens(2, None);
        assert_eq!(new_alone.verify(&next, NOW).unwrap().player, ann());
        assert_eq!(new_alone.verify(&token, NOW), Err(Refusal::BAD_TOKEN));
        assert_eq!(tokens(1, None).verify(&next, NOW), Err(Refusal::BAD_TOKEN));
    }

    #[test]
    fn a_lowered_ttl_applies_to_older_tokens_and_a_raised_one_does_not() {
        let (long, short) = (tokens(1, None), tokens(1, None));
        let short = Tokens { ttl: Duration::from_secs(10 * HOUR), ..short };
        let token = issued_at(&long, NOW);
        assert!(short.verify(&token, NOW + 10 * HOUR - 1).unwrap().token.is_some());
        assert_eq!(short.verify(&token, NOW + 10 * HOUR), Err(Refusal::BAD_TOKEN));
        let token = issued_at(&short, NOW);
        assert_eq!(long.verify(&token, NOW + 10 * HOUR), Err(Refusal::BAD_TOKEN));
    }

    #[test]
    fn a_clock_that_is_moved_logs_nobody_out() {
        let ours = tokens(1, None);
        let token = issued_at(&ours, NOW);
        for moved in [NOW - HOUR, NOW + HOUR] {
            let login = ours.verify(&token, moved).unwrap();
            assert_eq!((login.player, login.token), (ann(), None));
        }
        // A token from next week is refused, and no time overflows.
        assert_eq!(ours.verify(&token, NOW - 7 * 24 * HOUR), Err(Refusal::BAD_TOKEN));
        let endless = Tokens { ttl: Duration::MAX, ..tokens(1, None) };
        for at in [0, NOW, u64::MAX - 1] {
            for now in [0, NOW, u64::MAX - 1, u64::MAX] {
                let _ = endless.verify(&issued_at(&endless, at), now);
            }
        }
    }

    #[test]
    fn the_longest_identity_fits_into_a_token() {
        let ours = tokens(1, None);
        let quotes = "\"".repeat(256);
        let profile = Value::from("x".repeat(MAX_PROFILE - 2));
        let player = AnyPlayer { id: PlayerId(quotes.clone()), name: quotes, profile };
        let token = ours.issue(player.clone()).unwrap().token.unwrap();
        assert_eq!(ours.verify(&token, now()).unwrap().player, player, "{} bytes", token.len());
    }
}
