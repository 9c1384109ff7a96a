//! Sends what is in the outbox to the bucket: in the background, with backoff, across restarts.

use std::fs::File;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use longshore_reference::Digest;
use moka::sync::Cache;
use object_store::UpdateVersion;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::bucket::{Bucket, Put, generic};
use crate::tier::Tier;
use crate::tier::layout;
use crate::tier::outbox::{Backlog, Item, Lane, Outbox, Taken, backoff};

pub(crate) mod blobs;

use self::blobs::{BlobUploads, Growing, Live, Sent};

/// Blobs of the outbox that are uploaded at once.
const BLOBS_AT_ONCE: usize = 2;
/// Records that are written at once.
const RECORDS_AT_ONCE: usize = 8;
/// How often the folder is read again, for entries of other processes.
const SCANNED_EVERY: Duration = Duration::from_secs(300);
/// Longest record: a kept list. A longer one stays here.
const RECORD_BYTES_MAX: u64 = 10 << 20;
/// Longest tag record that is looked at in the bucket.
const TAG_BYTES_MAX: u64 = 16 << 10;
/// Records whose version in the bucket is known.
const VERSIONS_IN_MEMORY: u64 = 100_000;
/// Conflicts of one write before it waits for its next turn.
const CONFLICTS_MAX: usize = 3;

/// Whether the record in the bucket stays: its bytes, then ours, then the time of day.
pub(crate) type Stays = fn(&[u8], &[u8], SystemTime) -> bool;

/// The uploads of a store. Cheap to clone; when the last clone is dropped they end.
#[derive(Clone, Debug)]
pub(crate) struct Uploads {
    inner: Arc<Inner>,
    tracker: TaskTracker,
    _ends: Arc<DropGuard>,
}

#[derive(Debug)]
struct Inner {
    bucket: Bucket,
    outbox: Arc<Outbox>,
    tier: Tier,
    stays: Stays,
    blobs: Arc<BlobUploads>,
    versions: Cache<Box<str>, UpdateVersion>,
    /// Whether the bucket honours conditional writes, once that is known.
    conditional: Mutex<Option<bool>>,
    closing: CancellationToken,
}

impl Uploads {
    /// Starts to send what is in the outbox.
    pub(crate) fn start(bucket: Bucket, outbox: Arc<Outbox>, tier: Tier, stays: Stays) -> Self {
        let closing = CancellationToken::new();
        let blobs = BlobUploads::new(bucket.clone(), Arc::clone(&outbox), tier.clone());
        let inner = Arc::new(Inner {
            bucket,
            outbox,
            tier,
            stays,
            blobs: Arc::new(blobs),
            versions: Cache::new(VERSIONS_IN_MEMORY),
            conditional: Mutex::default(),
            closing: closing.clone(),
        });
        let tracker = TaskTracker::new();
        tracker.spawn(Arc::clone(&inner).scan());
        tracker.spawn(Arc::clone(&inner).drain(Lane::Blobs, BLOBS_AT_ONCE));
        tracker.spawn(Arc::clone(&inner).drain(Lane::Records, RECORDS_AT_ONCE));
        Self {
            inner,
            tracker,
            _ends: Arc::new(closing.drop_guard()),
        }
    }

    /// Uploads a blob while it lands. `None` where as many as are allowed do, or this one is uploaded already: then it
    /// is uploaded after its commit.
    pub(crate) fn follow(
        &self,
        digest: Digest,
        file: Arc<File>,
        growing: impl Growing,
    ) -> Option<Live> {
        blobs::follow(&self.inner.blobs, &self.tracker, digest, file, growing)
    }

    /// What the bucket does not have yet.
    pub(crate) fn backlog(&self) -> Backlog {
        self.inner.outbox.backlog()
    }

