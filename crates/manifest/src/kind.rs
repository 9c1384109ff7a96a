//! The shapes of manifests, and what content is to them.

/// The four shapes a manifest has.
///
/// ```
/// # use longshore_manifest::{Kind, Manifest};
/// let empty = Manifest::decode(None, br#"{"manifests":[]}"#.as_slice().into())?;
/// assert_eq!(empty.kind(), Kind::Index);
/// # Ok::<(), longshore_manifest::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A configuration and layers: schema 2 or OCI manifest (also of an artifact).
    Image,
    /// Manifests by platform: manifest list or OCI index.
    Index,
    /// Schema 1, signed or not.
    Schema1,
    /// OCI artifact manifest of the release candidates of image-spec 1.1: blobs only.
    Artifact,
}

/// What content is to the document that names it.
///
/// ```
/// # use longshore_manifest::Role;
/// assert!(Role::ForeignLayer.is_blob());
/// assert!(!Role::Subject.is_blob());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Role {
    /// The configuration of an image.
    Config,
    /// A layer of an image, or a blob of an artifact.
    Layer,
    /// A layer the registry may lack; its URLs have it.
    ForeignLayer,
    /// An entry of an index: another manifest.
    Manifest,
    /// The manifest this one says something about. It exists without this one: a copy may go
    /// there, an eviction must not.
    Subject,
}

impl Role {
    /// Whether the content is a blob (at `/blobs/`), not a manifest (at `/manifests/`).
    #[must_use]
    pub fn is_blob(self) -> bool {
        matches!(self, Self::Config | Self::Layer | Self::ForeignLayer)
    }
}
