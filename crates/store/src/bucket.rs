//! The bucket behind the local tier: the same keys in an object store.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use longshore_reference::Digest;
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutMode, PutPayload, UpdateVersion};
use tokio::time::timeout;
use url::Url;

use self::clients::Clients;
use self::health::Health;
use crate::error::{Error, Refusal};
use crate::event::Observer;
use crate::tier::layout;

mod clients;
mod health;
pub(crate) mod upload;

/// A look-up, or the first bytes of a blob, may take so long; then upstream is asked.
const LOOK_WITHIN: Duration = Duration::from_secs(2);
/// A body that brings nothing for so long is given up.
const IDLE: Duration = Duration::from_secs(30);
/// How long a request may take, beside the time for its bytes.
const SENT_WITHIN: Duration = Duration::from_secs(30);
/// The slowest upload that is waited for: 64 KiB a second.
const SENT_BYTES_PER_SEC_MIN: u64 = 64 << 10;

/// An object store, reached by URL and its usual environment variables. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    clients: Clients,
    health: Arc<Health>,
    /// A request that sends or reads nothing large ends after this time, its retries included.
    patience: Duration,
}

/// What became of a conditional write.
#[derive(Debug)]
pub(crate) enum Put {
    /// It is written; the version for the next write.
    Done(UpdateVersion),
    /// Another one wrote before.
    Conflict,
}

type Chunks = BoxStream<'static, Result<Bytes, Refusal>>;

