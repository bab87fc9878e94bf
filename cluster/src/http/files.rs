//! Reads files for `ServeDir`: regular ones only, since reading another (a FIFO, a device) may
//! never end, and with a time that changes whenever the content does.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::fs;
use tokio::io::{AsyncRead, AsyncSeek, ReadBuf};
use tower_http::services::fs::{Backend, File, Metadata};

#[derive(Clone)]
pub(super) struct RegularFiles;

pub(super) struct RegularFile(fs::File);

/// Of a regular file or a folder.
pub(super) struct Checked(std::fs::Metadata);

impl Checked {
    fn new(metadata: std::fs::Metadata) -> io::Result<Self> {
        let is_fine = metadata.is_file() || metadata.is_dir();
        if is_fine { Ok(Checked(metadata)) } else { Err(io::ErrorKind::NotFound.into()) }
    }
}

impl Backend for RegularFiles {
    type File = RegularFile;
    type Metadata = Checked;
    type OpenFuture = BoxFuture<'static, io::Result<RegularFile>>;
    type MetadataFuture = BoxFuture<'static, io::Result<Checked>>;

    fn open(&self, path: PathBuf) -> Self::OpenFuture {
        async move {
            // Opening a FIFO would wait for a writer.
            Checked::new(fs::metadata(&path).await?)?;
            Ok(RegularFile(fs::File::open(path).await?))
        }
        .boxed()
    }

    fn metadata(&self, path: PathBuf) -> Self::MetadataFuture {
        async move { Checked::new(fs::metadata(path).await?) }.boxed()
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

impl File for RegularFile {
    type Metadata = Checked;
    type MetadataFuture<'a> = BoxFuture<'a, io::Result<Checked>>;

    fn metadata(&self) -> Self::MetadataFuture<'_> {
        async { Checked::new(self.0.metadata().await?) }.boxed()
    }
}

impl AsyncRead for RegularFile {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncSeek for RegularFile {
    fn start_seek(mut self: Pin<&mut Self>, position: io::SeekFrom) -> io::Result<()> {
        Pin::new(&mut self.0).start_seek(position)
    }

    fn poll_complete(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        Pin::new(&mut self.0).poll_complete(cx)
    }
}
