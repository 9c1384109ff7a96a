//! The bucket behind the local tier: the same keys in an object store.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use longshore_reference::Digest;
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStoreExt, PutPayload};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use url::Url;

use self::clients::Clients;
use self::health::Health;
use crate::error::{Error, Refusal};
use crate::store::Observer;
use crate::tier::Tier;
use crate::tier::layout;

mod clients;
mod health;

/// Bytes of one part of an upload: 8 MiB. Smaller blobs are one request.
const PART_BYTES: u64 = 8 << 20;
/// Parts of one blob on their way at once.
const PARTS_IN_FLIGHT: usize = 2;
/// Blobs that are uploaded at once: with the parts, at most 32 MiB of memory.
const UPLOADS_MAX: usize = 2;
/// Records that are written at once.
const RECORD_WRITES_MAX: usize = 16;
/// Uploads that may wait, and writes of records: the local tier alone has what comes on top.
const WAITING_MAX: usize = 10_000;
/// A request that writes ends after this time, its tries included: one that hangs must not keep its turn for ever.
const SENT_WITHIN: Duration = Duration::from_secs(300);
/// Tries of an upload, beside those of each request.
const UPLOAD_TRIES: u32 = 3;
/// A look-up, or the first bytes of a blob, may take so long; then upstream is asked.
const LOOK_WITHIN: Duration = Duration::from_secs(2);
/// A body that brings nothing for so long is given up.
const IDLE: Duration = Duration::from_secs(30);

/// An object store, reached by URL and its usual environment variables. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    clients: Clients,
    health: Arc<Health>,
    tracker: TaskTracker,
    uploads: Queue,
    writes: Queue,
}

/// Work that nothing waits for: little of it at once, and so much of it waiting.
#[derive(Clone, Debug)]
struct Queue {
    places: Arc<Semaphore>,
    turns: Arc<Semaphore>,
}

impl Queue {
    fn new(places: usize, turns: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(places)),
            turns: Arc::new(Semaphore::new(turns)),
        }
    }

    /// A place, which is held until the work is done; `None` when all are taken.
    fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).try_acquire_owned().ok()
    }
}

type Chunks = BoxStream<'static, Result<Bytes, Refusal>>;

