//! What several lobbies share, in NATS JetStream: the lease of the active one, the changes that
//! outlive it, the key of tokens, and the directory of hosts (`directory.rs`).
//!
//! The active lobby rewrites the entry of the lease periodically. Another one takes it over, by
//! compare and set, once it has seen the entry unchanged for a while. While NATS cannot be reached,
//! nobody can, and no lobby ends. Two may consider themselves active for a moment: hosts obey the
//! one with the later term.
#![cfg(feature = "client")]

mod directory;

use std::time::Duration;

use anyhow::Context as _;
use async_nats::ConnectOptions;
use async_nats::jetstream::context::ContextBuilder;
use async_nats::jetstream::kv::{Config, CreateErrorKind, Store, UpdateErrorKind};
use bytes::Bytes;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

pub use self::directory::Directory;

/// The entry of the active lobby: its id, or nothing when it has stopped.
const ACTIVE: &str = "active";
/// The entry with the key of tokens.
const KEY: &str = "key";
/// How often the active lobby rewrites its entry.
const RENEW_PERIOD: Duration = Duration::from_secs(1);
/// Another lobby takes the entry over once it has seen it unchanged for this long.
const LEASE: Duration = Duration::from_secs(4);
/// How often standbys read it.
const LOOK_PERIOD: Duration = Duration::from_millis(250);
/// The pause before NATS is asked again.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// How long NATS may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// A ban, logout or profile: of what kind, for which id, and the value, which is null for none.
pub type Change = (String, String, Value);

/// Retries until NATS answers.
async fn persist<T, F: Future<Output = anyhow::Result<T>>>(mut ask: impl FnMut() -> F) -> T {
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(error) => warn!(error = format!("{error:#}"), "cannot use NATS; trying again"),
        }
        sleep(RETRY_AFTER).await;
    }
}

/// The key of tokens that all lobbies share. If there is none yet, stores this one. Waits for NATS.
pub async fn share_key(servers: &[String], own: [u8; 32]) -> [u8; 32] {
    let share = || async {
        let bucket = open_lease(servers).await?;
        match bucket.create(KEY, own.to_vec().into()).await {
            Ok(_) => return Ok(own),
            Err(error) if error.kind() == CreateErrorKind::AlreadyExists => {}
            Err(error) => return Err(error.into()),
        }
        let shared = bucket.get(KEY).await?.context("no key")?;
        shared[..].try_into().context("no key of 32 bytes")
    };
    persist(share).await
}

/// The bucket of lease and key.
async fn open_lease(servers: &[String]) -> anyhow::Result<Store> {
    open(servers, "cluster", Duration::ZERO).await
}

/// Opens a bucket, and creates it the first time. Its entries expire after this time; zero: never.
async fn open(servers: &[String], name: &str, max_age: Duration) -> anyhow::Result<Store> {
    let options = ConnectOptions::new().request_timeout(Some(ANSWER_TIMEOUT));
    let client = options.connect(servers).await.context("cannot reach NATS")?;
    let context = ContextBuilder::new().timeout(ANSWER_TIMEOUT).ack_timeout(ANSWER_TIMEOUT);
    let context = context.build(client);
    if let Ok(bucket) = context.get_key_value(name).await {
        return Ok(bucket);
    }
    let num_replicas = if servers.len() < 3 { 1 } else { 3 };
    let config = Config { bucket: name.to_owned(), max_age, num_replicas, ..Config::default() };
    context.create_key_value(config).await.context("cannot create a bucket of NATS")
}

/// The lease of a lobby.
pub struct Lease {
    servers: Vec<String>,
    bucket: Store,
    /// The id of the lobby's process.
    lobby: String,
    /// The entry's, as this lobby wrote it last.
    revision: u64,
}

impl Lease {
    /// Waits for NATS.
    pub async fn open(servers: &[String], lobby: &str) -> Lease {
        let bucket = persist(|| open_lease(servers)).await;
        Lease { servers: servers.to_vec(), bucket, lobby: lobby.to_owned(), revision: 0 }
    }

    /// Waits until this lobby is the active one. Returns its term: later lobbies have greater ones.
    pub async fn acquire(&mut self) -> [u64; 2] {
        let mut seen = (None, Instant::now());
        loop {
            match self.try_acquire(&mut seen).await {
                Ok(Some(term)) => return term,
                Ok(None) => {}
                Err(error) => {
                    debug!(error = format!("{error:#}"), "cannot look at the lease");
                    seen.0 = None;
                    self.reopen().await;
                }
            }
            sleep(LOOK_PERIOD).await;
        }
    }

