//! What a document is, told by its content.

use crate::{
    Error, MediaType,
    wire::{self, Document},
};

/// The type of a manifest by its content, for when a registry's `Content-Type` is missing or
/// useless (`application/json`, `text/plain`); `None` if it is no manifest.
///
/// In this order: the `mediaType` inside if it is a manifest's; `fsLayers`, or `schemaVersion` 1:
/// schema 1, signed if there are `signatures`; `manifests` alone: an OCI index; `config` or
/// `layers` without `manifests`: an OCI manifest, or schema 2 if the configuration is Docker's.
/// A document with keys of two types at once is none.
///
/// ```
/// use longshore_manifest::{MediaType, guess};
///
/// assert_eq!(guess(br#"{"schemaVersion":2,"manifests":[]}"#), Some(MediaType::OciIndex));
/// assert_eq!(guess(b"<html>"), None);
/// ```
#[must_use]
pub fn guess(bytes: &[u8]) -> Option<MediaType> {
    wire::document(bytes).ok().as_ref().and_then(guess_document)
}

pub(crate) fn guess_document(document: &Document<'_>) -> Option<MediaType> {
    let inside = MediaType::from(&*document.media_type.0);
    if inside.is_manifest() {
        return Some(inside);
    }
    let image = document.config.is_some() || document.layers.is_some();
    let index = document.manifests.is_some();
    let schema1 = document.fs_layers.is_some() || document.schema_version.0 == Some(1);
    let artifact = document.blobs.is_some() && document.artifact_type.some().is_some();
    match (image, index, schema1, artifact) {
        (false, false, true, _) if document.signatures.is_some() => Some(MediaType::Schema1Signed),
        (false, false, true, _) => Some(MediaType::Schema1),
        (true, false, false, _) => Some(match &document.config {
            Some(config) if config.media_type.0 == MediaType::Schema2Config.as_str() => {
                MediaType::Schema2
            }
            Some(_) | None => MediaType::OciManifest,
        }),
        (false, true, false, _) => Some(MediaType::OciIndex),
        (false, false, false, true) => Some(MediaType::OciArtifact),
        _ => None,
    }
}

/// Refuses a document whose keys or `mediaType` contradict `media_type`.
///
/// An absent `mediaType` passes for every type: distribution insists on one in schema 2 and in
/// lists, but registries serve documents without, and the `Content-Type` has said it already.
pub(crate) fn check(document: &Document<'_>, media_type: &MediaType) -> Result<(), Error> {
    let (name, keys, confused) = match media_type {
        MediaType::Schema2 | MediaType::OciManifest => (
            "manifest",
            r#""manifests" or "fsLayers""#,
            document.manifests.is_some() || document.fs_layers.is_some(),
        ),
        MediaType::List | MediaType::OciIndex => (
            if *media_type == MediaType::List {
                "manifest list"
            } else {
                "image index"
            },
            r#""config", "layers", or "fsLayers""#,
            document.config.is_some() || document.layers.is_some() || document.fs_layers.is_some(),
        ),
        MediaType::Schema1 | MediaType::Schema1Signed => (
            "manifest",
            r#""manifests" or "layers""#,
            document.manifests.is_some() || document.layers.is_some(),
        ),
        _ => (
            "manifest",
            r#""manifests" or "fsLayers""#,
            document.manifests.is_some(),
        ),
    };
    if confused {
        let media_type = media_type.as_str().into();
        return Err(Error::Confused { media_type, keys });
    }
    let inside = &*document.media_type.0;
    let schema1 = media_type.is_schema1();
    if inside.is_empty() || inside == media_type.as_str() || schema1 {
        return Ok(());
    }
    Err(Error::MediaTypeMismatch {
        document: name,
        expected: media_type.as_str().into(),
        found: inside.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses() {
        let docker_config =
            r#"{"config":{"mediaType":"application/vnd.docker.container.image.v1+json"}}"#;
        let table: &[(&str, Option<MediaType>)] = &[
            ("", None),
            ("null", None),
            ("[]", None),
            ("{}", None),
            ("<html></html>", None),
            (r#"{"manifests":[]}"#, Some(MediaType::OciIndex)),
            (r#"{"manifests":null}"#, None),
            (r#"{"layers":[]}"#, Some(MediaType::OciManifest)),
            (
                r#"{"config":{},"schemaVersion":2}"#,
                Some(MediaType::OciManifest),
            ),
            (docker_config, Some(MediaType::Schema2)),
            (r#"{"config":{},"manifests":[]}"#, None),
            (r#"{"fsLayers":[],"manifests":[]}"#, None),
            (r#"{"fsLayers":[]}"#, Some(MediaType::Schema1)),
            (r#"{"schemaVersion":1}"#, Some(MediaType::Schema1)),
            (
                r#"{"schemaVersion":1,"signatures":[]}"#,
                Some(MediaType::Schema1Signed),
            ),
            (
                r#"{"artifactType":"a/b","blobs":[]}"#,
                Some(MediaType::OciArtifact),
            ),
            (r#"{"blobs":[]}"#, None),
            (
                r#"{"mediaType":"text/html","layers":[]}"#,
                Some(MediaType::OciManifest),
            ),
        ];
        for (document, expected) in table {
            assert_eq!(guess(document.as_bytes()), *expected, "{document}");
        }
    }

    #[test]
    fn the_type_inside_counts_first() {
        for media_type in [MediaType::List, MediaType::Schema2, MediaType::OciArtifact] {
            let document = format!(r#"{{"schemaVersion":1,"mediaType":"{media_type}"}}"#);
            assert_eq!(guess(document.as_bytes()), Some(media_type));
        }
    }
}
