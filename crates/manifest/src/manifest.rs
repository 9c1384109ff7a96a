//! Any manifest a registry serves: its exact bytes and what they name.

use std::collections::BTreeMap;

use bytes::Bytes;
use longshore_reference::Digest;

use crate::{
    Descriptor, Error, MediaType, Platform, Schema1, detect,
    wire::{self, Entry, PlatformEntry},
};

/// Longest manifest that is read, in bytes: what registries accept and c/image reads.
pub const MANIFEST_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Deepest nesting of lists and objects inside one document.
pub const DEPTH_MAX: usize = 64;

/// Most entries of one list or object inside a document. Entries with a digest each cannot be more
/// in [`MANIFEST_BYTES_MAX`]; empty ones could, and would take hundreds of megabytes when read.
pub const ENTRIES_MAX: usize = 50_000;

/// A manifest of any kind, with the bytes it was decoded from.
///
/// The bytes are the truth: unknown keys and unknown media types survive in them, and nothing is
/// ever written from the decoded parts.
///
/// ```
/// use longshore_manifest::{Kind, Manifest, MediaType, Role};
///
/// let bytes = br#"{"schemaVersion":2,"config":{
///     "mediaType":"application/vnd.oci.image.config.v1+json","size":2,
///     "digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
/// },"layers":[],"com.example.unknown":1}"#;
/// let manifest = Manifest::decode(Some("application/json"), bytes.as_slice().into())?;
/// assert_eq!(manifest.media_type(), &MediaType::OciManifest);
/// assert_eq!(manifest.kind(), Kind::Image);
/// assert_eq!(manifest.children()[0].role, Role::Config);
/// assert_eq!(manifest.bytes().as_ref(), bytes);
/// # Ok::<(), longshore_manifest::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Manifest {
    bytes: Bytes,
    media_type: MediaType,
    kind: Kind,
    children: Vec<Child>,
    skipped: Vec<Skipped>,
    artifact_type: Option<MediaType>,
    annotations: BTreeMap<Box<str>, Box<str>>,
    schema1: Option<Box<Schema1>>,
}

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

/// Content a document names, and as what.
///
/// ```
/// # use longshore_manifest::{Child, Descriptor, MediaType, Role};
/// # use longshore_reference::Digest;
/// let descriptor = Descriptor::new(MediaType::OciLayerZstd, Digest::sha256(b""), Some(0));
/// let child = Child { role: Role::Layer, descriptor };
/// assert!(child.role.is_blob());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Child {
    /// As what.
    pub role: Role,
    /// The content.
    pub descriptor: Descriptor,
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

/// A descriptor that was left out of [`Manifest::children`] because its digest is unreadable.
///
/// ```
/// # use longshore_manifest::Manifest;
/// let document = br#"{"layers":[{"digest":"blake3:af13"}]}"#;
/// let manifest = Manifest::decode(None, document.as_slice().into())?;
/// assert!(manifest.children().is_empty());
/// assert_eq!(&*manifest.skipped()[0].digest, "blake3:af13");
/// # Ok::<(), longshore_manifest::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Skipped {
    /// What it would have been.
    pub role: Role,
    /// Its place among those of the same list, from 0.
    pub position: usize,
    /// The digest as it was written; empty if there is none.
    pub digest: Box<str>,
}

impl Manifest {
    /// Decodes `bytes` as what `media_type` (a `Content-Type`, parameters allowed) says.
    ///
    /// A type that is no manifest's, or none, leaves it to the content, as [`guess`](crate::guess)
    /// has it. Keys whose value is `null` or a leaf of the wrong type count as absent; an entry
    /// whose digest is unreadable is left out and told by [`Self::skipped`].
    ///
    /// # Errors
    /// Over [`MANIFEST_BYTES_MAX`], [`DEPTH_MAX`] or [`ENTRIES_MAX`], not JSON, a known key twice,
    /// of no known type, or of another type than it was served as. The bytes may still be served
    /// by digest.
    pub fn decode(media_type: Option<&str>, bytes: Bytes) -> Result<Self, Error> {
        if bytes.len() > MANIFEST_BYTES_MAX {
            let bytes_max = MANIFEST_BYTES_MAX;
            return Err(Error::TooLarge {
                bytes: bytes.len(),
                bytes_max,
            });
        }
        let document = wire::document(&bytes)?;
        let media_type = media_type
            .map(MediaType::from_content_type)
            .filter(MediaType::is_manifest)
            .or_else(|| detect::guess_document(&document))
            .ok_or(Error::Undetermined)?;
        detect::check(&document, &media_type)?;

        let mut found = Found::default();
        let kind = match media_type {
            MediaType::List | MediaType::OciIndex => {
                found.list(Role::Manifest, document.manifests.as_deref());
                Kind::Index
            }
            MediaType::Schema1 | MediaType::Schema1Signed => {
                let schema1 = Schema1::decode(bytes.clone())?;
                if media_type == MediaType::Schema1Signed && schema1.signatures().is_empty() {
                    return Err(Error::Signed {
                        reason: "missing signature key",
                    });
                }
                found.children.extend(schema1.children());
                found.schema1 = Some(Box::new(schema1));
                Kind::Schema1
            }
            MediaType::OciArtifact => {
                found.list(Role::Layer, document.blobs.as_deref());
                Kind::Artifact
            }
            _ => {
                found.one(Role::Config, document.config.as_ref());
                found.list(Role::Layer, document.layers.as_deref());
                Kind::Image
            }
        };
        found.one(Role::Subject, document.subject.as_ref());
        let artifact_type = document.artifact_type.some().map(MediaType::from);
        let annotations = document.annotations.to_map();
        let Found {
            children,
            skipped,
            schema1,
        } = found;
        Ok(Self {
            media_type,
            kind,
            children,
            skipped,
            artifact_type,
            annotations,
            schema1,
            bytes,
        })
    }

