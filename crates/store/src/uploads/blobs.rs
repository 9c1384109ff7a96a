//! Uploads of blobs: from a committed file, or from the spool while the blob lands.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use longshore_reference::{Digest, Verifier};
use object_store::multipart::PartId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::{JoinError, JoinSet, spawn_blocking};
use tokio_util::task::TaskTracker;

use crate::bucket::upload::Upload;
use crate::bucket::{Bucket, generic};
use crate::tier::outbox::{Outbox, UploadNote};
use crate::tier::{Tier, layout};

/// Bytes of a part: 8 MiB. Smaller blobs are one request.
const PART_BYTES: u64 = 8 << 20;
/// Parts of one upload; object stores take up to 10,000. A larger blob has larger parts.
const PARTS_OF_ONE_MAX: u64 = 9_000;
/// A blob is visible so long after it was listed, or never: one minute.
const COMMITTED_WITHIN: Duration = Duration::from_secs(60);
/// Parts of one blob that are sent at once.
const PARTS_AT_ONCE: usize = 2;

/// Blobs that are uploaded at once while they land.
const LIVE_MAX: usize = 16;
/// Parts in memory at once, over all uploads. With the largest part of an ordinary blob this is 32 MiB.
const PARTS_MAX: usize = 4;

/// What became of an entry.
pub(super) enum Sent {
    /// The bucket has it, or it is not here any more.
    Done,
    /// It is not visible yet.
    NotYet,
}

/// Sends blobs to the bucket.
#[derive(Debug)]
pub(super) struct BlobUploads {
    bucket: Bucket,
    outbox: Arc<Outbox>,
    tier: Tier,
    parts: Arc<Semaphore>,
    live: Arc<Semaphore>,
}

/// An upload that follows a blob while it lands. Dropped before [`commit`](Self::commit), it is aborted.
#[derive(Debug)]
pub(crate) struct Live(oneshot::Sender<()>);

impl Live {
    /// The blob is verified and kept: the upload may be completed.
    pub(crate) fn commit(self) {
        // Its task may have given up: then the outbox has the blob.
        let _ = self.0.send(());
    }
}

/// A file that grows from its start.
pub(crate) trait Growing: Send + 'static {
    /// Waits until so many bytes are there, or no more will come, and returns how many are there. `None` when they are
    /// given up.
    fn reach(&mut self, end: u64) -> impl Future<Output = Option<u64>> + Send;
}

/// A file that is complete.
struct Whole {
    size: u64,
}

impl Growing for Whole {
    async fn reach(&mut self, _: u64) -> Option<u64> {
        Some(self.size)
    }
}

/// Starts an upload of a blob that lands.
pub(super) fn follow(
    uploads: &Arc<BlobUploads>,
    tracker: &TaskTracker,
    digest: Digest,
    file: Arc<File>,
    growing: impl Growing,
) -> Option<Live> {
    let turn = Arc::clone(&uploads.live).try_acquire_owned().ok()?;
    if !uploads.outbox.claim(&digest) {
        return None;
    }
    let (commit, committed) = oneshot::channel();
    let uploads = Arc::clone(uploads);
    tracker.spawn(async move {
        let uploaded = uploads
            .send_landing(&digest, file, growing, committed)
            .await;
        let release = move || uploads.outbox.release(&digest, uploaded);
        drop(spawn_blocking(release).await);
        drop(turn);
    });
    Some(Live(commit))
}

impl BlobUploads {
    pub(super) fn new(bucket: Bucket, outbox: Arc<Outbox>, tier: Tier) -> Self {
        Self {
            bucket,
            outbox,
            tier,
            parts: Arc::new(Semaphore::new(PARTS_MAX)),
            live: Arc::new(Semaphore::new(LIVE_MAX)),
        }
    }

