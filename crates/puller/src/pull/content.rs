//! Where images go.

use std::{collections::BTreeSet, fmt, io};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use longshore_manifest::{Descriptor, DiffId, convert::LayerBlob};
use longshore_reference::{Digest, Named};
use serde::{Deserialize, Serialize};

/// Work on content.
pub type Job<'a, T> = BoxFuture<'a, io::Result<T>>;

/// Where images go: blobs by digest, and names of images.
///
/// What is committed has been verified. A blob is there as a whole or not at all.
pub trait Content: fmt::Debug + Send + Sync {
    /// The size in bytes of a blob that is held.
    fn size(&self, digest: Digest) -> Job<'_, Option<u64>>;

    /// The bytes of a document that is held: a manifest or a configuration.
    fn read(&self, digest: Digest) -> Job<'_, Option<Bytes>>;

    /// Opens a blob that is held, to read it on a thread for blocking work.
    fn open(&self, digest: Digest) -> Job<'_, Box<dyn io::Read + Send>>;

    /// Begins to write a blob.
    fn ingest(&self) -> Job<'_, Box<dyn Ingest>>;

    /// What is remembered of a blob: `key` is its digest, or what stands for a layer whose digest is not known.
    fn record(&self, key: &str) -> Job<'_, Record>;

    /// Remembers that a repository has a blob.
    fn add_source(&self, key: &str, named: &Named) -> Job<'_, ()>;

    /// Remembers what a layer is when unpacked.
    fn set_unpacked(&self, key: &str, unpacked: Unpacked) -> Job<'_, ()>;

    /// The image with a name.
    fn image(&self, name: &str) -> Job<'_, Option<Image>>;

    /// Gives an image a name, which another one may have had.
    fn set_image(&self, name: &str, image: &Image) -> Job<'_, ()>;

    /// Removes a name; `false` where there is none.
    fn remove_image(&self, name: &str) -> Job<'_, bool>;

    /// Keeps blobs, whatever becomes of the names, until the lease is deleted.
    fn lease(&self, digests: Vec<Digest>) -> Job<'_, Box<dyn Lease>>;
}

/// A blob that is being written. Dropped, it leaves nothing.
pub trait Ingest: Send + Sync {
    /// How many bytes were written.
    fn offset(&self) -> u64;

    /// Writes the next bytes.
    fn write(&mut self, bytes: Bytes) -> Job<'_, ()>;

    /// Begins anew.
    fn truncate(&mut self) -> Job<'_, ()>;

    /// Makes what was written visible under its digest, which the caller has verified.
    fn commit(self: Box<Self>, digest: Digest) -> Job<'static, ()>;
}

/// A promise that content stays.
pub trait Lease: Send + Sync {
    /// Ends it. A lease that is dropped ends some time later.
    fn delete(self: Box<Self>) -> Job<'static, ()>;
}

/// What is remembered of a blob.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Record {
    /// The repositories that are known to have it, with their registries.
    pub sources: BTreeSet<String>,
    /// What the layer is when unpacked.
    pub unpacked: Option<Unpacked>,
}

/// A layer, and what it is when unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Unpacked {
    /// Of the layer as it came.
    pub digest: Digest,
    /// Bytes of the layer as it came.
    pub size: u64,
    /// Of the plain tar; `None` where the layer cannot be unpacked here.
    pub diff_id: Option<Digest>,
    /// Whether it is compressed by gzip.
    pub gzipped: bool,
}

/// An image that is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// What the reference stands for: a manifest or an index.
    pub target: Descriptor,
    /// The manifest of the image.
    pub manifest: Descriptor,
    /// The id of the image: the digest of its configuration.
    pub id: Digest,
}

impl Record {
    pub(super) fn has_source(&self, named: &Named) -> bool {
        self.sources.contains(named.as_str())
    }
}

impl Unpacked {
    /// What a manifest says of it.
    pub(super) fn layer(self) -> Option<LayerBlob> {
        Some(LayerBlob {
            digest: self.digest,
            size: self.size,
            diff_id: DiffId::new(self.diff_id?),
            gzipped: self.gzipped,
        })
    }
}

/// Writes a whole document, which has been verified.
pub(super) async fn put(content: &dyn Content, digest: Digest, bytes: Bytes) -> io::Result<()> {
    let mut ingest = content.ingest().await?;
    ingest.write(bytes).await?;
    ingest.commit(digest).await
}