    /// The exact bytes.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The type it was served as, or was found to be; always a manifest's.
    #[must_use]
    pub fn media_type(&self) -> &MediaType {
        &self.media_type
    }

    /// The shape of it.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The digest registries know the manifest by, computed now: SHA-256 of the bytes, for signed
    /// schema 1 of the payload, which leaves the signatures out.
    #[must_use]
    pub fn digest(&self) -> Digest {
        match &self.schema1 {
            Some(schema1) => Digest::sha256(schema1.payload()),
            None => Digest::sha256(&self.bytes),
        }
    }

    /// Everything the manifest names, in its order: configuration, layers (base first), manifests,
    /// at last the subject. Content named twice is there twice.
    #[must_use]
    pub fn children(&self) -> &[Child] {
        &self.children
    }

    /// The descriptors that are missing from [`Self::children`].
    #[must_use]
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// The configuration of an image.
    #[must_use]
    pub fn config(&self) -> Option<&Descriptor> {
        self.with_role(|role| role == Role::Config).next()
    }

    /// The layers, base first, foreign ones among them.
    pub fn layers(&self) -> impl Iterator<Item = &Descriptor> {
        self.with_role(|role| matches!(role, Role::Layer | Role::ForeignLayer))
    }

    /// The entries of an index.
    pub fn manifests(&self) -> impl Iterator<Item = &Descriptor> {
        self.with_role(|role| role == Role::Manifest)
    }

    /// The manifest this one says something about.
    #[must_use]
    pub fn subject(&self) -> Option<&Descriptor> {
        self.with_role(|role| role == Role::Subject).next()
    }

    /// What kind of artifact this is: `artifactType`, else the type of a configuration that is
    /// not an image's (distribution-spec, "Listing Referrers").
    #[must_use]
    pub fn artifact_type(&self) -> Option<&MediaType> {
        let config = || self.config().map(|config| &config.media_type);
        self.artifact_type
            .as_ref()
            .or_else(|| config().filter(|config| !config.is_config()))
    }

    /// `artifactType` as the document has it.
    pub(crate) fn own_artifact_type(&self) -> Option<&MediaType> {
        self.artifact_type.as_ref()
    }

    /// Annotations of the whole manifest.
    #[must_use]
    pub fn annotations(&self) -> &BTreeMap<Box<str>, Box<str>> {
        &self.annotations
    }

    /// The parts only schema 1 has.
    #[must_use]
    pub fn schema1(&self) -> Option<&Schema1> {
        self.schema1.as_deref()
    }

    fn with_role(&self, wanted: impl Fn(Role) -> bool) -> impl Iterator<Item = &Descriptor> {
        let children = self.children.iter();
        children
            .filter(move |child| wanted(child.role))
            .map(|child| &child.descriptor)
    }
}

impl Role {
    /// Whether the content is a blob (at `/blobs/`), not a manifest (at `/manifests/`).
    #[must_use]
    pub fn is_blob(self) -> bool {
        matches!(self, Self::Config | Self::Layer | Self::ForeignLayer)
    }
}

#[derive(Default)]
struct Found {
    children: Vec<Child>,
    skipped: Vec<Skipped>,
    schema1: Option<Box<Schema1>>,
}

impl Found {
    fn list(&mut self, role: Role, entries: Option<&[Option<Entry<'_>>]>) {
        let entries = entries.unwrap_or_default();
        self.children.reserve(entries.len().saturating_add(2));
        let empty = Entry::default();
        for (position, entry) in entries.iter().enumerate() {
            self.entry(role, position, entry.as_ref().unwrap_or(&empty));
        }
    }

    fn one(&mut self, role: Role, entry: Option<&Entry<'_>>) {
        if let Some(entry) = entry {
            self.entry(role, 0, entry);
        }
    }

    fn entry(&mut self, role: Role, position: usize, entry: &Entry<'_>) {
        let Ok(digest) = Digest::parse(&entry.digest.0) else {
            let digest = (*entry.digest.0).into();
            return self.skipped.push(Skipped {
                role,
                position,
                digest,
            });
        };
        let descriptor = descriptor(entry, digest);
        let role = match role {
            Role::Layer if descriptor.media_type.is_foreign() => Role::ForeignLayer,
            role => role,
        };
        self.children.push(Child { role, descriptor });
    }
}

fn descriptor(entry: &Entry<'_>, digest: Digest) -> Descriptor {
    let urls = entry.urls.as_deref().unwrap_or_default();
    Descriptor {
        media_type: MediaType::from(&*entry.media_type.0),
        digest,
        size: entry.size.0,
        platform: entry.platform.as_ref().map(platform).map(Box::new),
        urls: urls.iter().map(|url| (*url.0).into()).collect(),
        annotations: entry.annotations.to_map(),
        artifact_type: entry.artifact_type.some().map(MediaType::from),
        data: entry.data.some().map(Box::from),
    }
}

pub(crate) fn platform(entry: &PlatformEntry<'_>) -> Platform {
    let features = entry.os_features.as_deref().unwrap_or_default();
    let mut platform = Platform::new(&entry.os.0, &entry.architecture.0, &entry.variant.0);
    platform.os_version = (*entry.os_version.0).to_owned();
    platform.os_features = features
        .iter()
        .map(|feature| (*feature.0).to_owned())
        .collect();
    platform
}

#[cfg(test)]
mod tests;
