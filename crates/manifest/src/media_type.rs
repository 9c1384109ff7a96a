//! The media types of container registries, known and unknown.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A media type of a manifest, configuration or layer.
///
/// Known ones are variants without a heap allocation; every other one survives as it was
/// written in [`MediaType::Other`].
///
/// ```
/// use longshore_manifest::MediaType;
///
/// let index = MediaType::from("application/vnd.oci.image.index.v1+json");
/// assert_eq!(index, MediaType::OciIndex);
/// assert!(index.is_index() && index.is_manifest());
///
/// let chart = MediaType::from("application/vnd.cncf.helm.config.v1+json");
/// assert_eq!(chart.as_str(), "application/vnd.cncf.helm.config.v1+json");
/// assert!(!chart.is_manifest());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum MediaType {
    /// Docker image manifest version 2, schema 1, not signed.
    Schema1,
    /// Docker image manifest version 2, schema 1, with signatures inside.
    Schema1Signed,
    /// Docker image manifest version 2, schema 2.
    Schema2,
    /// Docker manifest list.
    List,
    /// OCI image manifest.
    OciManifest,
    /// OCI image index.
    OciIndex,
    /// OCI artifact manifest, as the release candidates of image-spec 1.1 had it.
    OciArtifact,
    /// Configuration of a Docker image.
    Schema2Config,
    /// Configuration of an OCI image.
    OciConfig,
    /// The empty JSON object OCI artifacts use in place of a configuration.
    OciEmpty,
    /// Docker layer, a plain tar.
    Schema2Layer,
    /// Docker layer, a gzipped tar.
    Schema2LayerGzip,
    /// Docker layer that registries do not distribute, a plain tar.
    Schema2ForeignLayer,
    /// Docker layer that registries do not distribute, a gzipped tar.
    Schema2ForeignLayerGzip,
    /// OCI layer, a plain tar.
    OciLayer,
    /// OCI layer, a gzipped tar.
    OciLayerGzip,
    /// OCI layer, a tar compressed with zstd.
    OciLayerZstd,
    /// OCI layer that registries do not distribute, a plain tar.
    OciForeignLayer,
    /// OCI layer that registries do not distribute, a gzipped tar.
    OciForeignLayerGzip,
    /// OCI layer that registries do not distribute, a tar compressed with zstd.
    OciForeignLayerZstd,
    /// A v1 image with its ancestors, see [`Ancestry`](crate::v1::Ancestry). No registry serves it.
    V1Ancestry,
    /// Anything else, as it was written; may be empty.
    Other(Box<str>),
}

impl MediaType {
    /// The media type in a `Content-Type` header: parameters are dropped and known types are
    /// recognised in any case, as HTTP asks for (RFC 9110, section 8.3.1).
    ///
    /// ```
    /// use longshore_manifest::MediaType;
    ///
    /// let header = "Application/vnd.docker.distribution.manifest.v2+json; charset=utf-8";
    /// assert_eq!(MediaType::from_content_type(header), MediaType::Schema2);
    /// ```
    #[must_use]
    pub fn from_content_type(header: &str) -> Self {
        let essence = header.split(';').next().unwrap_or_default().trim();
        KNOWN
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(essence))
            .map_or_else(|| Self::Other(essence.into()), |(_, known)| known.clone())
    }

    /// The media type as documents and headers write it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Schema1 => "application/vnd.docker.distribution.manifest.v1+json",
            Self::Schema1Signed => "application/vnd.docker.distribution.manifest.v1+prettyjws",
            Self::Schema2 => "application/vnd.docker.distribution.manifest.v2+json",
            Self::List => "application/vnd.docker.distribution.manifest.list.v2+json",
            Self::OciManifest => "application/vnd.oci.image.manifest.v1+json",
            Self::OciIndex => "application/vnd.oci.image.index.v1+json",
            Self::OciArtifact => "application/vnd.oci.artifact.manifest.v1+json",
            Self::Schema2Config => "application/vnd.docker.container.image.v1+json",
            Self::OciConfig => "application/vnd.oci.image.config.v1+json",
            Self::OciEmpty => "application/vnd.oci.empty.v1+json",
            Self::Schema2Layer => "application/vnd.docker.image.rootfs.diff.tar",
            Self::Schema2LayerGzip => "application/vnd.docker.image.rootfs.diff.tar.gzip",
            Self::Schema2ForeignLayer => "application/vnd.docker.image.rootfs.foreign.diff.tar",
            Self::Schema2ForeignLayerGzip => {
                "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
            }
            Self::OciLayer => "application/vnd.oci.image.layer.v1.tar",
            Self::OciLayerGzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Self::OciLayerZstd => "application/vnd.oci.image.layer.v1.tar+zstd",
            Self::OciForeignLayer => "application/vnd.oci.image.layer.nondistributable.v1.tar",
            Self::OciForeignLayerGzip => {
                "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
            }
            Self::OciForeignLayerZstd => {
                "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd"
            }
            Self::V1Ancestry => "application/vnd.longshore.image.ancestry.v1+json",
            Self::Other(other) => other,
        }
    }

    /// Whether registries serve documents of this type at `/manifests/`.
    #[must_use]
    pub fn is_manifest(&self) -> bool {
        self.is_index() || self.is_image() || self.is_schema1() || *self == Self::OciArtifact
    }

    /// Whether this is a manifest list or an OCI index.
    #[must_use]
    pub fn is_index(&self) -> bool {
        matches!(self, Self::List | Self::OciIndex)
    }

    /// Whether this is a manifest with a configuration and layers: schema 2 or OCI.
    #[must_use]
    pub fn is_image(&self) -> bool {
        matches!(self, Self::Schema2 | Self::OciManifest)
    }

    /// Whether this is schema 1, signed or not.
    #[must_use]
    pub fn is_schema1(&self) -> bool {
        matches!(self, Self::Schema1 | Self::Schema1Signed)
    }

    /// Whether this is the configuration of an image, Docker's or OCI's.
    #[must_use]
    pub fn is_config(&self) -> bool {
        matches!(self, Self::Schema2Config | Self::OciConfig)
    }

    /// Whether registries may lack blobs of this type: they are then found at the descriptor's
    /// URLs ("foreign" layers in Docker's words, "nondistributable" in OCI's).
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        matches!(
            self,
            Self::Schema2ForeignLayer
                | Self::Schema2ForeignLayerGzip
                | Self::OciForeignLayer
                | Self::OciForeignLayerGzip
                | Self::OciForeignLayerZstd
        )
    }
}

