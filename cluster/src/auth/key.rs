//! The lobby's secret: 32 random bytes in a file that only its owner can read. Tokens are signed
//! with it. It never reaches a room or the log.
//!
//! Key rotation: `mv lobby.key lobby.key.old` and restart the lobby, which makes a new key. Delete
//! the old one after `--token-ttl`.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::ExitCode;
use std::{fs, io};

use anyhow::{Context as _, ensure};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

pub(crate) type Key = [u8; 32];

/// The key of the links between a lobby and its hosts.
#[derive(Clone)]
pub(crate) struct LinkKey(Hmac<Sha256>);

impl LinkKey {
    /// What the key of tokens in this file is derived to.
    pub fn derived_from(path: &Path) -> anyhow::Result<Key> {
        let key = LinkKey::new(&load_or_create(path)?);
        Ok(key.mac(&["cluster link"]).finalize().into_bytes().into())
    }

    pub fn new(key: &Key) -> LinkKey {
        LinkKey(Hmac::new_from_slice(key).expect("it may have any length"))
    }

    /// Proves that this process has the key, as hexadecimal digits.
    pub fn prove(&self, parts: &[&str]) -> String {
        let proof = self.mac(parts).finalize().into_bytes();
        proof.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    pub fn verify(&self, parts: &[&str], proof: &str) -> bool {
        is_same(&self.prove(parts), proof)
    }

    fn mac(&self, parts: &[&str]) -> Hmac<Sha256> {
        self.0.clone().chain_update(parts.join(" "))
    }
}

/// Compares secrets in constant time; only the length shows.
pub(crate) fn is_same(one: &str, other: &str) -> bool {
    let pairs = one.bytes().zip(other.bytes());
    one.len() == other.len() && pairs.fold(0, |all, (a, b)| all | a ^ b) == 0
}

/// Prints the key of links, which a host reads from its `--link-key-file`.
pub(crate) fn print_link_key(path: &Path) -> anyhow::Result<ExitCode> {
    io::stdout().write_all(&LinkKey::derived_from(path)?)?;
    Ok(ExitCode::SUCCESS)
}

/// Loads the key, and creates it at the first start.
pub(crate) fn load_or_create(path: &Path) -> anyhow::Result<Key> {
    if let Some(key) = load(path)? {
        return Ok(key);
    }
    let key: Key = rand::random();
    create(path, &key)?;
    tracing::info!(file = %path.display(), "created a key for tokens");
    Ok(key)
}

pub(crate) fn create(path: &Path, key: &Key) -> anyhow::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let created = file.and_then(|mut file| file.write_all(key));
    created.with_context(|| format!("cannot create the key file {}", path.display()))
}

/// Loads the key; `None` if there is no such file.
pub(crate) fn load(path: &Path) -> anyhow::Result<Option<Key>> {
    let name = path.display();
    let failed = || format!("cannot read the key file {name}");
    // Looked at before it is opened: a pipe or a device may block for ever, or never end.
    let file = match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        read => read.with_context(failed)?,
    };
    ensure!(file.is_file(), "cannot read the key file {name}: it is not a regular file");
    ensure!(
        file.len() == 32,
        "{name} holds {} bytes instead of 32: restore it, or delete it for a new key",
        file.len()
    );
    if file.permissions().mode() & 0o077 != 0 {
        tracing::warn!(file = %name, "other users can read the key: chmod 600 it");
    }
    let key = fs::read(path).with_context(failed)?.try_into().ok();
    Ok(Some(key.with_context(failed)?))
}

/// Warns if another lobby uses this key. The lock is held until the file is closed; rooms do not
/// inherit it.
pub(crate) fn lock(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    // Not every file system has locks.
    if let Err(TryLockError::WouldBlock) = file.try_lock() {
        let file = path.display();
        tracing::warn!(%file, "another lobby uses this key: they share neither logouts nor seats");
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use crate::auth::{key::*, token::random_id};

    fn path() -> std::path::PathBuf {
        std::env::temp_dir().join(format!("key-{}", random_id()))
    }

    #[test]
    fn the_key_is_created_once_readable_by_its_owner_alone() {
        let path = path();
        let key = load_or_create(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        let again = [load_or_create(&path).unwrap(), load(&path).unwrap().unwrap()];
        fs::remove_file(&path).unwrap();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(again, [key, key]);
        assert_ne!(load_or_create(&path).unwrap(), key, "another one each time");
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_key_of_another_length_is_refused() {
        let path = path();
        for (bytes, found) in [(0, "0 bytes"), (31, "31 bytes"), (33, "33 bytes")] {
            fs::write(&path, "x".repeat(bytes)).unwrap();
            let errors = [load_or_create(&path).err(), load(&path).err()];
            for error in errors.map(|error| format!("{:#}", error.expect("refused"))) {
                assert!(error.contains(&format!("holds {found} instead of 32")), "{error}");
            }
        }
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_missing_old_key_is_fine_and_an_unreadable_one_is_an_error() {
        assert_eq!(load(&path()).unwrap(), None);
        let error = load(&std::env::temp_dir()).unwrap_err();
        assert!(format!("{error:#}").contains("cannot read the key file"), "{error:#}");
    }
}
