//! Whether all that a client pulls after a manifest is held.

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use longshore_manifest::{Manifest, MediaType};
use longshore_reference::{Canonical, Digest, Named};

use crate::fill::Follower;
use crate::fill::context::Context;
use crate::fill::progress::Phase;
use crate::legacy::made::Conversions;
use crate::manifest::cache::ManifestCache;
use crate::manifest::held::Held;
use crate::manifest::needs::Needs;

/// Blobs that are looked up in the bucket at once.
const LOOKED_UP_MAX: usize = 16;
/// Manifests that are looked at to tell whether one child of an index can be pulled.
const LOOKED_AT_MAX: usize = 1000;

/// Tells whether images are held as a whole.
pub(crate) struct Whole {
    pub(crate) context: Arc<Context>,
    pub(crate) manifests: Arc<ManifestCache>,
    pub(crate) conversions: Arc<Conversions>,
}

impl Whole {
    /// Whether all that a client would pull is held.
    pub(crate) async fn holds(&self, named: &Named, held: Held) -> bool {
        let mut next = vec![(held.bytes, held.media_type)];
        let mut looked_at = 0;
        while let Some((bytes, media_type)) = next.pop() {
            looked_at += 1;
            if looked_at > LOOKED_AT_MAX {
                return false;
            }
            if *media_type == *MediaType::V1Ancestry.as_str() {
                next.extend(
                    self.conversions
                        .made_of(named, &Digest::sha256(&bytes))
                        .await,
                );
                continue;
            }
            let Ok(manifest) = Manifest::decode(Some(&media_type), bytes) else {
                continue;
            };
            match Needs::of(&manifest) {
                Needs::All(blobs) => {
                    if self.absent(named, &blobs).await.is_empty() {
                        return true;
                    }
                }
                Needs::Any(blobs) => {
                    if self.absent(named, &blobs).await.len() < blobs.len() {
                        return true;
                    }
                }
                Needs::OneOf(manifests) => {
                    for digest in manifests {
                        let canonical = Canonical::new(named.clone(), digest);
                        next.extend(self.manifests.load_known(&canonical).await);
                    }
                }
                Needs::Impossible => {}
            }
        }
        false
    }

    /// Which of these blobs are not held, or not known to be the upstream's.
    async fn absent(&self, named: &Named, digests: &[Digest]) -> Vec<Digest> {
        let wanted = digests.to_vec();
        let looked = self.context.tier.run(move |tier| {
            let looked = wanted
                .into_iter()
                .map(|digest| (digest, tier.holds(&digest)));
            Ok(looked.collect::<Vec<_>>())
        });
        let Ok(looked) = looked.await else {
            return digests.to_vec();
        };
        let looked = stream::iter(looked).map(|(digest, is_local)| async move {
            let canonical = Canonical::new(named.clone(), digest);
            let is_held = (is_local || self.is_elsewhere(&digest).await)
                && self.context.records.belongs(&canonical).await;
            (!is_held).then_some(digest)
        });
        let absent = looked.buffer_unordered(LOOKED_UP_MAX);
        absent.filter_map(std::future::ready).collect().await
    }

    /// Whether a blob that the local tier has not is held. Verified bytes that are being committed are as good as that.
    async fn is_elsewhere(&self, digest: &Digest) -> bool {
        let verified =
            |follower: Follower| matches!(follower.fill().progress.borrow().phase, Phase::Verified);
        match &self.context.bucket {
            _ if self.context.fills.find(digest).is_some_and(verified) => true,
            Some(bucket) => bucket.blob_size(digest).await.is_some(),
            None => false,
        }
    }
}