    /// `seen`: the latest revision, and when it was seen first.
    async fn try_acquire(
        &mut self,
        seen: &mut (Option<u64>, Instant),
    ) -> anyhow::Result<Option<[u64; 2]>> {
        // Fails if the bucket has no leader: then the entry can be read, but nobody can rewrite it.
        let created = self.bucket.status().await?.info.created.unix_timestamp_nanos();
        let entry = self.bucket.entry(ACTIVE).await?;
        let revision = entry.as_ref().map_or(0, |entry| entry.revision);
        if seen.0 != Some(revision) {
            *seen = (Some(revision), Instant::now());
        }
        let is_free = entry.is_some_and(|entry| entry.value.is_empty());
        if !is_free && seen.1.elapsed() < LEASE {
            return Ok(None);
        }
        self.revision = self.bucket.update(ACTIVE, self.lobby.clone().into(), revision).await?;
        // In a new bucket, revisions start over.
        Ok(Some([created as u64, self.revision]))
    }

    /// Renews the lease until another lobby has it, and then cancels `superseded`; or until
    /// `release`, and then lets another lobby have it at once.
    pub async fn hold(mut self, superseded: CancellationToken, release: CancellationToken) {
        match release.run_until_cancelled(self.keep()).await {
            Some(()) => superseded.cancel(),
            None => self.release().await,
        }
    }

    async fn keep(&mut self) {
        let mut is_renewed = true;
        loop {
            sleep(RENEW_PERIOD).await;
            match self.renew().await {
                Ok(true) => is_renewed = true,
                Ok(false) => return,
                Err(error) => {
                    if std::mem::take(&mut is_renewed) {
                        let error = format!("{error:#}");
                        warn!(error, "cannot renew the lease; this lobby goes on");
                    }
                    self.reopen().await;
                }
            }
        }
    }

    /// Renews the lease. Returns `false` if another lobby has it.
    async fn renew(&mut self) -> anyhow::Result<bool> {
        let renewed = self.bucket.update(ACTIVE, self.lobby.clone().into(), self.revision).await;
        self.revision = match renewed {
            Ok(revision) => revision,
            Err(error) if error.kind() == UpdateErrorKind::WrongLastRevision => {
                match self.bucket.entry(ACTIVE).await? {
                    // The answer to an earlier update was lost, or the bucket was.
                    Some(entry) if entry.value == self.lobby => entry.revision,
                    None => 0,
                    Some(_) => return Ok(false),
                }
            }
            Err(error) => return Err(error.into()),
        };
        Ok(true)
    }

    async fn release(&self) {
        let released = self.bucket.update(ACTIVE, "".into(), self.revision);
        let _ = timeout(ANSWER_TIMEOUT, released).await;
    }

    /// Opens the bucket again: NATS may have lost it.
    async fn reopen(&mut self) {
        if let Ok(Ok(bucket)) = timeout(ANSWER_TIMEOUT, open_lease(&self.servers)).await {
            self.bucket = bucket;
        }
    }
}

/// The changes that outlive a lobby: bans, logouts and profiles.
pub struct Changes(Store);

impl Changes {
    /// Returns the changes of earlier lobbies, a sender for those of this lobby, and the task that
    /// stores them in order, until `stop` and until all are stored. Changes expire with the tokens
    /// of their time. Waits for NATS.
    pub async fn follow(
        servers: &[String],
        token_ttl: Duration,
        stop: CancellationToken,
    ) -> (Vec<Change>, UnboundedSender<Change>, JoinHandle<()>) {
        let (changes, before) = persist(|| Changes::open(servers, token_ttl)).await;
        let (sender, made) = mpsc::unbounded_channel();
        (before, sender, tokio::spawn(changes.write(made, stop)))
    }

    /// The bucket, and the changes of earlier lobbies.
    async fn open(servers: &[String], token_ttl: Duration) -> anyhow::Result<(Self, Vec<Change>)> {
        let kept = Changes(open(servers, "cluster-players", token_ttl).await?);
        let mut changes = Vec::new();
        if kept.0.status().await?.values() > 0 {
            let mut entries = kept.0.watch_with_history(">").await?;
            // Only answers to requests have a time limit of their own.
            while let Some(entry) = timeout(ANSWER_TIMEOUT, entries.next()).await?.transpose()? {
                changes.extend(serde_json::from_slice::<Change>(&entry.value));
                if entry.seen_current {
                    break;
                }
            }
        }
        Ok((kept, changes))
    }

    async fn write(self, mut changes: UnboundedReceiver<Change>, stop: CancellationToken) {
        loop {
            let change = tokio::select! {
                biased;
                Some(change) = changes.recv() => change,
                () = stop.cancelled() => return,
            };
            let id: String = change.1.bytes().map(|byte| format!("{byte:02x}")).collect();
            let key = format!("{}.{id}", change.0);
            let value: Bytes = json!(change).to_string().into();
            persist(|| async { Ok(self.0.put(&key, value.clone()).await?) }).await;
        }
    }
}
