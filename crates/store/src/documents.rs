//! The documents themselves: kept, loaded, and looked at for what belongs to a repository and whether all of it is held.

use std::sync::Arc;

use bytes::Bytes;
use longshore_manifest::{MANIFEST_BYTES_MAX, Manifest, MediaType, Role};
use longshore_reference::{Canonical, Digest, Named};

use crate::error::Error;
use crate::fill::Follower;
use crate::fill::progress::Phase;
use crate::ingest::Ingest;
use crate::manifest::{Held, misbehaved};
use crate::outcome::Outcome;
use crate::records::ContentRecord;
use crate::remote::Fetched;
use crate::store::Inner;
use crate::tier::layout;

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
        let stored = (stored != digest).then_some(stored);
        self.records
            .put_contents(belonging(named, digest, stored, &media_type, &bytes))
            .await;
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
            if tier.open_blob(&digest)?.is_some() {
                return Ok(None);
            }
            Ingest::put(tier, digest, bytes).map(Some)
        });
        if let Some(size) = kept.await? {
            self.committed(digest, size);
        }
        Ok(())
    }

    /// A manifest's bytes: memory, local tier, bucket. What is read into memory is verified once more: disks decay.
    pub(crate) async fn load_manifest(&self, digest: &Digest) -> Option<Bytes> {
        if let Some(bytes) = self.manifests.get(digest) {
            return Some(bytes);
        }
        let (key, digest) = (layout::blob(digest), *digest);
        let at = key.clone();
        let held = self
            .tier
            .run(move |tier| tier.read(&at, MANIFEST_BYTES_MAX as u64))
            .await;
        let bytes = match held {
            Ok(Some(bytes)) => {
                let bytes = Bytes::from(bytes);
                if Digest::of(digest.algorithm(), &bytes) == digest {
                    Some(bytes)
                } else {
                    self.quarantine(digest, bytes.len() as u64).await;
                    None
                }
            }
            Ok(None) => None,
            Err(cause) if cause.kind() == std::io::ErrorKind::FileTooLarge => return None,
            Err(cause) => {
                tracing::error!(%digest, %cause, "manifest could not be read");
                None
            }
        };
        let bytes = match bytes {
            Some(bytes) => bytes,
            None => {
                let bytes = self
                    .bucket
                    .as_ref()?
                    .read(&key, MANIFEST_BYTES_MAX as u64)
                    .await?;
                Some(bytes).filter(|bytes| Digest::of(digest.algorithm(), bytes) == digest)?
            }
        };
        self.manifests.insert(digest, bytes.clone());
        Some(bytes)
    }

    /// Bytes and media type of a manifest that belongs to the repository.
    pub(crate) async fn load_known(&self, canonical: &Canonical) -> Option<(Bytes, Arc<str>)> {
        let record = self.records.content(canonical).await?;
        let media_type = record.media_type.clone()?;
        let stored = record.stored.unwrap_or_else(|| canonical.digest());
        Some((self.load_manifest(&stored).await?, media_type))
    }

    /// Whether all that a client would pull is held: config and layers of an image, one whole child of an index.
    pub(crate) async fn is_whole(&self, named: &Named, held: Held) -> bool {
        let mut next = vec![(held.bytes, held.media_type)];
        while let Some((bytes, media_type)) = next.pop() {
            if *media_type == *MediaType::V1Ancestry.as_str() {
                next.extend(self.made_of(named, &Digest::sha256(&bytes)).await);
                continue;
            }
            let Ok(manifest) = Manifest::decode(Some(&media_type), bytes) else {
                continue;
            };
            let (mut blobs, mut is_index) = (Vec::new(), false);
            if let Some(schema1) = manifest.schema1() {
                // Nobody pulls the layers of steps that changed nothing.
                let steps = schema1.steps().unwrap_or_default();
                let wanted = steps.iter().filter(|step| step.throwaway != Some(true));
                let blobs = wanted.map(|step| step.blob).collect::<Vec<_>>();
                if !blobs.is_empty() && self.has_all(blobs).await {
                    return true;
                }
                continue;
            }
            for child in manifest.children() {
                match child.role {
                    Role::Config | Role::Layer => blobs.push(child.descriptor.digest),
                    Role::Manifest => {
                        is_index = true;
                        let canonical = Canonical::new(named.clone(), child.descriptor.digest);
                        next.extend(self.load_known(&canonical).await);
                    }
                    // A foreign layer comes from elsewhere, a subject need not exist.
                    _ => {}
                }
            }
            if !is_index && manifest.skipped().is_empty() && self.has_all(blobs).await {
                return true;
            }
        }
        false
    }

    async fn has_all(&self, digests: Vec<Digest>) -> bool {
        let looked = self.tier.run(move |tier| {
            let absent = |digest: &Digest| tier.open_blob(digest).ok().flatten().is_none();
            Ok(digests.into_iter().filter(absent).collect::<Vec<_>>())
        });
        let Ok(absent) = looked.await else {
            return false;
        };
        for digest in absent {
            // Verified bytes that are being committed are as good as held.
            let verified = |follower: Follower| {
                matches!(follower.fill().progress.borrow().phase, Phase::Verified)
            };
            if self.fills.find(&digest).is_some_and(verified) {
                continue;
            }
            let Some(bucket) = &self.bucket else {
                return false;
            };
            if bucket.blob_size(&digest).await.is_none() {
                return false;
            }
        }
        true
    }
}

/// What a manifest says of its repository: itself and its children belong to it.
fn belonging(
    named: &Named,
    digest: Digest,
    stored: Option<Digest>,
    media_type: &Arc<str>,
    bytes: &Bytes,
) -> Vec<(Canonical, ContentRecord)> {
    let itself = ContentRecord {
        size: Some(bytes.len() as u64),
        verified: stored.is_none(),
        media_type: Some(Arc::clone(media_type)),
        stored,
        origin: None,
    };
    let mut contents = vec![(Canonical::new(named.clone(), digest), itself)];
    // One that cannot be understood is served by its digest all the same; it names nothing.
    let Ok(manifest) = Manifest::decode(Some(media_type), bytes.clone()) else {
        return contents;
    };
    for child in manifest.children() {
        let descriptor = &child.descriptor;
        let media_type = match child.role {
            Role::Manifest => Some(Arc::from(descriptor.media_type.as_str())),
            Role::Config | Role::Layer | Role::ForeignLayer => None,
            // A subject need not exist.
            _ => continue,
        };
        let record = ContentRecord {
            size: descriptor.size,
            media_type,
            ..ContentRecord::default()
        };
        contents.push((Canonical::new(named.clone(), descriptor.digest), record));
    }
    contents
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
