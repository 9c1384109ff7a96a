//! Tags with their manifests: one look-up in memory has all of a hit.

use std::sync::Arc;

use bytes::Bytes;
use longshore_reference::Tagged;
use moka::sync::Cache;

use crate::manifest::cache::ManifestCache;
use crate::manifest::held::Held;
use crate::outcome::Outcome;
use crate::records::{Records, TagRecord};
use crate::tier::Tier;

/// A tag that is cached: its record and the manifest. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) record: Arc<TagRecord>,
    pub(crate) bytes: Bytes,
    /// How many blobs were evicted before it was seen to be held.
    evictions: u64,
}

impl Kept {
    pub(crate) fn held(&self, outcome: Outcome) -> Held {
        Held {
            bytes: self.bytes.clone(),
            media_type: Arc::clone(&self.record.media_type),
            digest: self.record.digest,
            outcome,
        }
    }

    /// Bytes of memory.
    fn weight(&self) -> usize {
        self.bytes.len() + size_of::<TagRecord>() + self.record.media_type.len()
    }
}

/// The cached tags. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Tags {
    tier: Tier,
    /// A bucket may have what the local tier has not.
    has_bucket: bool,
    manifests: Arc<ManifestCache>,
    records: Arc<Records>,
    memory: Cache<Tagged, Kept>,
}

impl Tags {
    /// `memory_bytes` bounds what is held in memory.
    pub(crate) fn new(
        tier: Tier,
        has_bucket: bool,
        manifests: Arc<ManifestCache>,
        records: Arc<Records>,
        memory_bytes: u64,
    ) -> Self {
        let memory = Cache::builder()
            .weigher(|_, kept: &Kept| u32::try_from(kept.weight()).unwrap_or(u32::MAX))
            .max_capacity(memory_bytes)
            .build();
        Self {
            tier,
            has_bucket,
            manifests,
            records,
            memory,
        }
    }

    /// Forgets what is in memory.
    pub(crate) fn forget_memory(&self) {
        self.memory.invalidate_all();
    }

    /// What is kept of a tag: its record and the manifest's bytes.
    pub(crate) async fn find(&self, tagged: &Tagged) -> Option<Kept> {
        let evictions = self.tier.evictions();
        if let Some(mut kept) = self.memory.get(tagged) {
            if kept.evictions == evictions {
                return Some(kept);
            }
            // Memory must not keep a manifest whose image was evicted.
            let record = &kept.record;
            if self.has_bucket
                || self
                    .tier
                    .is_recorded(&record.stored.unwrap_or(record.digest))
            {
                kept.evictions = evictions;
                self.memory.insert(tagged.clone(), kept.clone());
                return Some(kept);
            }
            self.memory.invalidate(tagged);
        }
        let record = self.records.tag(tagged).await?;
        let stored = record.stored.unwrap_or(record.digest);
        let bytes = self.manifests.load(&stored).await?;
        let media_type = &record.media_type;
        self.manifests
            .put_children(tagged.named(), stored, media_type, &bytes);
        // What was put there meanwhile is newer than what was read.
        let kept = self.memory.entry_by_ref(tagged).or_insert(Kept {
            record,
            bytes,
            evictions,
        });
        Some(kept.into_value())
    }

    /// Keeps what upstream said of a tag.
    pub(crate) async fn put(
        &self,
        tagged: &Tagged,
        record: TagRecord,
        before: Option<&TagRecord>,
        bytes: Bytes,
    ) -> Kept {
        let record = Arc::new(record);
        let kept = Kept {
            record: Arc::clone(&record),
            bytes,
            evictions: self.tier.evictions(),
        };
        self.memory.insert(tagged.clone(), kept.clone());
        self.records.put_tag(tagged, &record, before).await;
        kept
    }

    /// Forgets a tag that upstream deleted.
    pub(crate) async fn forget(&self, tagged: &Tagged) {
        self.memory.invalidate(tagged);
        self.records.forget_tag(tagged).await;
    }
}
