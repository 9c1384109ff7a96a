//! Where content comes from that no registry serves by its digest.

use longshore_manifest::convert::Format;
use longshore_reference::Digest;
use serde::{Deserialize, Serialize};

/// Where content comes from that no registry serves by its digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Origin {
    /// It is the layer of a v1 image.
    V1Layer {
        /// Id of the image, 64 hexadecimal digits.
        id: Box<str>,
    },
    /// It was made of a legacy document of the same repository.
    Made {
        /// Digest of the document.
        of: Digest,
        /// What it was made into.
        #[serde(with = "format")]
        format: Format,
    },
}

/// The format as records and keys have it.
pub(crate) mod format {
    use longshore_manifest::convert::Format;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn as_str(format: Format) -> &'static str {
        match format {
            Format::Schema2 => "schema2",
            Format::Oci => "oci",
        }
    }

    #[allow(
        clippy::trivially_copy_pass_by_ref,
        reason = "the signature serde wants"
    )]
    pub(super) fn serialize<S: Serializer>(format: &Format, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(as_str(*format))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Format, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(from)?;
        [Format::Schema2, Format::Oci]
            .into_iter()
            .find(|format| as_str(*format) == text)
            .ok_or_else(|| serde::de::Error::unknown_variant(&text, &["schema2", "oci"]))
    }
}
