//! What a document is, told by its content: our own guess, and the rules of moby, containerd,
//! containers/image and distribution with their refusals.
//!
//! Registries and clients disagree about documents that could be two things at once
//! (CVE-2021-41190). [`Manifest::decode`](crate::Manifest::decode) refuses them; the functions
//! here say what each of the others makes of a document. Where their JSON reader takes a key in
//! any case, these take it as it is specified.

use longshore_reference::Digest;
use serde::{Deserialize, Deserializer, de::IgnoredAny};

use crate::{
    Error, MediaType, Schema1,
    wire::{self, Document, Text},
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

/// The type of a document as moby finds it out for content whose type was not kept.
///
/// Any other `mediaType` than a manifest's is believed.
///
/// ```
/// use longshore_manifest::{MediaType, detect};
///
/// assert_eq!(detect::moby(br#"{"layers":[]}"#)?, MediaType::OciManifest);
/// let error = detect::moby(br#"{"layers":[],"manifests":[]}"#).unwrap_err();
/// assert_eq!(error.to_string(), "media-type: cannot determine");
/// # Ok::<(), longshore_manifest::Error>(())
/// ```
///
/// # Errors
/// Not JSON, keys of two types at once, or nothing to tell by.
pub fn moby(bytes: &[u8]) -> Result<MediaType, Error> {
    let keys: Keys<'_> = wire::read("manifest", bytes)?;
    let Present(config) = keys.config;
    let Present(layers) = keys.layers;
    let Present(manifests) = keys.manifests;
    let Present(fs_layers) = keys.fs_layers;
    let media_type = MediaType::from(&*keys.media_type.0);
    let confused = match media_type {
        MediaType::Schema2 | MediaType::OciManifest => manifests || fs_layers,
        MediaType::List | MediaType::OciIndex => config || layers || fs_layers,
        MediaType::Schema1 => manifests || layers,
        _ => false,
    };
    if confused {
        let keys = foreign_keys(&media_type);
        return Err(Error::Confused {
            media_type: media_type.as_str().into(),
            keys,
        });
    }
    if !media_type.as_str().is_empty() && media_type != MediaType::Schema1 {
        return Ok(media_type);
    }
    if fs_layers && !manifests && !layers && !config {
        Ok(MediaType::Schema1)
    } else if (config || layers) && !manifests && !fs_layers {
        Ok(MediaType::OciManifest)
    } else if !config && !layers && !fs_layers {
        Ok(MediaType::OciIndex)
    } else {
        Err(Error::Undetermined)
    }
}

/// Whether containerd would read a document as `media_type` (`ValidateMediaType`).
///
/// ```
/// use longshore_manifest::{MediaType, detect};
///
/// let index = br#"{"manifests":[]}"#;
/// detect::containerd(index, &MediaType::OciIndex)?;
/// assert!(detect::containerd(index, &MediaType::OciManifest).is_err());
/// # Ok::<(), longshore_manifest::Error>(())
/// ```
///
/// # Errors
/// Not JSON, schema 1, an index in place of a manifest or the reverse.
pub fn containerd(bytes: &[u8], media_type: &MediaType) -> Result<(), Error> {
    let keys: Keys<'_> = wire::read("manifest", bytes)?;
    let inside = MediaType::from(&*keys.media_type.0);
    if keys.fs_layers.0 {
        return Err(Error::Schema1Refused);
    }
    let swapped = |expected, found| Error::Swapped {
        reader: "media-type",
        expected,
        found,
        media_type: Some(media_type.as_str().into()),
    };
    if media_type.is_image() && (keys.manifests.0 || inside.is_index()) {
        return Err(swapped("manifest", "index"));
    }
    if media_type.is_index() && (keys.config.0 || keys.layers.0 || inside.is_image()) {
        return Err(swapped("index", "manifest"));
    }
    Ok(())
}

/// The type of a document as containers/image guesses it (`GuessMIMEType`); `None` where it has
/// no idea.
///
/// Its slip is followed: a document with `manifests` and a configuration of a type of its own is
/// given that type.
///
/// ```
/// use longshore_manifest::{MediaType, detect};
///
/// assert_eq!(detect::containers(br#"{"schemaVersion":2}"#), Some(MediaType::OciManifest));
/// assert_eq!(detect::containers(br#"{"layers":[]}"#), None);
/// ```
#[must_use]
pub fn containers(bytes: &[u8]) -> Option<MediaType> {
    let document = wire::document(bytes).ok()?;
    let inside = MediaType::from(&*document.media_type.0);
    if inside.is_image() || inside.is_index() {
        return Some(inside);
    }
    match document.schema_version.0 {
        Some(1) if document.signatures.is_some() => Some(MediaType::Schema1Signed),
        Some(1) => Some(MediaType::Schema1),
        Some(2) => {
            let config = document
                .config
                .as_ref()
                .and_then(|config| config.media_type.some());
            let config = config.map(MediaType::from);
            let index = document
                .manifests
                .is_some_and(|manifests| !manifests.is_empty());
            Some(match config {
                Some(MediaType::OciConfig) => MediaType::OciManifest,
                Some(MediaType::Schema2Config) => MediaType::Schema2,
                Some(other) if index => other,
                None if index => MediaType::OciIndex,
                Some(_) | None => MediaType::OciManifest,
            })
        }
        _ => None,
    }
}

/// The type containers/image makes of a registry's `Content-Type`: anything but the six types of
/// manifests is taken for signed schema 1, as registries of that time gave no useful type.
///
/// ```
/// use longshore_manifest::{MediaType, detect};
///
/// assert_eq!(detect::server_type("text/plain; charset=utf-8"), MediaType::Schema1Signed);
/// assert_eq!(detect::server_type(MediaType::List.as_str()), MediaType::List);
/// ```
#[must_use]
pub fn server_type(content_type: &str) -> MediaType {
    let media_type = MediaType::from_content_type(content_type);
    if media_type.is_manifest() && media_type != MediaType::OciArtifact {
        media_type
    } else {
        MediaType::Schema1Signed
    }
}

/// The digest of a manifest as containers/image computes it: of the payload exactly when its
/// guess is signed schema 1, else of all bytes.
///
/// ```
/// use longshore_manifest::detect;
/// use longshore_reference::Digest;
///
/// assert_eq!(detect::containers_digest(b"anything")?, Digest::sha256(b"anything"));
/// # Ok::<(), longshore_manifest::Error>(())
/// ```
///
/// # Errors
/// The signatures of schema 1 are not readable.
pub fn containers_digest(bytes: &[u8]) -> Result<Digest, Error> {
    if containers(bytes) != Some(MediaType::Schema1Signed) {
        return Ok(Digest::sha256(bytes));
    }
    let schema1 = Schema1::decode(bytes.to_vec().into())?;
    Ok(Digest::sha256(schema1.payload()))
}

/// Whether distribution would read a document as `media_type`: schema 2 and lists must name
/// themselves, OCI documents must not name another type or have the other's keys. Schema 1 and
/// other types are not checked.
///
/// ```
/// use longshore_manifest::{MediaType, detect};
///
/// let error = detect::distribution(b"{}", &MediaType::Schema2).unwrap_err();
/// assert!(error.to_string().starts_with("mediaType in manifest should be"));
/// detect::distribution(b"{}", &MediaType::OciManifest)?;
/// # Ok::<(), longshore_manifest::Error>(())
/// ```
///
/// # Errors
/// Not JSON, or as above.
pub fn distribution(bytes: &[u8], media_type: &MediaType) -> Result<(), Error> {
    let document = wire::document(bytes)?;
    let swapped = |reader, expected, found| {
        Err(Error::Swapped {
            reader,
            expected,
            found,
            media_type: None,
        })
    };
    if *media_type == MediaType::OciManifest && document.manifests.is_some() {
        return swapped("ocimanifest", "manifest", "index");
    }
    if media_type.is_index() && (document.config.is_some() || document.layers.is_some()) {
        return swapped("index", "index", "manifest");
    }
    let must_name_itself = matches!(media_type, MediaType::Schema2 | MediaType::List);
    if !(media_type.is_image() || media_type.is_index()) {
        return Ok(());
    }
    check_inside(&document, media_type, !must_name_itself)
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
    let confused = match media_type {
        MediaType::List | MediaType::OciIndex => image || schema1,
        MediaType::Schema1 | MediaType::Schema1Signed => index || document.layers.is_some(),
        _ => index || schema1,
    };
    if confused {
        let keys = foreign_keys(media_type);
        return Err(Error::Confused {
            media_type: media_type.as_str().into(),
            keys,
        });
    }
    if media_type.is_schema1() {
        Ok(())
    } else {
        check_inside(document, media_type, true)
    }
}

/// Refuses a `mediaType` that is not `media_type`; an absent one if it is not `optional`.
fn check_inside(
    document: &Document<'_>,
    media_type: &MediaType,
    optional: bool,
) -> Result<(), Error> {
    let inside = &*document.media_type.0;
    if inside == media_type.as_str() || (optional && inside.is_empty()) {
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

/// The keys a document of this type must not have, in moby's words.
fn foreign_keys(media_type: &MediaType) -> &'static str {
    match media_type {
        MediaType::List | MediaType::OciIndex => r#""config", "layers", or "fsLayers""#,
        MediaType::Schema1 | MediaType::Schema1Signed => r#""manifests" or "layers""#,
        _ => r#""manifests" or "fsLayers""#,
    }
}

/// Which keys are there, whatever they hold: for Go's `json.RawMessage`, `null` is something.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", remote = "Self")]
struct Keys<'a> {
    #[serde(borrow)]
    media_type: Text<'a>,
    config: Present,
    layers: Present,
    manifests: Present,
    fs_layers: Present,
}

wire::from_objects!(Keys<'a>);

#[derive(Default)]
struct Present(bool);

impl<'de> Deserialize<'de> for Present {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self(true))
    }
}

#[cfg(test)]
mod tests;