    /// Uploads a committed blob. One that is not here any more needs no upload; one that was listed a moment ago by
    /// another process may not be visible yet.
    pub(super) async fn send(
        &self,
        digest: &Digest,
        added: SystemTime,
    ) -> object_store::Result<Sent> {
        let (key, digest) = (layout::blob(digest), *digest);
        let place = key.clone();
        let visible = self.tier.run(move |tier| tier.path(&place).try_exists());
        let visible = visible.await.map_err(generic)?;
        let opened = self.tier.open_blob(&digest).await;
        let Some(opened) = opened.map_err(generic)? else {
            // One that was there is damaged, and in quarantine now.
            let recent = added.elapsed().is_ok_and(|age| age < COMMITTED_WITHIN);
            let committing = recent && !visible;
            return Ok(if committing { Sent::NotYet } else { Sent::Done });
        };
        let size = opened.stamp.size;
        self.send_file(&key, digest, Arc::new(opened.file), size)
            .await?;
        Ok(Sent::Done)
    }

    async fn send_file(
        &self,
        key: &str,
        digest: Digest,
        file: Arc<File>,
        size: u64,
    ) -> object_store::Result<()> {
        let mut verifier = Some(Verifier::new(digest));
        if size > PART_BYTES {
            let part = PART_BYTES.max(size.div_ceil(PARTS_OF_ONE_MAX));
            let (upload, note) = self.begin(key).await?;
            let sent = self
                .send_parts(&upload, &file, &mut Whole { size }, part, &mut verifier)
                .await;
            let sent = match sent {
                Ok(_) if !is_right(verifier) => return self.refuse(&upload, note, &digest).await,
                sent => sent,
            };
            return self.end(&upload, note, sent).await;
        }
        let _part = self.part().await?;
        let bytes = read(&file, 0, size, &mut verifier).await?;
        if is_right(verifier) {
            self.bucket.put(key, bytes).await
        } else {
            tracing::error!(%digest, "kept content is damaged: it is not uploaded");
            Ok(())
        }
    }

    /// Uploads a blob while it lands; true when the bucket has it.
    async fn send_landing(
        &self,
        digest: &Digest,
        file: Arc<File>,
        mut growing: impl Growing,
        mut committed: oneshot::Receiver<()>,
    ) -> bool {
        let key = layout::blob(digest);
        // A blob of one part is one request after its commit.
        let reached = growing.reach(PART_BYTES + 1).await;
        if reached.is_none_or(|reached| reached <= PART_BYTES) {
            return false;
        }
        let (upload, note) = match self.begin(&key).await {
            Ok(begun) => begun,
            Err(cause) => {
                self.bucket.warn("upload", &key, cause);
                return false;
            }
        };
        let sending = async {
            self.send_parts(&upload, &file, &mut growing, PART_BYTES, &mut None)
                .await
        };
        tokio::pin!(sending);
        let sent = tokio::select! {
            sent = &mut sending => match sent {
                Ok(parts) if (&mut committed).await.is_ok() => Ok(parts),
                Ok(_) => Err(given_up()),
                Err(cause) => Err(cause),
            },
            kept = &mut committed => match kept {
                Ok(()) => sending.await,
                Err(_) => Err(given_up()),
            },
        };
        match self.end(&upload, note, sent).await {
            Ok(()) => true,
            Err(cause) => {
                if !is_given_up(&cause) {
                    self.bucket.warn("upload", &key, cause);
                }
                false
            }
        }
    }

    pub(super) async fn begin(&self, key: &str) -> object_store::Result<(Upload, UploadNote)> {
        let upload = Upload::begin(&self.bucket, key).await?;
        match self.outbox.uploads().begin(key, upload.id()) {
            Ok(note) => Ok((upload, note)),
            Err(cause) => {
                drop(upload.abort().await);
                Err(generic(cause))
            }
        }
    }

    /// Completes an upload whose parts are there, aborts any other.
    async fn end(
        &self,
        upload: &Upload,
        note: UploadNote,
        sent: object_store::Result<Vec<PartId>>,
    ) -> object_store::Result<()> {
        let completed = match sent {
            Ok(parts) => upload.complete(parts).await,
            Err(cause) => Err(cause),
        };
        // Parts that are not aborted are kept, and paid for. A note that stays makes a later look abort them.
        if completed.is_ok() || upload.abort().await.is_ok() {
            note.end();
        }
        completed
    }

