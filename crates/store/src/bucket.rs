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
use object_store::{MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload, parse_url_opts};
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use url::Url;

use crate::error::{Error, Refusal};
use crate::layout;

/// Bytes of one part of an upload: 8 MiB. Smaller blobs are one request.
const PART_BYTES: u64 = 8 << 20;
/// Parts of one blob on their way at once.
const PARTS_IN_FLIGHT: usize = 2;
/// Blobs that are uploaded at once: with the parts, at most 32 MiB of memory.
const UPLOADS_MAX: usize = 2;
/// Records that are written at once.
const RECORD_WRITES_MAX: usize = 16;
/// Tries of an upload, beside those of each request.
const UPLOAD_TRIES: u32 = 3;
/// A body that brings nothing for so long is given up.
const IDLE: Duration = Duration::from_secs(30);

/// An object store, reached by URL and its usual environment variables. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    objects: Arc<dyn ObjectStore>,
    prefix: Path,
    tracker: TaskTracker,
    uploads: Arc<Semaphore>,
    writes: Arc<Semaphore>,
}

type Chunks = BoxStream<'static, Result<Bytes, Refusal>>;

impl Bucket {
    /// Opens `s3://`, `gs://`, `az://` or `memory://`. No request is made: a store starts without its bucket.
    pub(crate) fn open(url: &Url, tracker: TaskTracker) -> Result<Self, Error> {
        // The library's total time-out includes the body; streams have an idle deadline of their own here.
        let options = [("timeout", "365days"), ("connect_timeout", "5s")]
            .map(|(key, value)| (key.to_owned(), value.to_owned()));
        let options = std::env::vars_os()
            .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
            .chain(options);
        let (objects, prefix) = parse_url_opts(url, options).map_err(|cause| {
            let mut url = url.clone();
            url.set_query(None);
            Error::Url {
                url: url.to_string(),
                reason: cause.to_string(),
            }
        })?;
        Ok(Self {
            objects: Arc::from(objects),
            prefix,
            tracker,
            uploads: Arc::new(Semaphore::new(UPLOADS_MAX)),
            writes: Arc::new(Semaphore::new(RECORD_WRITES_MAX)),
        })
    }

    /// A blob's size and bytes.
    pub(crate) async fn open_blob(&self, digest: &Digest) -> Result<Option<(u64, Chunks)>, Error> {
        let key = layout::blob(digest);
        let asked = timeout(IDLE, self.objects.get(&self.at(&key))).await;
        let found = match asked {
            Ok(Ok(found)) => found,
            Ok(Err(object_store::Error::NotFound { .. })) => return Ok(None),
            Ok(Err(cause)) => return Err(failed("read", &key, cause)),
            Err(late) => return Err(failed("read", &key, generic(late))),
        };
        let size = found.meta.size;
        let chunks = futures_util::stream::unfold(Some(found.into_stream()), |chunks| async {
            let mut chunks = chunks?;
            match timeout(IDLE, chunks.next()).await {
                Ok(Some(Ok(bytes))) => Some((Ok(bytes), Some(chunks))),
                Ok(Some(Err(cause))) => Some((
                    Err(Refusal::Unreachable {
                        cause: Arc::new(cause),
                    }),
                    None,
                )),
                Ok(None) => None,
                Err(late) => Some((
                    Err(Refusal::TimedOut {
                        cause: Arc::new(late),
                    }),
                    None,
                )),
            }
        });
        Ok(Some((size, chunks.boxed())))
    }

    /// Whether a blob is there, and its size.
    pub(crate) async fn blob_size(&self, digest: &Digest) -> Option<u64> {
        let key = layout::blob(digest);
        match timeout(IDLE, self.objects.head(&self.at(&key))).await {
            Ok(Ok(found)) => Some(found.size),
            Ok(Err(object_store::Error::NotFound { .. })) => None,
            Ok(Err(cause)) => self.warn("look at", &key, cause),
            Err(late) => self.warn("look at", &key, generic(late)),
        }
    }

    /// Reads a small object whole. One that fails is none: upstream is asked instead.
    pub(crate) async fn read(&self, key: &str, bytes_max: u64) -> Option<Bytes> {
        let read = async {
            let found = self.objects.get(&self.at(key)).await?;
            if found.meta.size > bytes_max {
                return Ok(None);
            }
            found.bytes().await.map(Some)
        };
        match timeout(IDLE, read).await {
            Ok(Ok(found)) => found,
            Ok(Err(object_store::Error::NotFound { .. })) => None,
            Ok(Err(cause)) => self.warn("read", key, cause),
            Err(late) => self.warn("read", key, generic(late)),
        }
    }

    /// Writes a small object after this call: nothing waits for the bucket.
    pub(crate) fn write_soon(&self, key: String, bytes: Bytes) {
        let bucket = self.clone();
        self.tracker.spawn(async move {
            let Ok(_permit) = bucket.writes.acquire().await else {
                return;
            };
            if let Err(cause) = bucket.objects.put(&bucket.at(&key), bytes.into()).await {
                let () = bucket.warn("write", &key, cause).unwrap_or_default();
            }
        });
    }

    /// Removes a small object.
    pub(crate) async fn remove(&self, key: &str) {
        match timeout(IDLE, self.objects.delete(&self.at(key))).await {
            Ok(Ok(()) | Err(object_store::Error::NotFound { .. })) => {}
            Ok(Err(cause)) => self.warn("remove", key, cause).unwrap_or_default(),
            Err(late) => self.warn("remove", key, generic(late)).unwrap_or_default(),
        }
    }

    /// Uploads a committed blob from its file after this call, in parts.
    pub(crate) fn upload_soon(&self, digest: Digest, file: File, size: u64) {
        let bucket = self.clone();
        let file = Arc::new(file);
        self.tracker.spawn(async move {
            let Ok(_permit) = bucket.uploads.acquire().await else {
                return;
            };
            let key = layout::blob(&digest);
            for attempt in 1..=UPLOAD_TRIES {
                match bucket.upload(&key, &file, size).await {
                    Ok(()) => return,
                    Err(cause) => tracing::warn!(%key, attempt, cause = &cause as &dyn std::error::Error, "upload failed"),
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
            self.objects.put(&at, PutPayload::from_bytes(bytes)).await?;
            return Ok(());
        }
        let mut upload = self.objects.put_multipart(&at).await?;
        let sent = send_parts(upload.as_mut(), file, size).await;
        let completed = match sent {
            Ok(()) => upload.complete().await.map(|_| ()),
            Err(cause) => Err(cause),
        };
        if completed.is_err() {
            // Parts that are not aborted are kept, and paid for, until the bucket's own rule removes them.
            drop(upload.abort().await);
        }
        completed
    }

    fn at(&self, key: &str) -> Path {
        key.split('/')
            .fold(self.prefix.clone(), |path, part| path.join(part))
    }

    fn warn<T>(&self, action: &'static str, key: &str, cause: object_store::Error) -> Option<T> {
        let error = failed(action, key, cause);
        tracing::warn!(error = &error as &dyn std::error::Error, "bucket failed");
        None
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
        parts.spawn(upload.put_part(PutPayload::from_bytes(bytes)));
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

fn failed(action: &'static str, key: &str, cause: object_store::Error) -> Error {
    Error::Bucket {
        action,
        key: key.to_owned(),
        cause: Arc::new(cause),
    }
}

fn generic(source: impl std::error::Error + Send + Sync + 'static) -> object_store::Error {
    object_store::Error::Generic {
        store: "bucket",
        source: Box::new(source),
    }
}
