//! What a document is, told by its content.
//!
//! Registries and clients disagree about documents that could be two things at once
//! (CVE-2021-41190): they are refused here.

use bytes::Bytes;

use crate::{
    Error, MediaType, Schema1,
    wire::{self, Document, Keys},
};

/// The type of a manifest by its content, for when a registry's `Content-Type` is missing or
/// useless (`application/json`, `text/plain`); `None` if it is no manifest.
///
/// In this order: the `mediaType` inside if it is a manifest's; `fsLayers`, or `schemaVersion` 1:
/// schema 1, signed if there are `signatures`; `manifests` alone: an OCI index; `config` or
/// `layers` without `manifests`: an OCI manifest, or schema 2 if the configuration is Docker's.
/// A document with keys of two types at once is none. Of signed schema 1, only what is signed has
/// to be free of repeated keys.
///
/// ```
/// use longshore_manifest::{MediaType, guess};
///
/// assert_eq!(guess(br#"{"schemaVersion":2,"manifests":[]}"#), Some(MediaType::OciIndex));
/// assert_eq!(guess(b"<html>"), None);
/// ```
#[must_use]
pub fn guess(bytes: &[u8]) -> Option<MediaType> {
    match wire::document(bytes) {
        Ok(document) => guess_document(&document),
        Err(_) => repeating_schema1(bytes).map(|_| MediaType::Schema1Signed),
    }
}

/// A signed schema 1 manifest that is readable but for keys repeated behind the payload.
pub(crate) fn repeating_schema1(bytes: &[u8]) -> Option<Schema1> {
    let schema1 = Schema1::decode(Bytes::copy_from_slice(bytes)).ok()?;
    let payload = wire::document(schema1.payload()).ok()?;
    let is_schema1 = guess_document(&payload) == Some(MediaType::Schema1);
    let has_signatures = !schema1.signatures().is_empty();
    (is_schema1 && has_signatures && check_around(bytes).is_ok()).then_some(schema1)
}

/// Refuses schema 1 that has keys of other types, signed or not. Keys may be there twice: only the
/// payload has a meaning.
pub(crate) fn check_around(bytes: &[u8]) -> Result<(), Error> {
    let keys: Keys = wire::read("schema 1 manifest", bytes)?;
    if keys.manifests || keys.layers {
        return Err(confused(&MediaType::Schema1));
    }
    Ok(())
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
    let image = document.config.is_some() || document.layers.is_some();
    let index = document.manifests.is_some();
    let schema1 = document.fs_layers.is_some();
    let is_confused = match media_type {
        MediaType::List | MediaType::OciIndex => image || schema1,
        MediaType::Schema1 | MediaType::Schema1Signed => index || document.layers.is_some(),
        _ => index || schema1,
    };
    if is_confused {
        return Err(confused(media_type));
    }
    let inside = &*document.media_type.0;
    if media_type.is_schema1() || inside.is_empty() || inside == media_type.as_str() {
        return Ok(());
    }
    Err(Error::MediaTypeMismatch {
        if_present: match media_type {
            MediaType::OciManifest | MediaType::OciIndex => "if present, ",
            _ => "",
        },
        document: match media_type {
            MediaType::List => "manifest list",
            MediaType::OciIndex => "image index",
            _ => "manifest",
        },
        expected: media_type.as_str().into(),
        found: inside.into(),
    })
}

fn confused(media_type: &MediaType) -> Error {
    Error::Confused {
        media_type: media_type.as_str().into(),
        keys: foreign_keys(media_type),
    }
}

/// The keys a document of this type must not have, in moby's words.
fn foreign_keys(media_type: &MediaType) -> &'static str {
    match media_type {
        MediaType::List | MediaType::OciIndex => r#""config", "layers", or "fsLayers""#,
        MediaType::Schema1 | MediaType::Schema1Signed => r#""manifests" or "layers""#,
        _ => r#""manifests" or "fsLayers""#,
    }
}

#[cfg(test)]
mod tests;
