//! What a registry answers, in whichever version of the protocol.

use bytes::Bytes;
use http::HeaderMap;
use longshore_manifest::{MediaType, v1::ImageId};
use longshore_reference::Digest;

/// What a registry says of a manifest without sending it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Head {
    /// As the registry gave it; computed when the manifest itself had to be fetched. Several registries give none. For a
    /// reference by digest it is that digest, or absent.
    pub digest: Option<Digest>,
    /// `Content-Type` without parameters, as the registry gave it.
    pub media_type: Option<String>,
    /// Bytes.
    pub size: Option<u64>,
    /// The id of a v1 image, which is the digest of nothing. Then the others are absent, but for the media type of an
    /// ancestry document.
    pub v1: Option<ImageId>,
}

/// A manifest as the registry sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fetched {
    /// The exact bytes; at most [`MANIFEST_BYTES_MAX`].
    pub bytes: Bytes,
    /// `Content-Type` without parameters, as the registry gave it.
    pub media_type: Option<String>,
    /// `Docker-Content-Digest` as the registry gave it, verified against the bytes.
    pub digest: Option<Digest>,
    /// The id of a v1 image, whose ancestry document ([`Ancestry`](longshore_manifest::v1::Ancestry)) this is.
    pub v1: Option<ImageId>,
}

/// One page of a list, passed on as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListPage {
    /// The document; at most [`LIST_BYTES_MAX`].
    pub bytes: Bytes,
    /// `Content-Type`, as the registry gave it.
    pub content_type: Option<String>,
    /// The target of the `Link` to the next page, as the registry gave it: a URL of its own, perhaps relative.
    pub next: Option<String>,
    /// `Warning`, `RateLimit-*`, `OCI-Filters-Applied`.
    pub headers: HeaderMap,
}

impl Head {
    /// Whether it is a manifest that was found, and not anything.
    pub(crate) fn is_of_manifest(&self) -> bool {
        let media_type = self.media_type.as_deref().map(MediaType::from_content_type);
        self.digest.is_some() || media_type.is_some_and(|found| found.is_manifest())
    }

    /// Whether this can be believed of the manifest with this digest. A digest of another algorithm says nothing.
    pub(crate) fn is_of(&self, asked: &Digest) -> bool {
        match &self.digest {
            Some(found) if found.algorithm() == asked.algorithm() => found == asked,
            _ => self.is_of_manifest(),
        }
    }
}

/// The largest manifest that is taken; bytes. Registries refuse to store larger ones.
pub const MANIFEST_BYTES_MAX: u64 = 4 << 20;
/// The largest list of tags or referrers that is taken; bytes.
pub const LIST_BYTES_MAX: u64 = 16 << 20;
