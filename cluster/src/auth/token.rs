//! The token: proves to the lobby who a player is, for days. A JWT that only the lobby makes and
//! reads; rooms never see it, nor the key.

use std::{
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use crate::{
    auth::{
        hs256::HS256_ONLY,
        key::{self, Key},
    },
    runtime::failures::FailureCounter,
    types::{Player, PlayerId, Refusal},
};

pub(crate) const KIND: &str = "player";
/// A token of ours is some 300 bytes, and with the longest name and id 1,700; longer ones are not worth
/// decoding.
pub(crate) const MAX_TOKEN_BYTES: usize = 2048;
/// Tokens may come from the future, for so many seconds: the system's clock may have been put back.
pub(crate) const CLOCK_PUT_BACK: u64 = 24 * 60 * 60;

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    /// What this token is for, should the key ever sign tokens of another kind.
    kind: String,
    sid: String,
    sub: PlayerId,
    name: String,
    iat: u64,
    exp: u64,
}

/// Who somebody is, as his token proves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Login {
    pub player: Player,
    /// One registration, the same in all tokens that follow from it; what a logout ends.
    pub sid: String,
    /// The token to keep from now on, where it is a new one.
    pub token: Option<String>,
}

/// Makes and checks tokens.
pub(crate) struct Tokens {
    issuer: &'static str,
    encoding: EncodingKey,
    decoding: DecodingKey,
    /// Of the key before this one.
    old: Option<DecodingKey>,
    validation: Validation,
    ttl: Duration,
    /// Those that this lobby has not made.
    pub wrong: FailureCounter,
}

impl Tokens {
    /// Reads the key, or makes one at the first start, and the key before it, if there is one.
    pub fn open(
        issuer: &'static str,
        key_file: &Path,
        old_key_file: &Path,
        ttl: Duration,
    ) -> anyhow::Result<Self> {
        Ok(Self::new(
            issuer,
            &key::read_or_make(key_file)?,
            key::read_if_there(old_key_file)?.as_ref(),
            ttl,
        ))
    }

    pub(crate) fn new(issuer: &'static str, key: &Key, old: Option<&Key>, ttl: Duration) -> Self {
        // Once a process; a second lobby in the same process finds it installed.
        let _ = HS256_ONLY.install_default();
        let mut validation = Validation::new(Algorithm::HS256);
        // The library is to look at the signature. Of the claims it would pass many that are missing, of
        // another type, or not alone in a list: they are looked at here.
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        Tokens {
            issuer,
            encoding: EncodingKey::from_secret(key),
            decoding: DecodingKey::from_secret(key),
            old: old.map(|old| DecodingKey::from_secret(old)),
            validation,
            ttl,
            wrong: FailureCounter::new("wrong tokens"),
        }
    }

    /// A new login.
    pub fn issue(&self, player: Player) -> anyhow::Result<Login> {
        let sid = random_id();
        let token = self.sign(&player, &sid, now())?;
        Ok(Login { player, sid, token: Some(token) })
    }

    /// Who has this token. He is given a new one after half of its life, or if an older key has signed it.
    pub fn verify(&self, token: &str) -> Result<Login, Refusal> {
        self.verify_at(token, now())
    }

    pub(crate) fn verify_at(&self, token: &str, now: u64) -> Result<Login, Refusal> {
        let Some((claims, by_old_key)) = self.read(token) else {
            self.wrong.add();
            return Err(Refusal::BAD_TOKEN);
        };
        let Claims { sid, sub: id, name, iat, exp, .. } = claims;
        // A shorter life than when it was made counts as well.
        let end = exp.min(iat.saturating_add(self.life()));
        if end <= now || iat > now.saturating_add(CLOCK_PUT_BACK) {
            return Err(Refusal::BAD_TOKEN);
        }
        let player = Player { id, name };
        let old = now.saturating_sub(iat).saturating_mul(2) > end.saturating_sub(iat);
        let token = (old || by_old_key).then(|| self.sign(&player, &sid, now));
        let token = token.transpose().unwrap_or_else(|error| {
            tracing::error!(%error, "cannot make a token; the one before lasts");
            None
        });
        Ok(Login { player, sid, token })
    }

    /// What a token says that was made here, and whether it was signed with the key before this one.
    fn read(&self, token: &str) -> Option<(Claims, bool)> {
        if token.len() > MAX_TOKEN_BYTES {
            return None;
        }
        let with = |key| jsonwebtoken::decode::<Claims>(token, key, &self.validation).ok();
        let by_this = || Some((with(&self.decoding)?, false));
        let by_old = || Some((with(self.old.as_ref()?)?, true));
        let (read, by_old_key) = by_this().or_else(by_old)?;
        let Claims { iss, kind, sid, sub, name, .. } = &read.claims;
        let ours = read.header == header() && iss == self.issuer && kind == KIND;
        let whole = !sid.is_empty() && !sub.0.is_empty() && !name.is_empty();
        (ours && whole).then_some((read.claims, by_old_key))
    }

    pub(crate) fn sign(&self, player: &Player, sid: &str, now: u64) -> anyhow::Result<String> {
        let claims = Claims {
            iss: self.issuer.to_owned(),
            kind: KIND.to_owned(),
            sid: sid.to_owned(),
            sub: player.id.clone(),
            name: player.name.clone(),
            iat: now,
            exp: now.saturating_add(self.life()),
        };
        Ok(jsonwebtoken::encode(&header(), &claims, &self.encoding)?)
    }

