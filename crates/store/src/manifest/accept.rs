//! What upstream sent for a reference: compared with what was asked for, and kept.

use std::sync::Arc;

use longshore_reference::{Canonical, Digest, Reference, Tagged};

use crate::documents::{is_json_object, known_by};
use crate::error::Error;
use crate::legacy::is_ancestry;
use crate::manifest::{Held, Kept, misbehaved};
use crate::outcome::Outcome;
use crate::records::{TagRecord, seconds};
use crate::remote::{Check, Fetched};
use crate::request::Request;
use crate::store::Inner;

impl Inner {
    /// Upstream's tag moved to a manifest that this repository has already: nothing is fetched.
    pub(crate) async fn move_tag(
        &self,
        tagged: &Tagged,
        kept: &Kept,
        digest: Option<Digest>,
    ) -> Option<Held> {
        let digest =
            digest.filter(|digest| digest.algorithm() == longshore_reference::Algorithm::Sha256)?;
        let canonical = Canonical::new(tagged.named().clone(), digest);
        let (bytes, media_type) = self.load_known(&canonical).await?;
        let record = TagRecord {
            upstream_digest: Some(digest),
            digest,
            stored: self.records.manifest(&canonical).await?.stored,
            media_type: Arc::clone(&media_type),
            size: bytes.len() as u64,
            checked: seconds((self.clock)()),
        };
        let kept = self
            .put_tag(tagged, record, Some(&kept.record), bytes)
            .await;
        Some(kept.held(Outcome::Revalidated))
    }

    /// Accepts what upstream sent for a tag.
    pub(crate) async fn accept(
        self: &Arc<Self>,
        tagged: &Tagged,
        kept: Option<&Kept>,
        fetched: Fetched,
    ) -> Result<Held, Error> {
        if !is_json_object(&fetched.bytes) {
            return Err(misbehaved("the manifest is no JSON object").into());
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
        let held = self.keep_manifest(tagged.named(), digest, fetched).await?;
        let record = TagRecord {
            upstream_digest,
            digest,
            stored: (stored != digest).then_some(stored),
            media_type: Arc::clone(&held.media_type),
            size: held.bytes.len() as u64,
            checked: seconds((self.clock)()),
        };
        let before = kept.map(|kept| &*kept.record);
        self.put_tag(tagged, record, before, held.bytes.clone())
            .await;
        Ok(held)
    }

    /// Fetches a manifest by digest. Bytes that are held for another repository are only asked after.
    pub(crate) async fn fetch(
        self: &Arc<Self>,
        request: &Request<Reference>,
        canonical: &Canonical,
    ) -> Result<Held, Error> {
        let (digest, remote) = (canonical.digest(), &request.remote);
        // What is no manifest must not push manifests out of memory.
        let bytes = match self.manifests.get(&digest) {
            Some(bytes) => Some(bytes),
            None => self.read_manifest(&digest).await,
        };
        let elsewhere = match bytes {
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
                .keep_manifest(canonical.named(), digest, fetched)
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
        self.keep_manifest(canonical.named(), digest, fetched).await
    }
}