    async fn refuse(
        &self,
        upload: &Upload,
        note: UploadNote,
        digest: &Digest,
    ) -> object_store::Result<()> {
        tracing::error!(%digest, "kept content is damaged: it is not uploaded");
        upload.abort().await?;
        note.end();
        Ok(())
    }

    /// Sends all bytes in parts, as they come. `verifier` sees them in their order.
    async fn send_parts(
        &self,
        upload: &Upload,
        file: &Arc<File>,
        growing: &mut impl Growing,
        part_bytes: u64,
        verifier: &mut Option<Verifier>,
    ) -> object_store::Result<Vec<PartId>> {
        let mut sending = JoinSet::new();
        let mut sent = Vec::new();
        let mut offset = 0;
        loop {
            let reached = growing.reach(offset + part_bytes).await;
            // Fewer than before: the fill began anew.
            let left = reached.and_then(|reached| reached.checked_sub(offset));
            let len = part_bytes.min(left.ok_or_else(given_up)?);
            if len == 0 {
                break;
            }
            let turn = self.part().await?;
            let bytes = read(file, offset, len, verifier).await?;
            let (upload, number) = (upload.clone(), sent.len());
            sent.push(None);
            sending.spawn(async move {
                let _turn = turn;
                upload.put(number, bytes).await.map(|part| (number, part))
            });
            offset += len;
            if sending.len() >= PARTS_AT_ONCE {
                keep(&mut sent, sending.join_next().await)?;
            }
        }
        while let Some(part) = sending.join_next().await {
            keep(&mut sent, Some(part))?;
        }
        Ok(sent.into_iter().flatten().collect())
    }

    /// A turn to hold a part in memory.
    async fn part(&self) -> object_store::Result<OwnedSemaphorePermit> {
        Arc::clone(&self.parts)
            .acquire_owned()
            .await
            .map_err(generic)
    }

    /// Aborts the uploads that processes left unfinished.
    pub(super) async fn abort_unfinished(&self) {
        let left = match self.outbox.uploads().unfinished() {
            Ok(left) => left,
            Err(cause) => return tracing::warn!(%cause, "unfinished uploads cannot be listed"),
        };
        for (key, id, note) in left {
            match Upload::earlier(&self.bucket, &key, id).abort().await {
                Ok(()) => {
                    tracing::info!(%key, "aborted an upload that a process left");
                    note.end();
                }
                // The note stays: the next look tries again.
                Err(cause) => self.bucket.warn("abort", &key, cause),
            }
        }
    }
}

type PartSent = Result<object_store::Result<(usize, PartId)>, JoinError>;

fn keep(sent: &mut [Option<PartId>], part: Option<PartSent>) -> object_store::Result<()> {
    let Some(part) = part else {
        return Ok(());
    };
    let (number, part) = part.map_err(generic)??;
    if let Some(place) = sent.get_mut(number) {
        *place = Some(part);
    }
    Ok(())
}

/// Reads bytes that are there, and shows them to the verifier.
async fn read(
    file: &Arc<File>,
    offset: u64,
    len: u64,
    verifier: &mut Option<Verifier>,
) -> object_store::Result<Bytes> {
    let (file, mut seen) = (Arc::clone(file), verifier.take());
    let read = spawn_blocking(move || {
        let mut buffer = BytesMut::zeroed(usize::try_from(len).unwrap_or(0));
        file.read_exact_at(&mut buffer, offset)?;
        if let Some(verifier) = &mut seen {
            verifier.update(&buffer);
        }
        std::io::Result::Ok((buffer.freeze(), seen))
    });
    let (bytes, seen) = read.await.map_err(generic)?.map_err(generic)?;
    *verifier = seen;
    Ok(bytes)
}

fn is_right(verifier: Option<Verifier>) -> bool {
    verifier.is_none_or(Verifier::verify)
}

/// The fill was given up: nothing failed.
#[derive(Debug, thiserror::Error)]
#[error("the blob is not kept")]
struct GivenUp;

fn given_up() -> object_store::Error {
    generic(GivenUp)
}

fn is_given_up(cause: &object_store::Error) -> bool {
    matches!(cause, object_store::Error::Generic { source, .. } if source.is::<GivenUp>())
}
