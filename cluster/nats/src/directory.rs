//! Where hosts are. Each tells so again and again; one that has not for a while is forgotten.

use std::net::SocketAddr;
use std::time::Duration;

use async_nats::jetstream::kv::Store;
use futures_util::TryStreamExt as _;
use tokio::sync::Mutex;
use tokio::time::sleep;
use tracing::warn;

use crate::open;

/// How often a host tells where it is.
const TELL_PERIOD: Duration = Duration::from_secs(2);
/// How long that is kept.
const MAX_AGE: Duration = Duration::from_secs(10);

/// A bucket of NATS with the address of each host by its name.
pub struct Directory {
    servers: Vec<String>,
    /// Once it was reached.
    bucket: Mutex<Option<Store>>,
}

impl Directory {
    pub fn new(servers: &[String]) -> Directory {
        Directory { servers: servers.to_vec(), bucket: Mutex::default() }
    }

    /// Where hosts have lately told that they are.
    pub async fn hosts(&self) -> anyhow::Result<Vec<SocketAddr>> {
        self.with_bucket(async |bucket| {
            let mut hosts = Vec::new();
            for name in bucket.keys().await?.try_collect::<Vec<_>>().await? {
                let told = bucket.get(&name).await?;
                let told = told.and_then(|it| String::from_utf8(it.into()).ok());
                hosts.extend(told.and_then(|told| told.parse::<SocketAddr>().ok()));
            }
            Ok(hosts)
        })
        .await
    }

    /// Tells where this host is, and never ends.
    pub async fn tell(&self, name: &str, link: SocketAddr) {
        let mut is_told = true;
        loop {
            let told = self.with_bucket(async |bucket| {
                bucket.put(name, link.to_string().into()).await?;
                Ok(())
            });
            match told.await {
                Ok(()) => is_told = true,
                Err(error) if std::mem::take(&mut is_told) => {
                    warn!(error = format!("{error:#}"), "cannot tell NATS where this host is");
                }
                Err(_) => {}
            }
            sleep(TELL_PERIOD).await;
        }
    }

    async fn with_bucket<T>(
        &self,
        ask: impl AsyncFnOnce(&Store) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let mut kept = self.bucket.lock().await;
        let bucket = match kept.take() {
            Some(bucket) => bucket,
            None => open(&self.servers, "cluster-hosts", MAX_AGE).await?,
        };
        // After an error it is opened again: NATS may have lost it.
        let answer = ask(&bucket).await?;
        *kept = Some(bucket);
        Ok(answer)
    }
}
