//! Reads files for `ServeDir`: regular ones only, since reading another (a FIFO, a device) may
//! never end, and with a time that changes whenever the content does.

use std::io;
use std::io::ErrorKind::{InvalidFilename, InvalidInput, NotFound};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::fs;
use tokio::io::{AsyncRead, AsyncSeek};
use tower_http::services::fs::{Backend, File, Metadata};

#[derive(Clone)]
pub(super) struct RegularFiles;

/// Of a regular file or a folder.
pub(super) struct Checked(std::fs::Metadata);

/// Nothing else is found; neither is a name that no file can have, with a NUL or too long.
fn check(metadata: io::Result<std::fs::Metadata>) -> io::Result<Checked> {
    match metadata {
        Ok(metadata) if metadata.is_file() || metadata.is_dir() => Ok(Checked(metadata)),
        Err(error) if !matches!(error.kind(), InvalidInput | InvalidFilename) => Err(error),
        _ => Err(NotFound.into()),
    }
}

impl Backend for RegularFiles {
    type File = Box<dyn OpenFile>;
    type Metadata = Checked;
    type OpenFuture = BoxFuture<'static, io::Result<Box<dyn OpenFile>>>;
    type MetadataFuture = BoxFuture<'static, io::Result<Checked>>;

    fn open(&self, path: PathBuf) -> Self::OpenFuture {
        async move {
            // Opening a FIFO would wait for a writer.
            check(fs::metadata(&path).await)?;
            Ok(Box::new(fs::File::open(path).await?) as Box<dyn OpenFile>)
        }
        .boxed()
    }

    fn metadata(&self, path: PathBuf) -> Self::MetadataFuture {
        async move { check(fs::metadata(path).await) }.boxed()
    }
}

impl Metadata for Checked {
    fn is_dir(&self) -> bool {
        self.0.is_dir()
    }

    /// The time of the last change, which no program can set. The modification time may be the same
    /// for each version: 1 in packages of Nix, 1985 in those of npm.
    fn modified(&self) -> io::Result<SystemTime> {
        let (seconds, nanos) = (self.0.ctime().max(0), self.0.ctime_nsec());
        Ok(UNIX_EPOCH + Duration::new(seconds as u64, nanos as u32))
    }

    fn len(&self) -> u64 {
        self.0.len()
    }
}

/// An open file with [`Checked`] metadata. A box of this trait can be read as the file itself can.
pub(super) trait OpenFile: AsyncRead + AsyncSeek + Unpin + Send + Sync {
    fn checked(&self) -> BoxFuture<'_, io::Result<Checked>>;
}

impl OpenFile for fs::File {
    fn checked(&self) -> BoxFuture<'_, io::Result<Checked>> {
        async { check(self.metadata().await) }.boxed()
    }
}

impl File for Box<dyn OpenFile> {
    type Metadata = Checked;
    type MetadataFuture<'a> = BoxFuture<'a, io::Result<Checked>>;

    fn metadata(&self) -> Self::MetadataFuture<'_> {
        self.checked()
    }
}
