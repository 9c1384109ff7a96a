//! Small records about repositories: what a tag stood for, and which digests belong to a repository.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use longshore_reference::{Canonical, Digest, Tagged};
use moka::Entry;
use moka::ops::compute::{CompResult, Op};
use moka::sync::Cache;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::bucket::Bucket;
use crate::tier::Tier;
use crate::tier::layout;

mod origin;

pub use origin::Origin;
pub(crate) use origin::format;

/// Records of each kind that are kept in memory.
const RECORDS_IN_MEMORY: u64 = 100_000;
/// A record is a line of JSON; more is none.
const RECORD_BYTES_MAX: u64 = 16 << 10;
/// Records that are looked up at once before others are written.
const LOOKED_UP_MAX: usize = 16;
/// A tag record whose digest did not change is written again only after this time.
const REWRITTEN_AFTER: Duration = Duration::from_secs(3600);

/// What a tag stood for when upstream was last asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TagRecord {
    /// The digest as upstream's header gave it: what a check compares.
    pub(crate) upstream_digest: Option<Digest>,
    /// What the manifest is known by: the sha256 of its bytes, or of a signed schema 1 manifest's payload.
    pub(crate) digest: Digest,
    /// Where the bytes are, if not under that digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stored: Option<Digest>,
    pub(crate) media_type: Arc<str>,
    /// Bytes of the manifest.
    pub(crate) size: u64,
    /// Seconds since 1970 when upstream last said that this holds.
    pub(crate) checked: u64,
}

impl TagRecord {
    /// How long ago upstream said so. A time in the future, or one that cannot be, counts as never.
    pub(crate) fn age(&self, now: SystemTime) -> Option<Duration> {
        let checked = UNIX_EPOCH.checked_add(Duration::from_secs(self.checked))?;
        now.duration_since(checked).ok()
    }
}

/// That a digest belongs to a repository: upstream said so, or a manifest of the repository names it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ContentRecord {
    /// Size as a descriptor or upstream told it, unless it is verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) size: Option<u64>,
    /// The size is that of bytes that had the digest: no claim replaces it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) verified: bool,
    /// Set for manifests only: what is no manifest is never loaded as one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) media_type: Option<Arc<str>>,
    /// Where a manifest's bytes are, if not under this digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stored: Option<Digest>,
    /// Set for content that no upstream gives by its digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) origin: Option<Origin>,
}

impl ContentRecord {
    /// That content of this size had the digest.
    pub(crate) fn verified(size: u64) -> Self {
        Self {
            size: Some(size),
            verified: true,
            ..Self::default()
        }
    }

    /// What is known now, and where it says nothing or only claims, what was known before.
    fn or(self, before: Option<&Self>) -> Self {
        let verified = before.filter(|before| before.verified && !self.verified);
        Self {
            size: verified
                .map_or(self.size, |verified| verified.size)
                .or_else(|| before?.size),
            verified: self.verified || verified.is_some(),
            media_type: self.media_type.or_else(|| before?.media_type.clone()),
            stored: self.stored.or_else(|| before?.stored),
            origin: self.origin.or_else(|| before?.origin.clone()),
        }
    }
}

/// Seconds since 1970.
pub(crate) fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

/// Reads and writes records: memory, then the local tier, then the bucket.
#[derive(Debug)]
pub(crate) struct Records {
    tier: Tier,
    bucket: Option<Bucket>,
    tags: Cache<Tagged, Arc<TagRecord>>,
    contents: Cache<Canonical, Arc<ContentRecord>>,
}

impl Records {
    pub(crate) fn new(tier: Tier, bucket: Option<Bucket>) -> Self {
        Self {
            tier,
            bucket,
            tags: Cache::new(RECORDS_IN_MEMORY),
            contents: Cache::new(RECORDS_IN_MEMORY),
        }
    }

    /// What the tag stood for, if anybody asked before.
    pub(crate) async fn tag(&self, tagged: &Tagged) -> Option<Arc<TagRecord>> {
        if let Some(record) = self.tags.get(tagged) {
            return Some(record);
        }
        let record = Arc::new(self.read::<TagRecord>(layout::tag(tagged)).await?);
        self.tags.insert(tagged.clone(), Arc::clone(&record));
        Some(record)
    }

    /// Keeps what upstream said. Written when it changed, else hourly: a check alone costs no write.
    pub(crate) async fn put_tag(
        &self,
        tagged: &Tagged,
        record: TagRecord,
        before: Option<&TagRecord>,
    ) {
        let due = before.is_none_or(|before| {
            let same = TagRecord {
                checked: before.checked,
                ..record.clone()
            } == *before;
            !same || record.checked.abs_diff(before.checked) >= REWRITTEN_AFTER.as_secs()
        });
        self.tags.insert(tagged.clone(), Arc::new(record.clone()));
        if due {
            self.write(layout::tag(tagged), &record).await;
        }
    }

    /// Forgets a tag that upstream deleted.
    pub(crate) async fn forget_tag(&self, tagged: &Tagged) {
        self.tags.invalidate(tagged);
        let key = layout::tag(tagged);
        let gone = key.clone();
        if let Err(cause) = self.tier.run(move |tier| tier.remove(&gone)).await {
            tracing::warn!(%key, %cause, "record could not be removed");
        }
        if let Some(bucket) = &self.bucket {
            bucket.remove(&key).await;
        }
    }

