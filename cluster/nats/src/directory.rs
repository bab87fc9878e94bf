//! The directory of hosts. Each announces its address periodically; the announcement expires.

use std::net::SocketAddr;
use std::time::Duration;

use async_nats::jetstream::kv::Store;
use futures_util::TryStreamExt as _;
use tokio::sync::Mutex;
use tokio::time::sleep;
use tracing::warn;

use crate::open;

/// How often a host announces itself.
const ANNOUNCE_PERIOD: Duration = Duration::from_secs(2);
/// When an announcement expires.
const MAX_AGE: Duration = Duration::from_secs(10);

/// A bucket of NATS with the address of each host by its name.
pub struct Directory {
    servers: Vec<String>,
    /// Opened when it is first used, and again after an error.
    bucket: Mutex<Option<Store>>,
}

impl Directory {
    pub fn new(servers: &[String]) -> Directory {
        Directory { servers: servers.to_vec(), bucket: Mutex::default() }
    }

    /// The addresses that hosts have announced and that have not expired.
    pub async fn hosts(&self) -> anyhow::Result<Vec<SocketAddr>> {
        self.with_bucket(async |bucket| {
            let mut hosts = Vec::new();
            for name in bucket.keys().await?.try_collect::<Vec<_>>().await? {
                let address = bucket.get(&name).await?;
                let address = address.and_then(|it| String::from_utf8(it.into()).ok());
                hosts.extend(address.and_then(|address| address.parse::<SocketAddr>().ok()));
            }
            Ok(hosts)
        })
        .await
    }

    /// Announces this host again and again, and never ends.
    pub async fn announce(&self, name: &str, link: SocketAddr) {
        let mut is_announced = true;
        loop {
            let announced = self.with_bucket(async |bucket| {
                bucket.put(name, link.to_string().into()).await?;
                Ok(())
            });
            match announced.await {
                Ok(()) => is_announced = true,
                Err(error) if std::mem::take(&mut is_announced) => {
                    warn!(error = format!("{error:#}"), "cannot announce this host in NATS");
                }
                Err(_) => {}
            }
            sleep(ANNOUNCE_PERIOD).await;
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
        // Not kept after an error: NATS may have lost the bucket.
        let answer = ask(&bucket).await?;
        *kept = Some(bucket);
        Ok(answer)
    }
}