impl Bucket {
    /// Opens `s3://`, `gs://`, `az://` or `memory://`. No request is made: a store starts without its bucket.
    pub(crate) fn open(url: &Url, tracker: TaskTracker, observer: Observer) -> Result<Self, Error> {
        let variables = std::env::vars_os()
            .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)));
        let clients = Clients::new(url, variables).map_err(|cause| {
            let mut url = url.clone();
            url.set_query(None);
            Error::Url {
                url: url.to_string(),
                reason: cause.to_string(),
            }
        })?;
        Ok(Self::of(clients, tracker, observer))
    }

    fn of(clients: Clients, tracker: TaskTracker, observer: Observer) -> Self {
        Self {
            clients,
            health: Arc::new(Health::new(observer)),
            tracker,
            uploads: Queue::new(WAITING_MAX, UPLOADS_MAX),
            writes: Queue::new(WAITING_MAX, RECORD_WRITES_MAX),
        }
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

    /// Writes a small object after this call: nothing waits for the bucket.
    pub(crate) fn write_soon(&self, key: String, bytes: Bytes) {
        let Some(place) = self.writes.place() else {
            self.warn("write", &key, too_many());
            return;
        };
        let bucket = self.clone();
        self.tracker.spawn(async move {
            let (_place, Ok(_turn)) = (place, bucket.writes.turns.acquire().await) else {
                return;
            };
            let at = bucket.at(&key);
            if let Err(cause) = in_time(bucket.clients.writes.put(&at, bytes.into())).await {
                bucket.warn("write", &key, cause);
            }
        });
    }

    /// Removes a small object.
    pub(crate) async fn remove(&self, key: &str) {
        let at = self.at(key);
        self.look("remove", key, self.clients.lookups.delete(&at))
            .await;
    }

    /// What a request waits for: within its time, and from a bucket that answers. `None` where nothing is there.
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

    /// Uploads a committed blob after this call, in parts. It is opened when its turn comes: while the bucket is slow
    /// or lost, what waits must not use up the files that a process may have open.
    pub(crate) fn upload_soon(&self, digest: Digest, tier: &Tier) {
        let key = layout::blob(&digest);
        let Some(place) = self.uploads.place() else {
            self.warn("upload", &key, too_many());
            return;
        };
        let (bucket, tier) = (self.clone(), tier.clone());
        self.tracker.spawn(async move {
            let (_place, Ok(_turn)) = (place, bucket.uploads.turns.acquire().await) else {
                return;
            };
            let (file, size) = match tier.run(move |tier| tier.open_blob(&digest)).await {
                Ok(Some((file, size))) => (Arc::new(file), size),
                Ok(None) => return,
                Err(cause) => return bucket.warn("upload", &key, generic(cause)),
            };
            for attempt in 1..=UPLOAD_TRIES {
                match bucket.upload(&key, &file, size).await {
                    Ok(()) => return,
                    Err(cause) => bucket.warn("upload", &key, cause),
                }
                tokio::time::sleep(Duration::from_secs(1) * attempt).await;
            }
            tracing::error!(%key, "not in the bucket: the local tier alone has it");
        });
    }

    async fn upload(&self, key: &str, file: &Arc<File>, size: u64) -> object_store::Result<()> {
        let at = self.at(key);
        if size <= PART_BYTES {
            let bytes = read_part(file, 0, size).await?;
            self.clients
                .writes
                .put(&at, PutPayload::from_bytes(bytes))
                .await?;
            return Ok(());
        }
        let mut upload = in_time(self.clients.writes.put_multipart(&at)).await?;
        let sent = send_parts(upload.as_mut(), file, size).await;
        let completed = match sent {
            Ok(()) => in_time(upload.complete()).await.map(|_| ()),
            Err(cause) => Err(cause),
        };
        if completed.is_err() {
            // Parts that are not aborted are kept, and paid for, until the bucket's own rule removes them.
            drop(in_time(upload.abort()).await);
        }
        completed
    }

    fn at(&self, key: &str) -> Path {
        key.split('/')
            .fold(self.clients.prefix.clone(), |path, part| path.join(part))
    }

    fn warn(&self, action: &'static str, key: &str, cause: object_store::Error) {
        self.health.tell_error(action);
        let error = Error::Bucket {
            action,
            key: key.to_owned(),
            cause: Arc::new(cause),
        };
        tracing::warn!(error = &error as &dyn std::error::Error, "bucket failed");
    }
}

async fn send_parts(
    upload: &mut dyn MultipartUpload,
    file: &Arc<File>,
    size: u64,
) -> object_store::Result<()> {
    let mut parts = JoinSet::new();
    let mut offset = 0;
    while offset < size {
        if parts.len() >= PARTS_IN_FLIGHT {
            joined(parts.join_next().await)?;
        }
        let len = PART_BYTES.min(size - offset);
        let bytes = read_part(file, offset, len).await?;
        parts.spawn(in_time(upload.put_part(PutPayload::from_bytes(bytes))));
        offset += len;
    }
    while let Some(part) = parts.join_next().await {
        joined(Some(part))?;
    }
    Ok(())
}

fn joined(
    part: Option<Result<object_store::Result<()>, tokio::task::JoinError>>,
) -> object_store::Result<()> {
    match part {
        Some(Ok(sent)) => sent,
        Some(Err(cause)) => Err(generic(cause)),
        None => Ok(()),
    }
}

async fn read_part(file: &Arc<File>, offset: u64, len: u64) -> object_store::Result<Bytes> {
    let file = Arc::clone(file);
    let read = spawn_blocking(move || {
        let mut buffer = BytesMut::zeroed(usize::try_from(len).unwrap_or(0));
        file.read_exact_at(&mut buffer, offset)?;
        std::io::Result::Ok(buffer.freeze())
    });
    read.await.map_err(generic)?.map_err(generic)
}

async fn in_time<T>(
    sent: impl Future<Output = object_store::Result<T>>,
) -> object_store::Result<T> {
    let sent = timeout(SENT_WITHIN, sent).await;
    sent.unwrap_or_else(|late| Err(generic(late)))
}

fn too_many() -> object_store::Error {
    generic(std::io::Error::other("too much waits for the bucket"))
}

fn generic(source: impl std::error::Error + Send + Sync + 'static) -> object_store::Error {
    object_store::Error::Generic {
        store: "bucket",
        source: Box::new(source),
    }
}

#[cfg(test)]
mod tests;
