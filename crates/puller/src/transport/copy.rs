//! Copying an image from its source to its destination.

use std::{collections::HashSet, fmt, sync::Arc};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, future::BoxFuture, stream};
use longshore_manifest::{
    CONFIG_BYTES_MAX, Descriptor, DiffId, INDEX_DEPTH_MAX, ImageConfig, Kind, Manifest, Platform,
    Preference, Role,
};
use longshore_reference::{Digest, Tagged};

use super::{
    content::Content,
    convert,
    destination::{Destination, Takes},
    error::Error,
    known::Uncompressed,
    source::Source,
};
use crate::{
    Document, goal,
    policy::{BuiltIn, Image, Policy, Requirement},
};

/// What a copy does beside copying.
#[derive(Clone)]
#[non_exhaustive]
pub struct Options {
    /// Which image of an index is copied. Default: that of this machine's platform.
    pub preference: Preference,
    /// All images of an index are copied, and the index.
    pub all: bool,
    /// What images have to meet. Default: nothing.
    pub policy: Option<Arc<Policy>>,
    /// A label that the image must have, by any case.
    pub label: Option<String>,
    /// A destination that needs another manifest is refused.
    pub preserve_digests: bool,
    /// More names for an image of a file of `docker save`.
    pub tags: Vec<Tagged>,
    /// How many blobs are copied at the same time. Default 6.
    pub blobs_at_once: usize,
    /// Remembers what layers are when unpacked.
    pub uncompressed: Uncompressed,
    /// Is told what happens. Called between chunks: must be quick and must not block.
    pub observer: Observer,
}

/// Who is told of the progress of a copy.
pub type Observer = Arc<dyn Fn(&Progress) + Send + Sync>;

/// What happens in a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// A blob is being copied.
    Started {
        /// Which.
        digest: Digest,
        /// As what.
        role: Role,
        /// Bytes, where that is known.
        size: Option<u64>,
    },
    /// Bytes of a blob arrived.
    Bytes {
        /// Of which blob.
        digest: Digest,
        /// How many.
        count: u64,
    },
    /// A blob is there, as a whole and verified.
    Done {
        /// Which.
        digest: Digest,
    },
    /// A blob was there before.
    Present {
        /// Which.
        digest: Digest,
        /// As what.
        role: Role,
    },
    /// A manifest was written.
    Manifest {
        /// Its digest at the destination.
        digest: Digest,
    },
}

/// What was copied.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Copied {
    /// What the source has: the image that was chosen, or the index with [`Options::all`].
    pub source: Descriptor,
    /// What the destination has. Differs from the source where the destination needs another format.
    pub written: Descriptor,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            preference: Preference::only(&Platform::host()),
            all: false,
            policy: None,
            label: None,
            preserve_digests: false,
            tags: Vec::new(),
            blobs_at_once: 6,
            uncompressed: Uncompressed::default(),
            observer: Arc::new(|_| ()),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("preference", &self.preference)
            .field("all", &self.all)
            .field("policy", &self.policy)
            .field("label", &self.label)
            .field("preserve_digests", &self.preserve_digests)
            .finish_non_exhaustive()
    }
}

/// Copies an image. The destination has it once it is [committed](Destination::commit).
///
/// # Errors
/// [`Error::Policy`] and [`Error::NoLabel`] before anything is copied; those of the source and of the destination;
/// [`Error::Unsupported`] for what the destination cannot take.
pub async fn copy(
    source: &Source,
    destination: &Destination,
    options: &Options,
) -> Result<Copied, Error> {
    let copy = Copy {
        source,
        destination,
        options,
    };
    let top = source.top().await?;
    let top_digest = top.descriptor.digest;
    if options.all && top.manifest.kind() == Kind::Index {
        if destination.takes() == Takes::Saved {
            return Err(Error::Unsupported(
                "a file of docker save has no indexes: choose an image by its platform",
            ));
        }
        copy.allow(&top, true).await?;
        return copy.index(top, true, 0).await;
    }
    let image = source.choose(top, options.preference.clone()).await?;
    copy.allow(&image, image.descriptor.digest == top_digest)
        .await?;
    copy.image(image, true).await
}

/// Whether the image that would be copied has the label of the options.
///
/// # Errors
/// [`Error::NoLabel`], with the image called `image`; those of the source.
pub(super) async fn check_label(
    source: &Source,
    image: &str,
    options: &Options,
) -> Result<(), Error> {
    let Some(label) = &options.label else {
        return Ok(());
    };
    let document = source.image(options.preference.clone()).await?;
    has_label(source, &document.manifest, image, label).await
}

