//! The two generations of documents that are written today.

use crate::MediaType;

/// Docker's documents or OCI's: what to write.
///
/// ```
/// use longshore_manifest::{Format, MediaType};
///
/// assert_eq!(Format::Oci.manifest_type(), MediaType::OciManifest);
/// assert_eq!(Format::Schema2.index_type(), MediaType::List);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Docker image manifest version 2, schema 2, and the manifest list.
    Schema2,
    /// OCI image manifest and image index.
    Oci,
}

impl Format {
    /// Type of an image manifest.
    #[must_use]
    pub fn manifest_type(self) -> MediaType {
        match self {
            Self::Schema2 => MediaType::Schema2,
            Self::Oci => MediaType::OciManifest,
        }
    }

    /// Type of an index.
    #[must_use]
    pub fn index_type(self) -> MediaType {
        match self {
            Self::Schema2 => MediaType::List,
            Self::Oci => MediaType::OciIndex,
        }
    }

    /// Type of an image configuration.
    #[must_use]
    pub fn config_type(self) -> MediaType {
        match self {
            Self::Schema2 => MediaType::Schema2Config,
            Self::Oci => MediaType::OciConfig,
        }
    }

    /// Type of a layer: a gzipped tar, or a plain one.
    #[must_use]
    pub fn layer_type(self, gzipped: bool) -> MediaType {
        match (self, gzipped) {
            (Self::Schema2, true) => MediaType::Schema2LayerGzip,
            (Self::Schema2, false) => MediaType::Schema2Layer,
            (Self::Oci, true) => MediaType::OciLayerGzip,
            (Self::Oci, false) => MediaType::OciLayer,
        }
    }
}
