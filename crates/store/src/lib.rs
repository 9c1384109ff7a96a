//! Content-addressed storage of a registry cache.
//!
//! [`Store`] is asked for manifests and blobs and is handed a closure that knows how to ask upstream. The store alone
//! decides: held, on its way, or to be fetched. It never sees HTTP nor an upstream.
//!
//! - [`Store::manifest`] gives a [`Held`] manifest, by the rules of a [`Policy`].
//! - [`Store::blob`] gives a [`Blob`], of which any part can be read by any number of [`BlobReader`]s, while it lands.
//!
//! One gate for trust: bytes become visible only through a commit that checked digest and size; a reader of a blob that
//! is still landing never gets its last bytes before that.
//!
//! ```
//! use std::sync::Arc;
//!
//! use futures_util::{FutureExt, StreamExt, stream};
//! use longshore_reference::{Canonical, Digest, Named};
//! use longshore_store::{AskBlob, BlobAnswer, Options, Policy, Source, Store};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // An upstream that gives these bytes, whatever it is asked.
//! let ask: AskBlob = Arc::new(|_| {
//!     let chunks = stream::iter([Ok("hello".into())]).boxed();
//!     async { BlobAnswer::Source(Source { size: Some(5), chunks, distrust: Box::new(|| {}) }) }.boxed()
//! });
//! let folder = tempfile::tempdir()?;
//! let store = Store::open(Options::new(folder.path())).await?;
//! let hello = Canonical::new(Named::new("registry.example", "app")?, Digest::sha256(b"hello"));
//!
//! let blob = store.blob(&hello, true, &Policy::default(), ask).await?;
//! let mut reader = blob.read(1, Some(5));
//! assert_eq!(reader.chunk().await?.as_deref(), Some(&b"ello"[..]));
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod adopt;
mod answer;
mod blob;
mod bucket;
mod chunks;
mod documents;
mod error;
mod extents;
mod fill;
mod fills;
mod flights;
mod freshness;
mod ingest;
mod kept;
mod legacy;
mod manifest;
mod outcome;
mod passing;
mod progress;
mod reader;
mod records;
mod store;
mod supply;
mod tier;

pub use answer::{Answer, Ask, AskBlob, AskManifest, BlobAnswer, BlobAsk, Fetched, Source};
pub use blob::Blob;
pub use error::{Cause, Error, Refusal};
pub use freshness::{OnDeleted, OnDenied, Policy};
pub use legacy::Origin;
pub use manifest::Held;
pub use outcome::Outcome;
pub use reader::BlobReader;
pub use store::{Clock, Event, Observer, Options, Store, Usage};