    /// Ends, when all is sent that can be sent now. What cannot stays in the outbox.
    ///
    /// The caller bounds the wait.
    pub(crate) async fn close(&self) {
        self.inner.closing.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

impl Inner {
    /// Reads the folder at the start and now and then, and aborts the uploads that dead processes left.
    async fn scan(self: Arc<Self>) {
        loop {
            self.blobs.abort_unfinished().await;
            let this = Arc::clone(&self);
            if let Ok(Err(cause)) = spawn_blocking(move || this.outbox.scan()).await {
                tracing::warn!(%cause, "outbox cannot be read");
            }
            let next = Instant::now() + SCANNED_EVERY;
            while Instant::now() < next && !self.outbox.wants_scan() {
                let changed = self.outbox.changed();
                tokio::select! {
                    () = sleep_until(next) => {}
                    () = changed => {}
                    () = self.closing.cancelled() => return,
                }
            }
        }
    }

    /// Sends the entries of a lane. While they fail, one at a time is tried, after a pause that grows.
    async fn drain(self: Arc<Self>, lane: Lane, at_once: usize) {
        let mut sending = JoinSet::new();
        let mut failures = 0;
        loop {
            let changed = self.outbox.changed();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let free = sending.len() < if failures > 0 { 1 } else { at_once };
            let due = match free.then(|| self.outbox.take(lane)) {
                Some(Ok(taken)) => {
                    sending.spawn(Arc::clone(&self).send(taken));
                    continue;
                }
                Some(Err(due)) => due,
                None => None,
            };
            let ended = sending.is_empty() && !self.outbox.has_claims();
            if self.closing.is_cancelled() && (ended || failures > 0) {
                return;
            }
            tokio::select! {
                Some(sent) = sending.join_next() => {
                    failures = if sent.unwrap_or(false) { 0 } else { failures + 1 };
                    self.pause(failures).await;
                }
                () = changed, if free => {}
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
                () = self.closing.cancelled(), if !self.closing.is_cancelled() => {}
            }
        }
    }

    async fn pause(&self, failures: u32) {
        if failures > 0 {
            tokio::select! {
                () = sleep(backoff(failures)) => {}
                () = self.closing.cancelled() => {}
            }
        }
    }

    /// Sends one entry; false if it must be tried again.
    async fn send(self: Arc<Self>, taken: Taken) -> bool {
        let (action, key, sent) = match &taken.item {
            Item::Blob(digest) => {
                let sent = self.blobs.send(digest, taken.added).await;
                ("upload", layout::blob(digest), sent)
            }
            Item::Record(key) => {
                let action = if taken.removed { "remove" } else { "write" };
                let sent = self.send_record(key, taken.removed).await;
                (action, key.to_string(), sent.map(|()| Sent::Done))
            }
        };
        match sent {
            Ok(Sent::NotYet) => {
                self.outbox.failed(taken);
                true
            }
            Ok(Sent::Done) => {
                let this = Arc::clone(&self);
                // What cannot be removed now is sent once more by a later process.
                drop(spawn_blocking(move || this.outbox.done(taken)).await);
                true
            }
            Err(cause) => {
                self.bucket.warn(action, &key, cause);
                self.outbox.failed(taken);
                false
            }
        }
    }

    async fn send_record(&self, key: &str, removed: bool) -> object_store::Result<()> {
        let at = key.to_owned();
        let held = self
            .tier
            .run(move |tier| tier.read(&at, RECORD_BYTES_MAX))
            .await;
        let held = match held {
            Err(cause) if cause.kind() == std::io::ErrorKind::FileTooLarge => {
                tracing::warn!(%key, "record is too long for the bucket");
                return Ok(());
            }
            held => held.map_err(generic)?,
        };
        match held {
            Some(bytes) if layout::is_tag(key) && self.is_conditional().await => {
                self.put_tag(key, bytes.into()).await
            }
            Some(bytes) => self.bucket.put(key, bytes.into()).await,
            None if removed => self.bucket.remove(key).await,
            None => Ok(()),
        }
    }

    /// Writes a tag record, unless another replica asked upstream later.
    async fn put_tag(&self, key: &str, bytes: Bytes) -> object_store::Result<()> {
        let mut version = self.versions.get(key);
        for _ in 0..CONFLICTS_MAX {
            match self.bucket.put_if(key, bytes.clone(), version).await? {
                Put::Done(version) => {
                    self.versions.insert(key.into(), version);
                    return Ok(());
                }
                Put::Conflict => {}
            }
            version = match self.bucket.versioned(key, TAG_BYTES_MAX).await? {
                Some((theirs, version)) if (self.stays)(&theirs, &bytes, SystemTime::now()) => {
                    self.versions.insert(key.into(), version);
                    return Ok(());
                }
                Some((_, version)) => Some(version),
                None => None,
            };
        }
        Err(generic(std::io::Error::other(
            "other replicas write the same record",
        )))
    }

    /// Whether the bucket honours conditional writes. A server that does not know them overwrites without a word, so
    /// an object that is there is created once more: the marker of the layout.
    async fn is_conditional(&self) -> bool {
        let known = *self.known_conditional();
        if let Some(known) = known {
            return known;
        }
        let marker = || Bytes::from_static(layout::MARKER_TEXT.as_bytes());
        let mut created = self.bucket.put_if(layout::MARKER, marker(), None).await;
        if let Ok(Put::Done(_)) = created {
            created = self.bucket.put_if(layout::MARKER, marker(), None).await;
        }
        let honoured = match created {
            Ok(Put::Conflict) => true,
            Ok(Put::Done(_))
            | Err(
                object_store::Error::NotImplemented { .. }
                | object_store::Error::NotSupported { .. },
            ) => {
                tracing::info!(
                    "the bucket ignores conditional writes: the last writer of a tag wins"
                );
                false
            }
            Err(cause) => {
                self.bucket.warn("probe", layout::MARKER, cause);
                return false;
            }
        };
        *self.known_conditional() = Some(honoured);
        honoured
    }

    fn known_conditional(&self) -> std::sync::MutexGuard<'_, Option<bool>> {
        self.conditional
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
