//! The lobby's secret: 32 random bytes in a file that nobody else can read. Tokens are signed with it,
//! and it goes nowhere else: not into a room, not into the log.
//!
//! To replace it, `mv lobby.key lobby.key.old` and start the lobby again, which makes a new one. The old
//! one can be deleted after `--token-ttl`.

use std::{
    fs,
    io::{ErrorKind, Read as _, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use anyhow::Context as _;

const KEY_BYTES: usize = 32;

pub(crate) type Key = [u8; KEY_BYTES];

/// The key in this file; at the first start it is made.
pub(crate) fn read_or_make(path: &Path) -> anyhow::Result<Key> {
    let key = make(path).and_then(|made| made.map_or_else(|| read(path), Ok));
    key.with_context(|| of_no_use(path))
}

/// The key in this file, if there is such a file.
pub(crate) fn read_if_there(path: &Path) -> anyhow::Result<Option<Key>> {
    match read(path) {
        Err(error) if is(&error, ErrorKind::NotFound) => Ok(None),
        read => read.map(Some).with_context(|| of_no_use(path)),
    }
}

fn of_no_use(path: &Path) -> String {
    format!("the key file {} is of no use", path.display())
}

fn is(error: &anyhow::Error, kind: ErrorKind) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == kind)
}

/// `None`: there is such a file already.
fn make(path: &Path) -> anyhow::Result<Option<Key>> {
    match fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(mut file) => {
            let key: Key = rand::random();
            if let Err(error) = file.write_all(&key) {
                // Half a key would be in the way of the next start.
                let _ = fs::remove_file(path);
                return Err(error.into());
            }
            tracing::info!(file = %path.display(), "made a key for tokens");
            Ok(Some(key))
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn read(path: &Path) -> anyhow::Result<Key> {
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

#[cfg(test)]
mod tests {
    use crate::auth::{key::*, token::random_id};

    fn path() -> std::path::PathBuf {
        std::env::temp_dir().join(format!("key-{}", random_id()))
    }

    #[test]
    fn the_key_is_made_once_for_its_owner_alone_and_kept() {
        let path = path();
        let key = read_or_make(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        let again = [read_or_make(&path).unwrap(), read_if_there(&path).unwrap().unwrap()];
        fs::remove_file(&path).unwrap();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(again, [key, key]);
        assert_ne!(read_or_make(&path).unwrap(), key, "another one each time");
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_key_of_another_length_is_refused() {
        let path = path();
        for (bytes, found) in [(0, "0 bytes"), (31, "31 bytes"), (33, "33 or more bytes")] {
            fs::write(&path, "x".repeat(bytes)).unwrap();
            let errors = [read_or_make(&path).err(), read_if_there(&path).err()];
            for error in errors.map(|error| format!("{:#}", error.expect("refused"))) {
                assert!(error.contains(&format!("it holds {found} instead of 32")), "{error}");
            }
        }
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn there_may_be_no_old_key_but_not_one_that_cannot_be_read() {
        assert_eq!(read_if_there(&path()).unwrap(), None);
        let error = read_if_there(&std::env::temp_dir()).unwrap_err();
        assert!(format!("{error:#}").contains("is of no use"), "{error:#}");
    }
}