impl From<&str> for MediaType {
    /// The media type as a document writes it: exact, nothing is dropped.
    fn from(text: &str) -> Self {
        KNOWN
            .iter()
            .find(|(known, _)| *known == text)
            .map_or_else(|| Self::Other(text.into()), |(_, known)| known.clone())
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for MediaType {
    /// As its text.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for MediaType {
    /// From any text, exact: nothing is dropped.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(deserializer).map(|text| Self::from(&*text))
    }
}

/// Every known type by its text, the frequent ones first.
const KNOWN: [(&str, MediaType); 21] = [
    (
        "application/vnd.oci.image.layer.v1.tar+gzip",
        MediaType::OciLayerGzip,
    ),
    (
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
        MediaType::Schema2LayerGzip,
    ),
    (
        "application/vnd.oci.image.manifest.v1+json",
        MediaType::OciManifest,
    ),
    (
        "application/vnd.docker.distribution.manifest.v2+json",
        MediaType::Schema2,
    ),
    (
        "application/vnd.docker.distribution.manifest.v1+json",
        MediaType::Schema1,
    ),
    (
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
        MediaType::Schema1Signed,
    ),
    (
        "application/vnd.docker.distribution.manifest.list.v2+json",
        MediaType::List,
    ),
    (
        "application/vnd.oci.image.index.v1+json",
        MediaType::OciIndex,
    ),
    (
        "application/vnd.oci.artifact.manifest.v1+json",
        MediaType::OciArtifact,
    ),
    (
        "application/vnd.docker.container.image.v1+json",
        MediaType::Schema2Config,
    ),
    (
        "application/vnd.oci.image.config.v1+json",
        MediaType::OciConfig,
    ),
    ("application/vnd.oci.empty.v1+json", MediaType::OciEmpty),
    (
        "application/vnd.docker.image.rootfs.diff.tar",
        MediaType::Schema2Layer,
    ),
    (
        "application/vnd.docker.image.rootfs.foreign.diff.tar",
        MediaType::Schema2ForeignLayer,
    ),
    (
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        MediaType::Schema2ForeignLayerGzip,
    ),
    (
        "application/vnd.oci.image.layer.v1.tar",
        MediaType::OciLayer,
    ),
    (
        "application/vnd.oci.image.layer.v1.tar+zstd",
        MediaType::OciLayerZstd,
    ),
    (
        "application/vnd.oci.image.layer.nondistributable.v1.tar",
        MediaType::OciForeignLayer,
    ),
    (
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        MediaType::OciForeignLayerGzip,
    ),
    (
        "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
        MediaType::OciForeignLayerZstd,
    ),
    (
        "application/vnd.longshore.image.ancestry.v1+json",
        MediaType::V1Ancestry,
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_types_read_back() {
        for (text, known) in &KNOWN {
            assert_eq!(known.as_str(), *text);
            assert_eq!(MediaType::from(*text), *known);
            assert_eq!(MediaType::from_content_type(&text.to_uppercase()), *known);
        }
    }

    #[test]
    fn unknown_types_survive() {
        for text in [
            "",
            "text/html",
            "application/VND.oci.image.index.v1+json",
            "a; b=c",
        ] {
            assert_eq!(MediaType::from(text), MediaType::Other(text.into()));
            assert_eq!(MediaType::from(text).to_string(), text);
        }
        assert_eq!(
            MediaType::from_content_type(" text/plain ;x").as_str(),
            "text/plain"
        );
    }

    #[test]
    fn seven_types_are_manifests() {
        let manifests = KNOWN.iter().filter(|(_, known)| known.is_manifest());
        assert_eq!(manifests.count(), 7);
        let foreign = KNOWN.iter().filter(|(_, known)| known.is_foreign());
        assert_eq!(foreign.count(), 5);
    }
}
