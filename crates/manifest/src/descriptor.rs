//! What one document says about another: type, digest, size.

use std::collections::BTreeMap;

use longshore_reference::Digest;

use crate::{MediaType, Platform};

/// What one document says about another: type, digest, size (image-spec, `descriptor.md`).
///
/// ```
/// use longshore_manifest::{Descriptor, MediaType};
/// use longshore_reference::Digest;
///
/// let config = Descriptor::new(MediaType::OciConfig, Digest::sha256(b"{}"), Some(2));
/// assert_eq!(config.size, Some(2));
/// assert!(config.platform.is_none() && config.urls.is_empty());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Descriptor {
    /// Type of the content; empty if the document gives none.
    pub media_type: MediaType,
    /// Digest of the content.
    pub digest: Digest,
    /// Bytes of the content; `None` where the document says nothing usable (schema 1 never does).
    pub size: Option<u64>,
    /// The platform the content is for, as written: not normalised.
    pub platform: Option<Box<Platform>>,
    /// Where else the content may be found, as written.
    pub urls: Vec<Box<str>>,
    /// Annotations.
    pub annotations: BTreeMap<Box<str>, Box<str>>,
    /// Type of the artifact a manifest stands for.
    pub artifact_type: Option<MediaType>,
    /// The content itself in base64, as written and not checked.
    pub data: Option<Box<str>>,
}

impl Descriptor {
    /// A descriptor without platform, URLs and annotations.
    #[must_use]
    pub fn new(media_type: MediaType, digest: Digest, size: Option<u64>) -> Self {
        Self {
            media_type,
            digest,
            size,
            platform: None,
            urls: Vec::new(),
            annotations: BTreeMap::new(),
            artifact_type: None,
            data: None,
        }
    }
}
