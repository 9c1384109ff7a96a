//! What is known of a digest in a repository, and what a manifest says of those that it names.

use std::sync::Arc;

use longshore_manifest::{Manifest, Role};
use longshore_reference::Digest;
use serde::{Deserialize, Serialize};

use super::origin::Origin;

/// That a digest belongs to a repository. Written for manifests, and for blobs that no manifest names; what a manifest
/// names belongs with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ContentRecord {
    /// Bytes of the content: a claim unless it is verified, and then never written down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) size: Option<u64>,
    /// The size is that of bytes that had the digest: no claim replaces it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) verified: bool,
    /// Upstream said that the repository has it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) confirmed: bool,
    /// Set for manifests only: what is no manifest is never loaded as one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) media_type: Option<Arc<str>>,
    /// Where a manifest's bytes are, if not under this digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stored: Option<Digest>,
    /// Set for content that no upstream serves by its digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) origin: Option<Origin>,
    /// All that is known is that a manifest names it: whether its upstream has it is another question.
    #[serde(skip)]
    pub(crate) named_only: bool,
}

impl ContentRecord {
    /// Content of this size had the digest.
    pub(crate) fn verified(size: u64) -> Self {
        Self {
            size: Some(size),
            verified: true,
            ..Self::default()
        }
    }

    /// Upstream said that the repository has it.
    pub(crate) fn confirmed() -> Self {
        Self {
            confirmed: true,
            ..Self::default()
        }
    }

    /// What is known now, and where it says nothing or only claims, what was known before.
    pub(super) fn or(self, before: Option<&Self>) -> Self {
        let verified = before.filter(|before| before.verified && !self.verified);
        Self {
            size: verified
                .map_or(self.size, |verified| verified.size)
                .or_else(|| before?.size),
            verified: self.verified || verified.is_some(),
            confirmed: self.confirmed || before.is_some_and(|before| before.confirmed),
            media_type: self.media_type.or_else(|| before?.media_type.clone()),
            stored: self.stored.or_else(|| before?.stored),
            origin: self.origin.or_else(|| before?.origin.clone()),
            named_only: self.named_only && before.is_none_or(|before| before.named_only),
        }
    }

    /// As it is written: without claims.
    pub(super) fn facts(self) -> Self {
        Self {
            size: self.size.filter(|_| self.verified),
            ..self
        }
    }

    /// Whether it says by itself that the content belongs to the repository. Records of an earlier version may only say
    /// what a manifest claimed.
    pub(crate) fn is_membership(&self) -> bool {
        let states_fact =
            self.verified || self.confirmed || self.media_type.is_some() || self.origin.is_some();
        states_fact && !self.named_only
    }

    /// Whether the content is known to belong to the repository, beyond that a manifest names it.
    pub(crate) fn belongs(&self) -> bool {
        !self.named_only
    }

    /// Content that a manifest names, with what its descriptor claims.
    pub(super) fn named(size: Option<u64>, media_type: Option<Arc<str>>) -> Self {
        Self {
            size,
            media_type,
            named_only: true,
            ..Self::default()
        }
    }
}

/// Content that a manifest names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Child {
    pub(crate) digest: Digest,
    /// As its descriptor claims.
    pub(crate) size: Option<u64>,
    /// Of a manifest.
    pub(crate) media_type: Option<Arc<str>>,
}

impl Child {
    /// What belongs to a repository with one of its manifests. Foreign layers come from elsewhere, and a subject need
    /// not exist. A manifest that cannot be understood names nothing.
    pub(crate) fn of(manifest: &Manifest) -> Vec<Self> {
        let belongs = |child: &longshore_manifest::Child| {
            let media_type = match child.role {
                Role::Manifest => Some(Arc::from(child.descriptor.media_type.as_str())),
                Role::Config | Role::Layer => None,
                _ => return None,
            };
            let digest = child.descriptor.digest;
            Some(Self {
                digest,
                size: child.descriptor.size.filter(|size| can_be(*size, &digest)),
                media_type,
            })
        };
        manifest.children().iter().filter_map(belongs).collect()
    }
}

/// Whether content of a digest can have this size: only the digest of nothing is that of no bytes.
pub(crate) fn can_be(size: u64, digest: &Digest) -> bool {
    size > 0 || Digest::of(digest.algorithm(), b"") == *digest
}