async fn has_label(
    source: &Source,
    manifest: &Manifest,
    image: &str,
    label: &str,
) -> Result<(), Error> {
    let no_label = || Error::NoLabel {
        image: image.to_owned(),
        label: label.to_owned(),
    };
    let config = manifest.config().ok_or_else(no_label)?;
    let config = ImageConfig::decode(&config_of(source, config).await?);
    let config = config.map_err(|source| Error::document("image configuration", source))?;
    let labels = config.run().labels.keys().map(|key| &**key);
    match goal::has_label(labels, label) {
        true => Ok(()),
        false => Err(no_label()),
    }
}

async fn config_of(source: &Source, config: &Descriptor) -> Result<Bytes, Error> {
    let content = source.blob(config).await?;
    content.read(CONFIG_BYTES_MAX, "image configuration").await
}

struct Copy<'a> {
    source: &'a Source,
    destination: &'a Destination,
    options: &'a Options,
}

impl Copy<'_> {
    /// Whether the policy allows a manifest. Signatures are read where a requirement wants them.
    async fn allow(&self, document: &Document, is_top: bool) -> Result<(), Error> {
        let Some(policy) = &self.options.policy else {
            return Ok(());
        };
        let name = self.source.name();
        let identity = name.identity();
        let path = name.path().unwrap_or_default();
        let identity = identity.map_err(|source| Error::file("read", path, source))?;
        let is_signed = |requirement: &Requirement| {
            matches!(
                requirement,
                Requirement::SignedBy(_) | Requirement::SigstoreSigned(_)
            )
        };
        let digest = &document.descriptor.digest;
        let signatures = match policy.requirements(&identity).iter().any(is_signed) {
            true => self.source.signatures(digest, is_top).await?,
            false => Vec::new(),
        };
        let image = Image::new(name, document.manifest.bytes(), &signatures);
        let allowed = policy.allow(&identity, &image, &BuiltIn);
        allowed.map_err(|source| Error::Policy {
            image: name.to_string(),
            source: Box::new(source),
        })
    }

    /// Copies an index with everything in it.
    fn index(
        &self,
        index: Document,
        is_top: bool,
        depth: usize,
    ) -> BoxFuture<'_, Result<Copied, Error>> {
        Box::pin(async move {
            if depth >= INDEX_DEPTH_MAX {
                let depth_max = INDEX_DEPTH_MAX;
                let source = longshore_manifest::Error::TooDeep { depth_max };
                return Err(Error::document("index", source));
            }
            let mut children = Vec::new();
            for entry in index.manifest.manifests() {
                let document = self.source.manifest(entry).await?;
                self.allow(&document, false).await?;
                let copied = match document.manifest.kind() {
                    Kind::Index => self.index(document, false, depth.saturating_add(1)).await?,
                    _ => self.image(document, false).await?,
                };
                children.push(copied.written);
            }
            let entries = index.manifest.manifests();
            let is_same = entries
                .zip(&children)
                .all(|(old, new)| old.digest == new.digest);
            let source = index.descriptor.clone();
            let is_kept =
                self.destination.takes() == Takes::Any || convert::is_oci(&index.manifest);
            let written = match is_same && is_kept {
                true => index,
                false => self.converted(convert::index(&index.manifest, &children)?)?,
            };
            self.finish(source, &written, is_top).await
        })
    }

    /// Copies one image, or an artifact.
    async fn image(&self, image: Document, is_top: bool) -> Result<Copied, Error> {
        if let Some(label) = &self.options.label {
            let name = self.source.name().to_string();
            has_label(self.source, &image.manifest, &name, label).await?;
        }
        if self.destination.takes() == Takes::Saved {
            return self.saved(image).await;
        }
        let source = image.descriptor.clone();
        let is_kept = self.destination.takes() == Takes::Any || convert::is_oci(&image.manifest);
        let written = match is_kept {
            true => image,
            false => self.converted(convert::image(&image.manifest)?)?,
        };
        let mut seen = HashSet::new();
        let blobs = written.manifest.children().iter();
        // A foreign layer is wherever its URLs lead; the manifest keeps them.
        let blobs = blobs.filter(|blob| matches!(blob.role, Role::Config | Role::Layer));
        let mut copies: Vec<BoxFuture<'_, _>> = Vec::new();
        for blob in blobs {
            let digest = blob.descriptor.digest;
            if seen.insert(digest) {
                copies.push(Box::pin(self.blob(
                    blob.role,
                    &blob.descriptor,
                    digest,
                    false,
                )));
            }
        }
        self.all(copies).await?;
        self.finish(source, &written, is_top).await
    }

    /// Adds an image to a file of `docker save`.
    async fn saved(&self, image: Document) -> Result<Copied, Error> {
        if image.manifest.kind() != Kind::Image {
            return Err(Error::Unsupported(
                "only images of schema 2 and OCI can be copied to a file of docker save",
            ));
        }
        let unusable = |source| Error::document("image configuration", source);
        let absent = longshore_manifest::Error::Absent { part: "config" };
        let config = image.manifest.config().ok_or_else(|| unusable(absent))?;
        let bytes = config_of(self.source, config).await?;
        let decoded = ImageConfig::decode(&bytes).map_err(unusable)?;
        let diff_ids = decoded.diff_ids().map_err(unusable)?;
        let layers: Vec<_> = image.manifest.layers().collect();
        if layers.len() != diff_ids.len() {
            let (expected, found) = (diff_ids.len(), layers.len());
            return Err(unusable(longshore_manifest::Error::LayerCount {
                expected,
                found,
            }));
        }
        let mut seen = HashSet::new();
        let mut copies: Vec<BoxFuture<'_, _>> = Vec::new();
        for (layer, &diff_id) in layers.into_iter().zip(diff_ids) {
            if seen.insert(diff_id) {
                copies.push(Box::pin(self.unpacked(layer, diff_id)));
            }
        }
        self.all(copies).await?;
        let content = Content::of_bytes(bytes);
        self.destination.put_blob(config.digest, content).await?;
        let tags = &self.options.tags;
        self.destination.put_saved(config.digest, diff_ids, tags)?;
        (self.options.observer)(&Progress::Manifest {
            digest: config.digest,
        });
        Ok(Copied {
            source: image.descriptor.clone(),
            written: config.clone(),
        })
    }

    /// Copies the inside of a layer.
    async fn unpacked(&self, layer: &Descriptor, diff_id: DiffId) -> Result<(), Error> {
        self.blob(Role::Layer, layer, diff_id.digest(), true)
            .await?;
        self.options.uncompressed.remember(layer.digest, diff_id);
        Ok(())
    }

    /// Copies a blob, or what is inside it, which has another digest at the destination.
    async fn blob(
        &self,
        role: Role,
        descriptor: &Descriptor,
        written: Digest,
        unpack: bool,
    ) -> Result<(), Error> {
        let digest = descriptor.digest;
        let observer = &self.options.observer;
        if self.destination.holds(written).await?.is_some() {
            observer(&Progress::Present { digest, role });
            return Ok(());
        }
        let content = self.source.blob(descriptor).await?;
        observer(&Progress::Started {
            digest,
            role,
            size: content.size().or(descriptor.size),
        });
        let size = content.size();
        let counting = Arc::clone(observer);
        let content = content.inspect_ok(move |chunk| {
            let count = chunk.len() as u64;
            counting(&Progress::Bytes { digest, count });
        });
        let content = Content::new(size, content);
        let content = match unpack {
            true => content.unpacked(),
            false => content,
        };
        self.destination.put_blob(written, content).await?;
        observer(&Progress::Done { digest });
        Ok(())
    }

    /// Copies several at once; the first error ends all.
    async fn all(&self, copies: Vec<BoxFuture<'_, Result<(), Error>>>) -> Result<(), Error> {
        let at_once = self.options.blobs_at_once.max(1);
        let copies = stream::iter(copies).buffer_unordered(at_once);
        copies.try_collect::<()>().await
    }

    fn converted(&self, document: Document) -> Result<Document, Error> {
        match self.options.preserve_digests {
            true => Err(Error::Unsupported(
                "the destination needs another manifest, and digests must be preserved",
            )),
            false => Ok(document),
        }
    }

    async fn finish(
        &self,
        source: Descriptor,
        document: &Document,
        is_top: bool,
    ) -> Result<Copied, Error> {
        let Document {
            descriptor,
            manifest,
        } = document;
        self.destination
            .put_manifest(manifest, descriptor, is_top)
            .await?;
        (self.options.observer)(&Progress::Manifest {
            digest: descriptor.digest,
        });
        Ok(Copied {
            source,
            written: descriptor.clone(),
        })
    }
}