    /// In seconds.
    fn life(&self) -> u64 {
        self.ttl.as_secs()
    }
}

fn header() -> Header {
    Header::new(Algorithm::HS256)
}

/// Seconds since 1970. A clock that stands before that is wrong, and no reason to panic.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// 128 random bits as text, not to be guessed: a ticket.
pub(crate) fn random_ticket() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// 64 random bits as text, different from all others: the id of a new player, or of a login.
pub(crate) fn random_id() -> String {
    format!("{:016x}", rand::random::<u64>())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 60 * 60;
    const TTL: Duration = Duration::from_secs(100 * HOUR);
    const NOW: u64 = 1_800_000_000;

    fn tokens(key: u8, old: Option<u8>) -> Tokens {
        Tokens::new("this-lobby", &[key; 32], old.map(|old| [old; 32]).as_ref(), TTL)
    }

    fn ann() -> Player {
        Player { id: PlayerId("p1".into()), name: "Ann".into() }
    }

    /// Made at this time; for the login "s".
    fn made(tokens: &Tokens, at: u64) -> String {
        tokens.sign(&ann(), "s", at).unwrap()
    }

    #[test]
    fn a_token_proves_who_a_player_is_until_it_expires() {
        let ours = tokens(1, None);
        let login = ours.issue(ann()).unwrap();
        let verified = ours.verify(login.token.as_ref().unwrap()).unwrap();
        assert_eq!(verified, Login { token: None, ..login });
        let token = made(&ours, NOW);
        assert_eq!(ours.verify_at(&token, NOW).unwrap().player, ann());
        assert_eq!(ours.verify_at(&token, NOW + 100 * HOUR - 1).unwrap().player, ann());
        for late in [NOW + 100 * HOUR, NOW + 101 * HOUR, u64::MAX] {
            assert_eq!(ours.verify_at(&token, late), Err(Refusal::BAD_TOKEN), "{late}");
        }
        assert_eq!(ours.wrong.count(), 0, "people come back after months");
    }

    #[test]
    fn after_half_of_its_life_a_token_is_replaced_within_the_same_login() {
        let ours = tokens(1, None);
        let token = made(&ours, NOW);
        assert_eq!(ours.verify_at(&token, NOW + 50 * HOUR).unwrap().token, None);
        let login = ours.verify_at(&token, NOW + 50 * HOUR + 1).unwrap();
        assert_eq!((login.player, &*login.sid), (ann(), "s"));
        let next = login.token.expect("a new one");
        let later = ours.verify_at(&next, NOW + 150 * HOUR).unwrap();
        assert_eq!((later.player, &*later.sid), (ann(), "s"));
        assert_eq!(ours.verify_at(&token, NOW + 100 * HOUR), Err(Refusal::BAD_TOKEN));
    }

    #[test]
    fn tokens_of_the_key_before_are_good_and_replaced_until_that_key_is_deleted() {
        let token = made(&tokens(1, None), NOW);
        let both = tokens(2, Some(1));
        let login = both.verify_at(&token, NOW).unwrap();
        assert_eq!((login.player, &*login.sid), (ann(), "s"));
        let next = login.token.expect("signed with the new key");
        assert_eq!(both.verify_at(&next, NOW).unwrap().token, None);
        let new_alone = tokens(2, None);
        assert_eq!(new_alone.verify_at(&next, NOW).unwrap().player, ann());
        assert_eq!(new_alone.verify_at(&token, NOW), Err(Refusal::BAD_TOKEN));
        assert_eq!(tokens(1, None).verify_at(&next, NOW), Err(Refusal::BAD_TOKEN));
    }

    #[test]
    fn a_shorter_life_counts_for_older_tokens_too_and_a_longer_one_does_not() {
        let (long, short) = (tokens(1, None), tokens(1, None));
        let short = Tokens { ttl: Duration::from_secs(10 * HOUR), ..short };
        let token = made(&long, NOW);
        assert!(short.verify_at(&token, NOW + 10 * HOUR - 1).unwrap().token.is_some());
        assert_eq!(short.verify_at(&token, NOW + 10 * HOUR), Err(Refusal::BAD_TOKEN));
        let token = made(&short, NOW);
        assert_eq!(long.verify_at(&token, NOW + 10 * HOUR), Err(Refusal::BAD_TOKEN));
    }

    #[test]
    fn a_clock_that_is_moved_logs_nobody_out() {
        let ours = tokens(1, None);
        let token = made(&ours, NOW);
        for moved in [NOW - HOUR, NOW + HOUR] {
            let login = ours.verify_at(&token, moved).unwrap();
            assert_eq!((login.player, login.token), (ann(), None));
        }
        // One from next week comes from nowhere, and none makes the numbers too large.
        assert_eq!(ours.verify_at(&token, NOW - 7 * 24 * HOUR), Err(Refusal::BAD_TOKEN));
        let endless = Tokens { ttl: Duration::MAX, ..tokens(1, None) };
        for at in [0, NOW, u64::MAX - 1] {
            for now in [0, NOW, u64::MAX - 1, u64::MAX] {
                let _ = endless.verify_at(&made(&endless, at), now);
            }
        }
    }

    #[test]
    fn the_longest_identity_fits_into_a_token() {
        let ours = tokens(1, None);
        let quotes = "\"".repeat(256);
        let player = Player { id: PlayerId(quotes.clone()), name: quotes };
        let token = ours.issue(player.clone()).unwrap().token.unwrap();
        assert_eq!(ours.verify(&token).unwrap().player, player, "{} bytes", token.len());
    }
}
