//! Manifests by digest: memory, then the local tier, then the bucket.

use std::sync::Arc;

use bytes::Bytes;
use longshore_manifest::{MANIFEST_BYTES_MAX, Manifest, MediaType};
use longshore_reference::{Canonical, Digest, Named, Reference};
use moka::sync::Cache;

use crate::bucket::Bucket;
use crate::error::{Error, Refusal};
use crate::ingest::Ingest;
use crate::manifest::document::media_type_of;
use crate::manifest::held::Held;
use crate::outcome::Outcome;
use crate::records::{Child, ContentRecord, Records};
use crate::remote::Fetched;
use crate::tier::{Tier, children, layout};

/// Bytes of manifests by their digest.
#[derive(Debug)]
pub(crate) struct ManifestCache {
    tier: Tier,
    bucket: Option<Bucket>,
    records: Arc<Records>,
    memory: Cache<Digest, Bytes>,
}

impl ManifestCache {
    /// `memory_bytes` bounds what is held in memory.
    pub(crate) fn new(
        tier: Tier,
        bucket: Option<Bucket>,
        records: Arc<Records>,
        memory_bytes: u64,
    ) -> Self {
        let memory = Cache::builder()
            .weigher(|_, bytes: &Bytes| u32::try_from(bytes.len()).unwrap_or(u32::MAX))
            .max_capacity(memory_bytes)
            .build();
        Self {
            tier,
            bucket,
            records,
            memory,
        }
    }

    /// Forgets what is in memory.
    pub(crate) fn forget_memory(&self) {
        self.memory.invalidate_all();
    }

    /// The local tier lost these bytes: memory forgets them.
    pub(crate) fn forget(&self, digest: &Digest) {
        self.memory.invalidate(digest);
    }

    /// Bytes that are held for any repository. What is no manifest does not push manifests out of memory.
    pub(crate) async fn peek(&self, digest: &Digest) -> Option<Bytes> {
        match self.memory.get(digest) {
            Some(bytes) => Some(bytes),
            None => self.read(digest).await,
        }
    }

    /// Keeps a verified manifest and records what belongs to its repository. A disk that fails harms no client.
    pub(crate) async fn keep(
        &self,
        named: &Named,
        digest: Digest,
        fetched: Fetched,
    ) -> Result<Held, Error> {
        let Fetched {
            bytes, media_type, ..
        } = fetched;
        if bytes.len() > MANIFEST_BYTES_MAX {
            return Err(Refusal::misbehaved("the manifest is larger than 4 MiB").into());
        }
        let media_type = media_type_of(media_type.as_deref(), &bytes);
        let stored = Digest::of(digest.algorithm(), &bytes);
        if self.memory.get(&stored).is_none() {
            if let Err(cause) = Ingest::keep(&self.tier, stored, bytes.clone()).await {
                tracing::error!(%digest, %cause, "manifest could not be kept");
            }
            self.memory.insert(stored, bytes.clone());
        }
        if let Some(children) = children(Some(&media_type), &bytes) {
            let reference = Reference::from(Canonical::new(named.clone(), digest));
            let recorded = self.tier.run(move |tier| {
                tier.image(&reference, &stored, &children);
                Ok(())
            });
            drop(recorded.await);
        }
        let record = ContentRecord {
            size: Some(bytes.len() as u64),
            verified: stored == digest,
            media_type: Some(Arc::clone(&media_type)),
            stored: (stored != digest).then_some(stored),
            ..ContentRecord::default()
        };
        let canonical = Canonical::new(named.clone(), digest);
        self.records.put_content(&canonical, record).await;
        self.put_children(named, stored, &media_type, &bytes);
        Ok(Held {
            bytes,
            media_type,
            digest,
            outcome: Outcome::Miss,
        })
    }

    /// A manifest's bytes: memory, local tier, bucket. What is read into memory is verified once more: disks decay.
    pub(crate) async fn load(&self, digest: &Digest) -> Option<Bytes> {
        if let Some(bytes) = self.memory.get(digest) {
            return Some(bytes);
        }
        let bytes = self.read(digest).await?;
        let was_recorded = self.tier.is_recorded(digest);
        self.memory.insert(*digest, bytes.clone());
        if was_recorded && !self.tier.is_recorded(digest) {
            // It was evicted meanwhile, and what it names goes too.
            self.memory.invalidate(digest);
        }
        Some(bytes)
    }

    /// Bytes of a digest that may be a manifest's, from the local tier or the bucket: nothing that is none fills memory.
    pub(crate) async fn read(&self, digest: &Digest) -> Option<Bytes> {
        let (key, digest) = (layout::blob(digest), *digest);
        let held = self
            .tier
            .run(move |tier| tier.read_blob(&digest, MANIFEST_BYTES_MAX as u64))
            .await;
        let bytes = match held {
            Ok(Some(bytes)) => Some(Bytes::from(bytes)),
            Ok(None) => None,
            Err(cause) if cause.kind() == std::io::ErrorKind::FileTooLarge => return None,
            Err(cause) => {
                tracing::error!(%digest, %cause, "manifest could not be read");
                None
            }
        };
        if bytes.is_some() {
            return bytes;
        }
        let bucket = self.bucket.as_ref()?;
        let bytes = bucket.read(&key, MANIFEST_BYTES_MAX as u64).await?;
        Some(bytes).filter(|bytes| Digest::of(digest.algorithm(), bytes) == digest)
    }

    /// Bytes and media type of a manifest that belongs to the repository.
    pub(crate) async fn load_known(&self, canonical: &Canonical) -> Option<(Bytes, Arc<str>)> {
        let record = self.records.manifest(canonical).await?;
        let media_type = record.media_type.clone()?;
        let stored = record.stored.unwrap_or_else(|| canonical.digest());
        let bytes = self.load(&stored).await?;
        self.put_children(canonical.named(), stored, &media_type, &bytes);
        Some((bytes, media_type))
    }

    /// What a manifest of a repository names belongs to the repository, too.
    pub(crate) fn put_children(
        &self,
        named: &Named,
        stored: Digest,
        media_type: &str,
        bytes: &Bytes,
    ) {
        let kind = MediaType::from(media_type);
        let is_legacy = kind == MediaType::V1Ancestry || kind.is_schema1();
        self.records.put_children(named, stored, is_legacy, || {
            let manifest = Manifest::decode(Some(media_type), bytes.clone());
            manifest.map_or_else(|_| Vec::new(), |manifest| Child::of(&manifest))
        });
    }
}
