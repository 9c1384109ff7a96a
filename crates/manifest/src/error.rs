//! Why a document is not understood.

use std::fmt;

use crate::{Kind, Platform};

/// Why a document is not understood.
///
/// A document that is not understood may still be served by its digest: its bytes are not in doubt.
///
/// ```
/// use longshore_manifest::{Error, Manifest};
///
/// let error = Manifest::decode(None, b"<html>".as_slice().into()).unwrap_err();
/// assert!(matches!(error, Error::Json { part: "manifest", .. }));
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The document is longer than the limit; it was not read.
    #[error("document of {bytes} bytes is over the limit of {bytes_max}")]
    TooLarge {
        /// Length of the document.
        bytes: usize,
        /// The limit, see [`MANIFEST_BYTES_MAX`](crate::MANIFEST_BYTES_MAX).
        bytes_max: usize,
    },
    /// Lists and objects are nested deeper than the limit.
    #[error("nested deeper than {depth_max} levels")]
    TooDeep {
        /// The limit, see [`DEPTH_MAX`](crate::DEPTH_MAX) and
        /// [`INDEX_DEPTH_MAX`](crate::INDEX_DEPTH_MAX).
        depth_max: usize,
    },
    /// A list or an object has more entries than the limit; it was not read.
    #[error("a list or an object of more than {entries_max} entries")]
    TooManyEntries {
        /// The limit, see [`ENTRIES_MAX`](crate::ENTRIES_MAX).
        entries_max: usize,
    },
    /// Not JSON, or a part has the wrong shape; a key given twice is refused too, because
    /// readers disagree about which one counts.
    #[error("{part} is not readable")]
    Json {
        /// Which part of the document.
        part: &'static str,
        /// Where and why.
        #[source]
        source: JsonError,
    },
    /// A digest is missing or malformed.
    #[error("{part} has an unreadable digest {digest:?}")]
    Digest {
        /// Which part of the document.
        part: &'static str,
        /// The digest as it was written.
        digest: Box<str>,
        /// Why it is not a digest.
        #[source]
        source: longshore_reference::Error,
    },
    /// The keys of the document do not tell what it is.
    #[error("media-type: cannot determine")]
    Undetermined,
    /// `mediaType` inside the document is not the type it was served as.
    #[error("{if_present}mediaType in {document} should be '{expected}' not '{found}'")]
    MediaTypeMismatch {
        /// `if present, ` where the type is optional, else empty.
        if_present: &'static str,
        /// `manifest`, `manifest list` or `image index`.
        document: &'static str,
        /// The type it was served as.
        expected: Box<str>,
        /// The type inside.
        found: Box<str>,
    },
    /// The document has keys that belong to another type.
    #[error("media-type: \"{media_type}\" should not have {keys}")]
    Confused {
        /// The type the document claims.
        media_type: Box<str>,
        /// The keys it must not have, quoted.
        keys: &'static str,
    },
    /// Not a platform specifier.
    #[error("{specifier:?}: {reason}")]
    Platform {
        /// What was given.
        specifier: Box<str>,
        /// The rule it breaks.
        reason: &'static str,
    },
    /// No entry of an index fits the platform that was asked for.
    #[error(
        "no matching manifest for {} in the manifest list entries (there are: {})",
        wanted.full(),
        Listed(available)
    )]
    NoMatch {
        /// The platform that was asked for.
        wanted: Box<Platform>,
        /// The platforms that are there, in the order of the index.
        available: Vec<Platform>,
        /// Why the first image for this architecture will not do, where that is its version of
        /// Windows: [`Self::WindowsVersion`].
        #[source]
        source: Option<Box<Self>>,
    },
    /// A Windows image does not run on a host of this version: they share the host's kernel.
    #[error("a Windows version {image}-based image is incompatible with a {host} host")]
    WindowsVersion {
        /// Version of the image, `major.minor.build`.
        image: Box<str>,
        /// Version of the host, likewise.
        host: Box<str>,
    },
    /// Too many indexes were looked into for one image.
    #[error("more than {indexes_max} indexes nested in one")]
    TooManyIndexes {
        /// The limit, see [`INDEXES_MAX`](crate::INDEXES_MAX).
        indexes_max: usize,
    },
    /// Not base64.
    #[error("{part} is not base64")]
    Base64 {
        /// Which part of the document.
        part: &'static str,
    },
    /// A signed document whose signatures do not say what they sign.
    #[error("{reason}")]
    Signed {
        /// What is wrong.
        reason: &'static str,
    },
    /// A signature has no usable public key.
    #[error("{reason}")]
    Key {
        /// What is wrong.
        reason: &'static str,
    },
    /// A signature is not good.
    #[error("invalid signature by key {key}")]
    Signature {
        /// Identifier of the key.
        key: Box<str>,
    },
    /// A schema 1 document of another version, or none.
    #[error("unsupported schema version {}", found.unwrap_or_default())]
    SchemaVersion {
        /// The version inside.
        found: Option<u64>,
    },
    /// The layers and the history of a schema 1 document do not go together.
    #[error("{reason}")]
    Chain {
        /// What is wrong.
        reason: &'static str,
    },
    /// The id of a v1 image is not 64 hexadecimal digits.
    #[error("image ID {id:?} is invalid")]
    ImageId {
        /// The id as it was written.
        id: Box<str>,
    },
    /// A v1 image says it is another one.
    #[error("image {expected} says it is {found}")]
    ImageIdMismatch {
        /// The id under which it is known.
        expected: Box<str>,
        /// The id inside.
        found: Box<str>,
    },
    /// A v1 image consists of too many.
    #[error("{images} images in one where at most {images_max} are taken")]
    TooManyImages {
        /// How many there are.
        images: usize,
        /// The limit, see [`IMAGES_MAX`](crate::v1::IMAGES_MAX).
        images_max: usize,
    },
    /// A v1 image is in a chain more than once, with others between.
    #[error("ID {id} appears multiple times in manifest")]
    RepeatedId {
        /// The id.
        id: Box<str>,
    },
    /// A v1 image is not the child of the one below it.
    #[error("invalid parent ID. Expected {expected}, got {found}")]
    Parent {
        /// Id of the image below.
        expected: Box<str>,
        /// The parent the image names.
        found: Box<str>,
    },
    /// Not a time (RFC 3339).
    #[error("{text:?} is not a time")]
    Time {
        /// The time as it was written.
        text: Box<str>,
    },
    /// An image configuration has no `rootfs`, or an unreadable one.
    #[error("invalid rootfs in image configuration")]
    RootFs,
    /// The layers are not those the image configuration names.
    #[error("layers from manifest don't match image configuration")]
    LayerMismatch,
    /// As many layers are needed as another list has.
    #[error("{found} layers where there should be {expected}")]
    LayerCount {
        /// How many there should be.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// A part that the other side cannot do without is not there.
    #[error("there is no {part}")]
    Absent {
        /// Which part.
        part: &'static str,
    },
    /// A manifest of another kind than is needed.
    #[error("{found:?} where {expected:?} is needed")]
    Kind {
        /// The kind that is needed.
        expected: Kind,
        /// The kind that is there.
        found: Kind,
    },
    /// A part of a document that only OCI's format has was to be written in Docker's.
    #[error("schema 2 has no {part}")]
    OnlyOci {
        /// Which part.
        part: &'static str,
    },
    /// An OCI layout of a version that is not known here.
    #[error("unsupported OCI layout version {found:?}")]
    LayoutVersion {
        /// The version inside.
        found: Box<str>,
    },
    /// A layout does not have exactly one image, and no name says which one is meant.
    #[error("more than one image in oci, choose an image (there are {images})")]
    NotOneImage {
        /// How many there are.
        images: usize,
    },
    /// No image of a layout has this name.
    #[error("no descriptor found for reference {name:?}")]
    NoSuchName {
        /// The name.
        name: Box<str>,
    },
    /// A name in an archive is not the name of an image with a tag.
    #[error("{name:?} is not the name of an image")]
    Name {
        /// The name as it was written.
        name: Box<str>,
        /// Why not.
        #[source]
        source: longshore_reference::Error,
    },
    /// An image configuration cannot be turned into schema 1.
    #[error("{reason}")]
    Conversion {
        /// What is wrong.
        reason: &'static str,
    },
}

struct Listed<'a>(&'a [Platform]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        for (position, platform) in self.0.iter().enumerate() {
            let separator = if position == 0 { "" } else { ", " };
            write!(f, "{separator}{}", platform.full())?;
        }
        Ok(())
    }
}

/// What is wrong with a piece of JSON, with line and column.
///
/// ```
/// use std::error::Error as _;
/// # use longshore_manifest::Manifest;
///
/// let error = Manifest::decode(None, b"<html>".as_slice().into()).unwrap_err();
/// assert_eq!(error.source().unwrap().to_string(), "expected value at line 1 column 1");
/// ```
#[derive(Debug)]
pub struct JsonError(serde_json::Error);

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for JsonError {}

impl Error {
    pub(crate) fn json(part: &'static str, source: serde_json::Error) -> Self {
        let source = JsonError(source);
        Self::Json { part, source }
    }
}
