//! The documents themselves: kept, loaded, and looked at for what belongs to a repository and whether all of it is held.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use longshore_manifest::{MANIFEST_BYTES_MAX, Manifest, MediaType};
use longshore_reference::{Canonical, Digest, Named, Reference};

use crate::error::Error;
use crate::fill::Follower;
use crate::fill::progress::Phase;
use crate::ingest::Ingest;
use crate::manifest::{Held, Needs, misbehaved};
use crate::outcome::Outcome;
use crate::records::{Child, ContentRecord};
use crate::remote::Fetched;
use crate::store::Inner;
use crate::tier::children;
use crate::tier::layout;

/// Blobs that are looked up in the bucket at once.
const LOOKED_UP_MAX: usize = 16;
/// Manifests that are looked at to tell whether one child of an index can be pulled.
const LOOKED_AT_MAX: usize = 1000;

impl Inner {
    /// Keeps a verified manifest and records what belongs to its repository. A disk that fails harms no client.
    pub(crate) async fn keep_manifest(
        self: &Arc<Self>,
        named: &Named,
        digest: Digest,
        fetched: Fetched,
    ) -> Result<Held, Error> {
        let Fetched {
            bytes, media_type, ..
        } = fetched;
        if bytes.len() > MANIFEST_BYTES_MAX {
            return Err(misbehaved("the manifest is larger than 4 MiB").into());
        }
        let media_type = media_type_of(media_type.as_deref(), &bytes);
        let stored = Digest::of(digest.algorithm(), &bytes);
        if self.manifests.get(&stored).is_none() {
            if let Err(cause) = self.keep_whole(stored, bytes.clone()).await {
                tracing::error!(%digest, %cause, "manifest could not be kept");
            }
            self.manifests.insert(stored, bytes.clone());
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

    /// Keeps a blob that is whole in memory.
    pub(crate) async fn keep_whole(
        self: &Arc<Self>,
        digest: Digest,
        bytes: Bytes,
    ) -> std::io::Result<()> {
        let kept = self.tier.run(move |tier| {
            if tier.holds(&digest) {
                return Ok(None);
            }
            Ingest::put(tier, digest, bytes).map(Some)
        });
        kept.await.map(drop)
    }

    /// A manifest's bytes: memory, local tier, bucket. What is read into memory is verified once more: disks decay.
    pub(crate) async fn load_manifest(&self, digest: &Digest) -> Option<Bytes> {
        if let Some(bytes) = self.manifests.get(digest) {
            return Some(bytes);
        }
        let bytes = self.read_manifest(digest).await?;
        let was_recorded = self.tier.is_recorded(digest);
        self.manifests.insert(*digest, bytes.clone());
        if was_recorded && !self.tier.is_recorded(digest) {
            // It was evicted meanwhile, and what it names goes too.
            self.manifests.invalidate(digest);
        }
        Some(bytes)
    }

    /// Bytes of a digest that may be a manifest's, from the local tier or the bucket: nothing that is none fills memory.
    pub(crate) async fn read_manifest(&self, digest: &Digest) -> Option<Bytes> {
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
        let bytes = self.load_manifest(&stored).await?;
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

    /// Whether all that a client would pull is held.
    pub(crate) async fn is_whole(&self, named: &Named, held: Held) -> bool {
        let mut next = vec![(held.bytes, held.media_type)];
        let mut looked_at = 0;
        while let Some((bytes, media_type)) = next.pop() {
            looked_at += 1;
            if looked_at > LOOKED_AT_MAX {
                return false;
            }
            if *media_type == *MediaType::V1Ancestry.as_str() {
                next.extend(self.made_of(named, &Digest::sha256(&bytes)).await);
                continue;
            }
            let Ok(manifest) = Manifest::decode(Some(&media_type), bytes) else {
                continue;
            };
            match Needs::of(&manifest) {
                Needs::All(blobs) => {
                    if self.absent(&blobs).await.is_empty() {
                        return true;
                    }
                }
                Needs::Any(blobs) => {
                    if self.absent(&blobs).await.len() < blobs.len() {
                        return true;
                    }
                }
                Needs::OneOf(manifests) => {
                    for digest in manifests {
                        let canonical = Canonical::new(named.clone(), digest);
                        next.extend(self.load_known(&canonical).await);
                    }
                }
                Needs::Impossible => {}
            }
        }
        false
    }

    /// Which of these blobs are not held.
    async fn absent(&self, digests: &[Digest]) -> Vec<Digest> {
        let wanted = digests.to_vec();
        let looked = self.tier.run(move |tier| {
            let absent = |digest: &Digest| !tier.holds(digest);
            Ok(wanted.into_iter().filter(absent).collect::<Vec<_>>())
        });
        let Ok(not_local) = looked.await else {
            return digests.to_vec();
        };
        let looked = stream::iter(not_local).map(|digest| async move {
            // Verified bytes that are being committed are as good as held.
            let verified = |follower: Follower| {
                matches!(follower.fill().progress.borrow().phase, Phase::Verified)
            };
            let is_held = match &self.bucket {
                _ if self.fills.find(&digest).is_some_and(verified) => true,
                Some(bucket) => bucket.blob_size(&digest).await.is_some(),
                None => false,
            };
            (!is_held).then_some(digest)
        });
        let absent = looked.buffer_unordered(LOOKED_UP_MAX);
        absent.filter_map(std::future::ready).collect().await
    }
}

/// What a manifest is known by: the sha256 of its bytes, but of a signed schema 1 manifest that of its payload.
pub(crate) fn known_by(fetched: &Fetched) -> Digest {
    let bytes = &fetched.bytes;
    let media_type = media_type_of(fetched.media_type.as_deref(), bytes);
    if *media_type == *MediaType::Schema1Signed.as_str()
        && let Ok(manifest) = Manifest::decode(Some(&media_type), bytes.clone())
    {
        return manifest.digest();
    }
    Digest::sha256(bytes)
}

/// The media type to serve: what upstream said, unless that says nothing; then what the document says.
pub(crate) fn media_type_of(given: Option<&str>, bytes: &[u8]) -> Arc<str> {
    let empty = [
        "",
        "text/plain",
        "application/json",
        "application/octet-stream",
    ];
    let given = given.filter(|given| !empty.contains(given));
    match given {
        Some(given) => Arc::from(given),
        None => longshore_manifest::guess(bytes).map_or_else(
            || Arc::from("application/octet-stream"),
            |guessed| Arc::from(guessed.as_str()),
        ),
    }
}

pub(crate) fn is_json_object(bytes: &[u8]) -> bool {
    let starts = bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
    starts && serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok()
}
