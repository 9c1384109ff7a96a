//! What the bytes of a manifest say of it (pure).

use std::sync::Arc;

use longshore_manifest::{Manifest, MediaType};
use longshore_reference::Digest;

use crate::remote::Fetched;

/// What a manifest is known by: the sha256 of its bytes, but of a signed schema 1 manifest that of its payload.
pub(crate) fn known_by(fetched: &Fetched) -> Digest {
    let bytes = &fetched.bytes;
    let media_type = media_type_of(fetched.media_type.as_deref(), bytes);
    if *media_type == *MediaType::Schema1Signed.as_str()
        && let Ok(manifest) = Manifest::decode(Some(&media_type), bytes.clone())
    {
        return manifest.digest();
    }
    Digest::sha256(bytes)
}

/// The media type to serve: what upstream said, unless that says nothing; then what the document says.
pub(crate) fn media_type_of(given: Option<&str>, bytes: &[u8]) -> Arc<str> {
    let empty = [
        "",
        "text/plain",
        "application/json",
        "application/octet-stream",
    ];
    let given = given.filter(|given| !empty.contains(given));
    match given {
        Some(given) => Arc::from(given),
        None => longshore_manifest::guess(bytes).map_or_else(
            || Arc::from("application/octet-stream"),
            |guessed| Arc::from(guessed.as_str()),
        ),
    }
}

pub(crate) fn is_json_object(bytes: &[u8]) -> bool {
    let starts = bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
    starts && serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok()
}

/// Whether it is what the puller makes of an image of a v1 registry.
pub(crate) fn is_ancestry(fetched: &Fetched) -> bool {
    *media_type_of(fetched.media_type.as_deref(), &fetched.bytes) == *MediaType::V1Ancestry.as_str()
}
