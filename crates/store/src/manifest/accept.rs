//! Asks upstream about a manifest, compares what it sends with what was asked for, and keeps it.

use std::sync::Arc;

use longshore_reference::{Algorithm, Canonical, Digest, Reference, Tagged};

use crate::error::{Error, Refusal};
use crate::manifest::cache::ManifestCache;
use crate::manifest::document::{is_ancestry, is_json_object, known_by};
use crate::manifest::held::Held;
use crate::manifest::tags::{Kept, Tags};
use crate::options::Clock;
use crate::outcome::Outcome;
use crate::records::{Records, TagRecord, seconds};
use crate::remote::{Check, Fetched};
use crate::request::Request;

/// Brings manifests here from upstream.
pub(crate) struct Acceptor {
    pub(crate) manifests: Arc<ManifestCache>,
    pub(crate) tags: Tags,
    pub(crate) records: Arc<Records>,
    pub(crate) clock: Clock,
}

impl Acceptor {
    /// Asks upstream whether the tag still holds, and for the manifest where it does not.
    pub(crate) async fn refresh(
        &self,
        request: &Request<Reference>,
        tagged: &Tagged,
        kept: Option<&Kept>,
    ) -> Result<Held, Error> {
        let remote = &request.remote;
        if let Some(kept) = kept {
            let known = kept.record.upstream_digest.unwrap_or(kept.record.digest);
            match remote.check(&request.target, known).await? {
                Check::Same => {
                    let record = TagRecord {
                        checked: seconds((self.clock)()),
                        unchecked: false,
                        ..TagRecord::clone(&kept.record)
                    };
                    let bytes = kept.bytes.clone();
                    let kept = self.tags.put(tagged, record, Some(&kept.record), bytes);
                    return Ok(kept.await.held(Outcome::Revalidated));
                }
                Check::Changed(digest) => {
                    if let Some(held) = self.follow_tag(tagged, kept, digest).await {
                        return Ok(held);
                    }
                }
            }
        }
        let fetched = remote.manifest(&request.target, None).await?;
        self.accept(tagged, kept, fetched).await
    }

    /// Upstream's tag moved to a manifest that this repository has already: nothing is fetched.
    async fn follow_tag(
        &self,
        tagged: &Tagged,
        kept: &Kept,
        digest: Option<Digest>,
    ) -> Option<Held> {
        let digest = digest.filter(|digest| digest.algorithm() == Algorithm::Sha256)?;
        let canonical = Canonical::new(tagged.named().clone(), digest);
        let (bytes, media_type) = self.manifests.load_known(&canonical).await?;
        let record = TagRecord {
            upstream_digest: Some(digest),
            digest,
            stored: self.records.manifest(&canonical).await?.stored,
            media_type: Arc::clone(&media_type),
            size: bytes.len() as u64,
            checked: seconds((self.clock)()),
            unchecked: false,
        };
        let kept = self
            .tags
            .put(tagged, record, Some(&kept.record), bytes)
            .await;
        Some(kept.held(Outcome::Revalidated))
    }

    /// Accepts what upstream sent for a tag.
    async fn accept(
        &self,
        tagged: &Tagged,
        kept: Option<&Kept>,
        fetched: Fetched,
    ) -> Result<Held, Error> {
        if !is_json_object(&fetched.bytes) {
            return Err(Refusal::misbehaved("the manifest is no JSON object").into());
        }
        let digest = known_by(&fetched);
        let stored = Digest::sha256(&fetched.bytes);
        // An ancestry is told by the id of its image, which is no digest of its bytes.
        if let Some(expected) = fetched.digest.filter(|_| !is_ancestry(&fetched)) {
            let found = Digest::of(expected.algorithm(), &fetched.bytes);
            if found != expected && digest != expected {
                return Err(Error::Mismatch {
                    expected,
                    found: format!("digest {found}"),
                });
            }
        }
        let upstream_digest = fetched.digest;
        let held = self.manifests.keep(tagged.named(), digest, fetched).await?;
        let record = TagRecord {
            upstream_digest,
            digest,
            stored: (stored != digest).then_some(stored),
            media_type: Arc::clone(&held.media_type),
            size: held.bytes.len() as u64,
            checked: seconds((self.clock)()),
            unchecked: false,
        };
        let before = kept.map(|kept| &*kept.record);
        self.tags
            .put(tagged, record, before, held.bytes.clone())
            .await;
        Ok(held)
    }

    /// Fetches a manifest by digest. Bytes that are held for another repository are only asked after.
    pub(crate) async fn fetch(
        &self,
        request: &Request<Reference>,
        canonical: &Canonical,
    ) -> Result<Held, Error> {
        let (digest, remote) = (canonical.digest(), &request.remote);
        let elsewhere = match self.manifests.peek(&digest).await {
            Some(bytes) => longshore_manifest::guess(&bytes).map(|media_type| (bytes, media_type)),
            None => None,
        };
        if let Some((bytes, media_type)) = elsewhere
            && remote.check(&request.target, digest).await? == Check::Same
        {
            let fetched = Fetched {
                bytes,
                media_type: Some(media_type.as_str().to_owned()),
                digest: Some(digest),
            };
            let held = self
                .manifests
                .keep(canonical.named(), digest, fetched)
                .await?;
            return Ok(Held {
                outcome: Outcome::Revalidated,
                ..held
            });
        }
        let record = self.records.content(canonical).await;
        let origin = record.as_ref().and_then(|record| record.origin.as_ref());
        let fetched = remote.manifest(&request.target, origin).await?;
        let found = Digest::of(digest.algorithm(), &fetched.bytes);
        if found != digest && known_by(&fetched) != digest {
            return Err(Error::Mismatch {
                expected: digest,
                found: format!("digest {found}"),
            });
        }
        self.manifests
            .keep(canonical.named(), digest, fetched)
            .await
    }
}
