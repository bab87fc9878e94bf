//! The token: proves to the lobby who a player is, for days. A JWT that only the lobby makes and
//! reads; rooms never see it, nor the key.

use std::{
    fs,
    io::{ErrorKind, Read as _, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
    time::Duration,
};

use anyhow::Context as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation,
    crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils},
    errors::ErrorKind as JwtError,
    get_current_timestamp,
    signature::{Error as SignatureError, Signer, Verifier},
};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::words::{Player, PlayerId, Refusal};

const ISSUER: &str = env!("CARGO_PKG_NAME");
const KIND: &str = "player";
const KEY_BYTES: usize = 32;
/// A token of ours is some 250 bytes; longer ones are not worth decoding.
const MAX_TOKEN_BYTES: usize = 2048;

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    /// What this token is for, should the key ever sign tokens of another kind.
    kind: String,
    sub: PlayerId,
    name: String,
    iat: u64,
    exp: u64,
}

/// Makes and checks tokens.
pub(crate) struct Tokens {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
    ttl: Duration,
}

impl Tokens {
    /// Reads the key, or makes one at the first start.
    pub fn open(key_file: &Path, ttl: Duration) -> anyhow::Result<Self> {
        let key = read_or_make_key(key_file)
            .with_context(|| format!("the key file {} is of no use", key_file.display()))?;
        // Once a process; a second lobby in the same process finds it installed.
        let _ = HS256_ONLY.install_default();
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[ISSUER]);
        // `set_issuer` alone would accept a token without the claim.
        validation.set_required_spec_claims(&["exp", "iss", "sub"]);
        validation.leeway = 0;
        Ok(Tokens {
            encoding: EncodingKey::from_secret(&key),
            decoding: DecodingKey::from_secret(&key),
            validation,
            ttl,
        })
    }

    pub fn issue(&self, player: &Player) -> anyhow::Result<String> {
        let now = get_current_timestamp();
        let claims = Claims {
            iss: ISSUER.to_owned(),
            kind: KIND.to_owned(),
            sub: player.id.clone(),
            name: player.name.clone(),
            iat: now,
            exp: now + self.ttl.as_secs(),
        };
        Ok(jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.encoding)?)
    }

    pub fn verify(&self, token: &str) -> Result<Player, Refusal> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Refusal::BadToken);
        }
        let claims = jsonwebtoken::decode::<Claims>(token, &self.decoding, &self.validation)
            .map_err(|_| Refusal::BadToken)?
            .claims;
        if claims.kind != KIND || claims.sub.0.is_empty() {
            return Err(Refusal::BadToken);
        }
        Ok(Player { id: claims.sub, name: claims.name })
    }
}

fn read_or_make_key(path: &Path) -> anyhow::Result<[u8; KEY_BYTES]> {
    let mut options = fs::OpenOptions::new();
    match options.write(true).create_new(true).mode(0o600).open(path) {
        Ok(mut file) => {
            let key: [u8; KEY_BYTES] = rand::random();
            file.write_all(&key)?;
            tracing::info!(file = %path.display(), "made a key for tokens");
            Ok(key)
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let file = fs::File::open(path)?;
            if file.metadata()?.permissions().mode() & 0o077 != 0 {
                tracing::warn!(file = %path.display(), "others can read the key; chmod 600 it");
            }
            let mut key = Vec::new();
            file.take(KEY_BYTES as u64 + 1).read_to_end(&mut key)?;
            let found = key.len();
            key.try_into().ok().with_context(|| {
                let more = if found > KEY_BYTES { " or more" } else { "" };
                format!("it holds {found}{more} bytes instead of {KEY_BYTES}")
            })
        }
        Err(error) => Err(error.into()),
    }
}

/// The one algorithm in use. With its own choice of cryptography jsonwebtoken would pull in some 50
/// crates for algorithms that are never used here.
static HS256_ONLY: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key| Ok(Box::new(Hs256::new(algorithm, key.as_bytes())?)),
    verifier_factory: |algorithm, key| {
        Ok(Box::new(Hs256::new(algorithm, key.try_get_as_bytes()?)?))
    },
    key_utils: KeyUtils::new_unimplemented(),
};

