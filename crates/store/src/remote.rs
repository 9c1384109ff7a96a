//! What the store asks of the other side, an upstream registry or a peer, and what that may answer.

use std::fmt;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use longshore_reference::{Canonical, Digest, Reference};

use crate::error::Refusal;
use crate::records::Origin;

/// Where content comes from that is not held. One value serves every repository of an upstream.
///
/// Deadlines are the store's: it drops a future that takes too long. Cuts of a body are mended behind this trait.
/// `origin` is what the records say of content that no registry serves by its digest.
pub trait Remote: Send + Sync + fmt::Debug {
    /// Whether a reference still stands for the digest that the remote named last time. No body is wanted.
    fn check<'a>(
        &'a self,
        reference: &'a Reference,
        known: Digest,
    ) -> BoxFuture<'a, Result<Check, Refusal>>;

    /// The manifest itself.
    fn manifest<'a>(
        &'a self,
        reference: &'a Reference,
        origin: Option<&'a Origin>,
    ) -> BoxFuture<'a, Result<Fetched, Refusal>>;

    /// Whether the repository has a blob, and the size that is claimed for it. No body is wanted.
    fn has<'a>(
        &'a self,
        blob: &'a Canonical,
        origin: Option<&'a Origin>,
    ) -> BoxFuture<'a, Result<Option<u64>, Refusal>>;

    /// The bytes of a blob, or a range of them.
    fn blob<'a>(&'a self, ask: BlobAsk<'a>) -> BoxFuture<'a, Result<Source, Refusal>>;
}

/// What a check of a reference found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// It still stands for the digest that was asked about.
    Same,
    /// It stands for another digest, where known.
    Changed(Option<Digest>),
}

/// A manifest as the remote sent it.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The exact bytes.
    pub bytes: Bytes,
    /// `Content-Type` without parameters, where there was one.
    pub media_type: Option<String>,
    /// The digest that the response's header named.
    pub digest: Option<Digest>,
}

/// Which bytes of which blob.
#[derive(Clone, Copy, Debug)]
pub struct BlobAsk<'a> {
    /// The blob.
    pub canonical: &'a Canonical,
    /// The first byte.
    pub start: u64,
    /// The byte after the last one; `None` for the end of the blob.
    pub end: Option<u64>,
    /// Size of the whole blob: verified here, or as a descriptor claims.
    pub size: Option<u64>,
    /// Where it comes from, if no registry serves it by its digest.
    pub origin: Option<&'a Origin>,
}

impl<'a> BlobAsk<'a> {
    /// Asks for the whole of a blob of which nothing more is known.
    pub fn whole(canonical: &'a Canonical) -> Self {
        Self {
            canonical,
            start: 0,
            end: None,
            size: None,
            origin: None,
        }
    }
}

/// Bytes of a blob on their way. An error ends them.
pub struct Source {
    /// Size of the whole blob as claimed, where known.
    pub size: Option<u64>,
    /// The remote ignores ranges: all that precedes the bytes asked for is downloaded as well.
    pub whole: bool,
    /// The bytes, from the position that was asked for; no more than were asked for.
    pub chunks: BoxStream<'static, Result<Bytes, Refusal>>,
    /// Called when the bytes turn out not to be the digest's: the next request goes to another endpoint first.
    pub distrust: Box<dyn FnOnce() + Send + Sync>,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}
