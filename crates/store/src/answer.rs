//! What the store asks of upstream, and what it may hear: the words of the closures that the proxy hands in.

use std::fmt;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use longshore_reference::Digest;

use crate::error::Refusal;

/// What is asked about a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Does the reference still stand for this digest, as upstream gave it? No body is wanted.
    Check(Digest),
    /// The manifest itself.
    Fetch,
}

/// What upstream says of a manifest.
#[derive(Debug)]
pub enum Answer {
    /// It still stands for the digest that was asked about.
    Same,
    /// It stands for another digest, where known.
    Changed(Option<Digest>),
    /// The manifest.
    Body(Fetched),
    /// Anything else.
    Refused(Refusal),
}

/// A manifest as upstream gave it.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The exact bytes.
    pub bytes: Bytes,
    /// `Content-Type` without parameters, where there was one.
    pub media_type: Option<String>,
    /// The digest that upstream's header named.
    pub digest: Option<Digest>,
}

/// What is asked about a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlobAsk {
    /// Whether the repository has it, and its size. No body is wanted.
    Check,
    /// Its bytes from an offset on.
    Fetch {
        /// The first byte wanted.
        offset: u64,
        /// The size that a manifest names, where one is known.
        size: Option<u64>,
    },
}

/// What upstream says of a blob.
#[derive(Debug)]
pub enum BlobAnswer {
    /// The repository has it; the size where upstream told it.
    Has(Option<u64>),
    /// The bytes from the offset on.
    Source(Source),
    /// Anything else.
    Refused(Refusal),
}

/// The bytes of a blob on their way. Cuts are mended before they come here: an error ends it.
pub struct Source {
    /// Size of the whole blob, where known.
    pub size: Option<u64>,
    /// The bytes, from the offset that was asked for.
    pub chunks: BoxStream<'static, Result<Bytes, Refusal>>,
    /// Called when the bytes turn out not to be the digest's: upstream asks another endpoint first next time.
    pub distrust: Box<dyn FnOnce() + Send + Sync>,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

/// A closure that asks upstream about one manifest.
pub type AskManifest = std::sync::Arc<dyn Fn(Ask) -> BoxFuture<'static, Answer> + Send + Sync>;

/// A closure that asks upstream about one blob.
pub type AskBlob = std::sync::Arc<dyn Fn(BlobAsk) -> BoxFuture<'static, BlobAnswer> + Send + Sync>;