    /// What is known of a digest in a repository.
    pub(crate) async fn content(&self, canonical: &Canonical) -> Option<Arc<ContentRecord>> {
        if let Some(record) = self.contents.get(canonical) {
            return Some(record);
        }
        let record = Arc::new(
            self.read::<ContentRecord>(layout::content(canonical))
                .await?,
        );
        // What was put there meanwhile is newer than what was read.
        let entry = self.contents.entry_by_ref(canonical).or_insert(record);
        Some(entry.into_value())
    }

    /// Records that a digest belongs to a repository.
    pub(crate) async fn put_content(&self, canonical: &Canonical, record: ContentRecord) {
        self.put_contents(vec![(canonical.clone(), record)]).await;
    }

    /// Records what belongs to a repository. What is known already is kept and not written again: what memory does not
    /// have is looked up first, as nothing behind a record in memory is ever looked at.
    pub(crate) async fn put_contents(&self, contents: Vec<(Canonical, ContentRecord)>) {
        let looked_up = stream::iter(contents).map(|(canonical, record)| async move {
            let known = self.content(&canonical).await;
            (canonical, record, known)
        });
        let contents = looked_up.buffered(LOOKED_UP_MAX).collect::<Vec<_>>().await;
        let mut fresh = Vec::new();
        for (canonical, record, known) in contents {
            // Two may say different things of one digest at once: neither is lost.
            let entry = self.contents.entry_by_ref(&canonical);
            let put = entry.and_compute_with(|entry| {
                let known = entry.map(Entry::into_value).or(known);
                let record = record.or(known.as_deref());
                if known.is_some_and(|known| *known == record) {
                    Op::Nop
                } else {
                    Op::Put(Arc::new(record))
                }
            });
            if let CompResult::Inserted(entry) | CompResult::ReplacedWith(entry) = put {
                let record = ContentRecord::clone(entry.value());
                fresh.push((layout::content(&canonical), record));
            }
        }
        if fresh.is_empty() {
            return;
        }
        let written = self.tier.run(move |tier| {
            let mut written = Vec::new();
            for (key, record) in fresh {
                let held = tier.read(&key, RECORD_BYTES_MAX)?;
                let held = held.and_then(|held| parse::<ContentRecord>(&key, &held));
                let record = record.or(held.as_ref());
                if held.as_ref() != Some(&record) {
                    let line = Bytes::from(serde_json::to_vec(&record)?);
                    tier.write_record(&key, &line)?;
                    written.push((key, line));
                }
            }
            Ok(written)
        });
        match (written.await, &self.bucket) {
            (Ok(written), Some(bucket)) => written
                .into_iter()
                .for_each(|(key, line)| bucket.write_soon(key, line)),
            (Ok(_), None) => {}
            (Err(cause), _) => tracing::warn!(%cause, "records could not be written"),
        }
    }

    /// A record that is written once and looked up seldom: not kept in memory.
    pub(crate) async fn other<T: DeserializeOwned>(&self, key: String) -> Option<T> {
        self.read(key).await
    }

    /// Writes a record of [`other`](Self::other).
    pub(crate) async fn put_other<T: Serialize>(&self, key: String, record: &T) {
        self.write(key, record).await;
    }

    async fn read<T: DeserializeOwned>(&self, key: String) -> Option<T> {
        let at = key.clone();
        let held = self
            .tier
            .run(move |tier| tier.read(&at, RECORD_BYTES_MAX))
            .await;
        let bytes = match held {
            Ok(Some(bytes)) => Some(Bytes::from(bytes)),
            Ok(None) => None,
            Err(cause) => {
                tracing::warn!(%key, %cause, "record could not be read");
                None
            }
        };
        if let Some(record) = bytes.as_deref().and_then(|bytes| parse(&key, bytes)) {
            return Some(record);
        }
        let bytes = self.bucket.as_ref()?.read(&key, RECORD_BYTES_MAX).await?;
        let record = parse(&key, &bytes)?;
        self.write_local(key, bytes).await;
        Some(record)
    }

    async fn write<T: Serialize>(&self, key: String, record: &T) {
        let Ok(line) = serde_json::to_vec(record) else {
            return;
        };
        let line = Bytes::from(line);
        self.write_local(key.clone(), line.clone()).await;
        if let Some(bucket) = &self.bucket {
            bucket.write_soon(key, line);
        }
    }

    async fn write_local(&self, key: String, line: Bytes) {
        let at = key.clone();
        if let Err(cause) = self
            .tier
            .run(move |tier| tier.write_record(&at, &line))
            .await
        {
            tracing::warn!(%key, %cause, "record could not be written");
        }
    }
}

/// A record that cannot be read is none: upstream is asked again, and it is written anew.
fn parse<T: DeserializeOwned>(key: &str, bytes: &[u8]) -> Option<T> {
    serde_json::from_slice(bytes)
        .inspect_err(|cause| tracing::warn!(%key, %cause, "record could not be understood"))
        .ok()
}

#[cfg(test)]
mod tests;