impl Bucket {
    /// Opens `s3://`, `gs://`, `az://` or `memory://`. Sends no request: a store starts without its bucket.
    pub(crate) fn open(url: &Url, observer: Observer) -> Result<Self, Error> {
        let variables = std::env::vars_os()
            .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)));
        Self::with(url, variables, observer).map_err(|cause| {
            let mut url = url.clone();
            url.set_query(None);
            Error::Url {
                url: url.to_string(),
                reason: cause.to_string(),
            }
        })
    }

    /// Opens a bucket that these variables configure.
    pub(crate) fn with(
        url: &Url,
        variables: impl IntoIterator<Item = (String, String)>,
        observer: Observer,
    ) -> object_store::Result<Self> {
        Ok(Self {
            clients: Clients::new(url, variables)?,
            health: Arc::new(Health::new(observer)),
            patience: SENT_WITHIN,
        })
    }

    /// A blob's size and bytes, of which the first are there. One that fails is none: upstream is asked instead.
    pub(crate) async fn open_blob(&self, digest: &Digest) -> Option<(u64, Chunks)> {
        let key = layout::blob(digest);
        let begun = async {
            let found = self.clients.lookups.get(&self.at(&key)).await?;
            let size = found.meta.size;
            let mut chunks = found.into_stream().fuse();
            let first = chunks.next().await.transpose()?;
            Ok((size, first, chunks))
        };
        let (size, first, chunks) = self.look("read", &key, begun).await?;
        let health = Arc::clone(&self.health);
        let rest = futures_util::stream::unfold(Some(chunks), move |chunks| {
            let health = Arc::clone(&health);
            async move {
                let mut chunks = chunks?;
                let refusal = match timeout(IDLE, chunks.next()).await {
                    Ok(Some(Ok(bytes))) => return Some((Ok(bytes), Some(chunks))),
                    Ok(None) => return None,
                    Ok(Some(Err(cause))) => Refusal::Unreachable {
                        cause: Arc::new(cause),
                    },
                    Err(late) => Refusal::TimedOut {
                        cause: Arc::new(late),
                    },
                };
                health.tell_error("read");
                health.failed();
                Some((Err(refusal), None))
            }
        });
        let first = futures_util::stream::iter(first.map(Ok));
        Some((size, first.chain(rest).boxed()))
    }

    /// Whether a blob is there, and its size.
    pub(crate) async fn blob_size(&self, digest: &Digest) -> Option<u64> {
        let key = layout::blob(digest);
        let at = self.at(&key);
        let found = self.look("find", &key, self.clients.lookups.head(&at));
        Some(found.await?.size)
    }

    /// Reads a small object whole. One that fails is none: upstream is asked instead.
    pub(crate) async fn read(&self, key: &str, bytes_max: u64) -> Option<Bytes> {
        let read = async {
            let found = self.clients.lookups.get(&self.at(key)).await?;
            if found.meta.size > bytes_max {
                return Ok(None);
            }
            found.bytes().await.map(Some)
        };
        self.look("read", key, read).await?
    }

    /// Writes a small object, whatever is there.
    ///
    /// # Errors
    /// It is not written, or this is not known.
    pub(crate) async fn put(&self, key: &str, bytes: Bytes) -> object_store::Result<()> {
        let len = bytes.len() as u64;
        let at = self.at(key);
        let put = self.clients.writes.put(&at, PutPayload::from_bytes(bytes));
        self.in_time(len, put).await.map(|_| ())
    }

    /// Writes a small object unless another one wrote since `version`; without a version, unless there is one.
    ///
    /// # Errors
    /// It is not written, or this is not known.
    pub(crate) async fn put_if(
        &self,
        key: &str,
        bytes: Bytes,
        version: Option<UpdateVersion>,
    ) -> object_store::Result<Put> {
        let len = bytes.len() as u64;
        let at = self.at(key);
        let mode = version.map_or(PutMode::Create, PutMode::Update);
        let payload = PutPayload::from_bytes(bytes);
        let put = self.clients.writes.put_opts(&at, payload, mode.into());
        match self.in_time(len, put).await {
            Ok(put) => Ok(Put::Done(put.into())),
            Err(
                object_store::Error::AlreadyExists { .. }
                | object_store::Error::Precondition { .. }
                // It was removed since.
                | object_store::Error::NotFound { .. },
            ) => Ok(Put::Conflict),
            Err(cause) => Err(cause),
        }
    }

    /// Reads a small object and its version for [`put_if`](Self::put_if).
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) async fn versioned(
        &self,
        key: &str,
        bytes_max: u64,
    ) -> object_store::Result<Option<(Bytes, UpdateVersion)>> {
        let at = self.at(key);
        let read = async {
            let found = self.clients.writes.get(&at).await?;
            let version = UpdateVersion {
                e_tag: found.meta.e_tag.clone(),
                version: found.meta.version.clone(),
            };
            if found.meta.size > bytes_max {
                return Ok((Bytes::new(), version));
            }
            Ok((found.bytes().await?, version))
        };
        match self.in_time(bytes_max, read).await {
            Ok(found) => Ok(Some(found)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(cause) => Err(cause),
        }
    }

    /// Removes an object; one that is not there is removed already.
    ///
    /// # Errors
    /// It is not removed, or this is not known.
    pub(crate) async fn remove(&self, key: &str) -> object_store::Result<()> {
        let at = self.at(key);
        match self.in_time(0, self.clients.writes.delete(&at)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(cause) => Err(cause),
        }
    }

    /// A look-up that a request waits for: in time, and from a bucket that answers. `None` where nothing is there.
    async fn look<T>(
        &self,
        action: &'static str,
        key: &str,
        asked: impl Future<Output = object_store::Result<T>>,
    ) -> Option<T> {
        if !self.health.may_ask() {
            return None;
        }
        let answer = timeout(LOOK_WITHIN, asked).await;
        let cause = match answer.unwrap_or_else(|late| Err(generic(late))) {
            Ok(found) => {
                self.health.answered();
                return Some(found);
            }
            Err(object_store::Error::NotFound { .. }) => {
                self.health.answered();
                return None;
            }
            Err(cause) => cause,
        };
        // Any other error is an answer about this object: a bucket may deny what is not there.
        if matches!(cause, object_store::Error::Generic { .. }) {
            self.health.failed();
        } else {
            self.health.answered();
        }
        self.warn(action, key, cause);
        None
    }

    /// A request that sends or reads so many bytes ends in time: none waits for ever, whatever the server does.
    async fn in_time<T>(
        &self,
        bytes: u64,
        sent: impl Future<Output = object_store::Result<T>>,
    ) -> object_store::Result<T> {
        let time = self.patience + Duration::from_secs(bytes / SENT_BYTES_PER_SEC_MIN);
        within(time, sent).await
    }

    /// A bucket with another patience.
    #[cfg(test)]
    pub(crate) fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    fn at(&self, key: &str) -> Path {
        key.split('/')
            .fold(self.clients.prefix.clone(), |path, part| path.join(part))
    }

    /// Counts and logs a request that failed.
    pub(crate) fn warn(&self, action: &'static str, key: &str, cause: object_store::Error) {
        self.health.tell_error(action);
        let error = Error::Bucket {
            action,
            key: key.to_owned(),
            cause: Arc::new(cause),
        };
        tracing::warn!(error = &error as &dyn std::error::Error, "bucket failed");
    }
}

async fn within<T>(
    time: Duration,
    sent: impl Future<Output = object_store::Result<T>>,
) -> object_store::Result<T> {
    let sent = timeout(time, sent).await;
    sent.unwrap_or_else(|late| Err(generic(late)))
}

pub(crate) fn generic(
    source: impl std::error::Error + Send + Sync + 'static,
) -> object_store::Error {
    object_store::Error::Generic {
        store: "bucket",
        source: Box::new(source),
    }
}
