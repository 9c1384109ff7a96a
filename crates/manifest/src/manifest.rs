//! Any manifest a registry serves: its exact bytes and what they name.

use std::collections::BTreeMap;

use bytes::Bytes;
use longshore_reference::{Algorithm, Digest};

use crate::{
    Descriptor, Error, Kind, MANIFEST_BYTES_MAX, MediaType, Role, Schema1, guess,
    wire::{self, Document, Entry},
};

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
    /// Over [`MANIFEST_BYTES_MAX`], [`DEPTH_MAX`](crate::DEPTH_MAX) or
    /// [`ENTRIES_MAX`](crate::ENTRIES_MAX), not JSON, a known key twice,
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
        let declared = media_type.map(MediaType::from_content_type);
        let declared = declared.filter(MediaType::is_manifest);
        if let Some(media_type) = declared.as_ref().filter(|declared| declared.is_schema1()) {
            let schema1 = Schema1::decode(bytes.clone())?;
            return Self::decode_schema1(media_type.clone(), bytes, schema1);
        }
        let document = match (wire::document(&bytes), &declared) {
            (Ok(document), _) => document,
            (Err(error), Some(_)) => return Err(error),
            (Err(error), None) => {
                let schema1 = guess::repeating_schema1(&bytes).ok_or(error)?;
                return Self::decode_schema1(MediaType::Schema1Signed, bytes, schema1);
            }
        };
        let media_type = declared.or_else(|| guess::guess_document(&document));
        let media_type = media_type.ok_or(Error::Undetermined)?;
        if media_type.is_schema1() {
            let schema1 = Schema1::decode(bytes.clone())?;
            return Self::decode_schema1(media_type, bytes, schema1);
        }
        guess::check(&document, &media_type)?;

        let mut found = Found::default();
        let kind = match media_type {
            MediaType::List | MediaType::OciIndex => {
                found.list(Role::Manifest, document.manifests.as_deref());
                Kind::Index
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
        let decoded = found.finish(media_type, kind, &document);
        Ok(Self { bytes, ..decoded })
    }

    /// A schema 1 manifest. Of a signed one, keys behind the payload have no meaning and may
    /// repeat others; those of another type are refused all the same.
    fn decode_schema1(
        media_type: MediaType,
        bytes: Bytes,
        schema1: Schema1,
    ) -> Result<Self, Error> {
        guess::check_around(&bytes)?;
        let document = wire::document(schema1.payload())?;
        guess::check(&document, &media_type)?;
        if media_type == MediaType::Schema1Signed && schema1.signatures().is_empty() {
            return Err(Error::Signed {
                reason: "missing signature key",
            });
        }
        let mut found = Found::default();
        found.children.extend(schema1.layers().map(|digest| Child {
            role: Role::Layer,
            descriptor: Descriptor::new(MediaType::Schema2LayerGzip, digest, None),
        }));
        let decoded = found.finish(media_type, Kind::Schema1, &document);
        let schema1 = Some(Box::new(schema1));
        Ok(Self {
            bytes,
            schema1,
            ..decoded
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
        self.digest_by(Algorithm::Sha256)
    }

    /// The same by another algorithm.
    ///
    /// ```
    /// use longshore_manifest::Manifest;
    /// use longshore_reference::{Algorithm, Digest};
    ///
    /// let manifest = Manifest::decode(None, br#"{"manifests":[]}"#.as_slice().into())?;
    /// let digest = manifest.digest_by(Algorithm::Sha512);
    /// assert_eq!(digest, Digest::of(Algorithm::Sha512, manifest.bytes()));
    /// # Ok::<(), longshore_manifest::Error>(())
    /// ```
    #[must_use]
    pub fn digest_by(&self, algorithm: Algorithm) -> Digest {
        let schema1 = self.schema1.as_ref();
        Digest::of(algorithm, schema1.map_or(&self.bytes, |s| s.payload()))
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

/// Whether `bytes`, as a registry sent them, are the manifest that `digest` names, computed in the
/// digest's own algorithm: over the bytes or, for signed schema 1, over the payload.
///
/// Needs no media type. Bytes that cannot be read as a manifest are compared as they are.
///
/// ```
/// use longshore_manifest::verify;
/// use longshore_reference::{Algorithm, Digest};
///
/// let bytes = br#"{"schemaVersion":2,"manifests":[]}"#.as_slice().into();
/// for algorithm in Algorithm::ALL {
///     assert!(verify(&bytes, &Digest::of(algorithm, &bytes)));
/// }
/// assert!(!verify(&bytes, &Digest::sha256(b"another")));
/// ```
#[must_use]
pub fn verify(bytes: &Bytes, digest: &Digest) -> bool {
    let algorithm = digest.algorithm();
    Digest::of(algorithm, bytes) == *digest
        || guess(bytes) == Some(MediaType::Schema1Signed)
            && Schema1::decode(bytes.clone())
                .is_ok_and(|schema1| Digest::of(algorithm, schema1.payload()) == *digest)
}

#[derive(Default)]
struct Found {
    children: Vec<Child>,
    skipped: Vec<Skipped>,
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
        let descriptor = Descriptor::from_entry(entry, digest);
        let role = match role {
            Role::Layer if descriptor.media_type.is_foreign() => Role::ForeignLayer,
            role => role,
        };
        self.children.push(Child { role, descriptor });
    }

    /// The manifest, still without its bytes.
    fn finish(mut self, media_type: MediaType, kind: Kind, document: &Document<'_>) -> Manifest {
        self.one(Role::Subject, document.subject.as_ref());
        Manifest {
            bytes: Bytes::new(),
            media_type,
            kind,
            children: self.children,
            skipped: self.skipped,
            artifact_type: document.artifact_type.some().map(MediaType::from),
            annotations: document.annotations.to_map(),
            schema1: None,
        }
    }
}

#[cfg(test)]
mod tests;