struct Hs256(Hmac<Sha256>);

impl Hs256 {
    fn new(algorithm: &Algorithm, key: &[u8]) -> Result<Self, jsonwebtoken::errors::Error> {
        if *algorithm != Algorithm::HS256 {
            return Err(JwtError::InvalidAlgorithm.into());
        }
        Hmac::new_from_slice(key).map(Hs256).map_err(|_| JwtError::InvalidKeyFormat.into())
    }

    fn over(&self, message: &[u8]) -> Hmac<Sha256> {
        self.0.clone().chain_update(message)
    }
}

impl Signer<Vec<u8>> for Hs256 {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, SignatureError> {
        Ok(self.over(message).finalize().into_bytes().to_vec())
    }
}

impl Verifier<Vec<u8>> for Hs256 {
    /// In constant time.
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), SignatureError> {
        self.over(message).verify_slice(signature).map_err(|_| SignatureError::new())
    }
}

impl JwtSigner for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

impl JwtVerifier for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

/// 128 random bits as text, not to be guessed: a ticket.
pub(crate) fn random_ticket() -> String {
    format!("{:032x}", rand::random::<u128>())
}

/// 64 random bits as text, different from all others: the id of a new player.
pub(crate) fn random_id() -> String {
    format!("{:016x}", rand::random::<u64>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(ttl: Duration) -> Tokens {
        let path = std::env::temp_dir().join(format!("key-{}", random_id()));
        let tokens = Tokens::open(&path, ttl).unwrap();
        let again = Tokens::open(&path, ttl).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        fs::remove_file(&path).unwrap();
        assert_eq!(mode & 0o777, 0o600);
        let ann = Player { id: PlayerId("p1".into()), name: "Ann".into() };
        assert_eq!(again.verify(&tokens.issue(&ann).unwrap()), Ok(ann), "the key was kept");
        tokens
    }

    #[test]
    fn a_token_proves_who_a_player_is_until_it_expires() {
        let ann = Player { id: PlayerId("p1".into()), name: "Ann".into() };
        let valid = tokens(Duration::from_secs(60));
        assert_eq!(valid.verify(&valid.issue(&ann).unwrap()), Ok(ann.clone()));
        let expired = Tokens { ttl: Duration::ZERO, ..valid };
        let token = expired.issue(&ann).unwrap();
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        while expired.verify(&token).is_ok() {
            assert!(std::time::Instant::now() < deadline, "still valid");
            std::thread::yield_now();
        }
    }

    #[test]
    fn what_the_lobby_did_not_make_is_refused() {
        let ours = tokens(Duration::from_secs(60));
        let ann = Player { id: PlayerId("p1".into()), name: "Ann".into() };
        let token = ours.issue(&ann).unwrap();
        let (head, signature) = token.rsplit_once('.').unwrap();
        let (header, claims) = head.split_once('.').unwrap();
        // {"alg":"none"} and {"alg":"HS512","typ":"JWT"}
        let others = ["eyJhbGciOiJub25lIn0", "eyJhbGciOiJIUzUxMiIsInR5cCI6IkpXVCJ9"];
        let forged = [
            String::new(),
            "x.y.z".into(),
            format!("{head}."),
            format!("{head}.{}", signature.chars().rev().collect::<String>()),
            format!("{}.{claims}.", others[0]),
            format!("{}.{claims}.{signature}", others[1]),
            tokens(Duration::from_secs(60)).issue(&ann).unwrap(),
            "a".repeat(MAX_TOKEN_BYTES + 1),
            format!("{header}.{claims}"),
        ];
        for token in forged {
            assert_eq!(ours.verify(&token), Err(Refusal::BadToken), "{token}");
        }
    }

    #[test]
    fn a_short_key_is_refused() {
        let path = std::env::temp_dir().join(format!("key-{}", random_id()));
        fs::write(&path, "too short").unwrap();
        let error = Tokens::open(&path, Duration::from_secs(1)).err().unwrap();
        fs::remove_file(&path).unwrap();
        assert!(format!("{error:#}").contains("9 bytes instead of 32"), "{error:#}");
    }
}
