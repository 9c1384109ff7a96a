//! Content-addressed storage of a registry cache.
//!
//! [`Store`] is asked for manifests and blobs by a [`Request`], which names the [`Remote`] that has what is not held.
//! The store alone decides: hit, lead a fetch or join one. It never sees HTTP nor an upstream.
//!
//! - [`Store::manifest`] returns a [`Held`] manifest, by the rules of a [`Policy`].
//! - [`Store::blob`] returns a [`Blob`], of which any range can be read by any number of [`BlobReader`]s while it lands.
//!
//! One gate for trust: bytes become visible only through a commit that checked the digest; a reader of a blob that is
//! still landing never gets its last bytes before that.
//!
//! ```
//! use std::sync::Arc;
//!
//! use futures_util::future::BoxFuture;
//! use futures_util::{FutureExt, StreamExt, stream};
//! use longshore_reference::{Canonical, Digest, Named, Reference};
//! use longshore_store::{
//!     BlobAsk, BlobRange, Cause, Check, Fetched, Options, Origin, Policy, Refusal, Remote, Request, Source, Store,
//! };
//!
//! /// An upstream with one blob.
//! #[derive(Debug)]
//! struct Hello;
//!
//! impl Remote for Hello {
//!     fn blob<'a>(&'a self, ask: BlobAsk<'a>) -> BoxFuture<'a, Result<Source, Refusal>> {
//!         let bytes = bytes::Bytes::from_static(b"hello").slice(ask.start as usize..);
//!         let chunks = stream::iter([Ok(bytes)]).boxed();
//!         async { Ok(Source { size: Some(5), whole: false, chunks, distrust: Box::new(|| {}) }) }.boxed()
//!     }
//!
//!     fn has<'a>(
//!         &'a self,
//!         _: &'a Canonical,
//!         _: Option<&'a Origin>,
//!     ) -> BoxFuture<'a, Result<Option<u64>, Refusal>> {
//!         async { Ok(Some(5)) }.boxed()
//!     }
//!
//!     fn check<'a>(&'a self, _: &'a Reference, _: Digest) -> BoxFuture<'a, Result<Check, Refusal>> {
//!         async { Ok(Check::Same) }.boxed()
//!     }
//!
//!     fn manifest<'a>(
//!         &'a self,
//!         _: &'a Reference,
//!         _: Option<&'a Origin>,
//!     ) -> BoxFuture<'a, Result<Fetched, Refusal>> {
//!         let cause: Cause = Arc::new(std::io::Error::other("no manifests here"));
//!         async { Err(Refusal::Gone { confirmed: true, cause }) }.boxed()
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let folder = tempfile::tempdir()?;
//! let store = Store::open(Options::new(folder.path())).await?;
//! let hello = Canonical::new(Named::new("registry.example", "app")?, Digest::sha256(b"hello"));
//! let request = Request::new(hello, Arc::new(Policy::default()), Arc::new(Hello));
//!
//! let blob = store.blob(&request, BlobRange::All).await?;
//! let mut reader = blob.read(1, Some(5));
//! assert_eq!(reader.chunk().await?.as_deref(), Some(&b"ello"[..]));
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod blob;
mod bucket;
mod changes;
mod chunks;
mod distrust;
mod error;
mod event;
mod fill;
mod flights;
mod freshness;
mod ingest;
mod inventory;
mod legacy;
mod list;
mod manifest;
mod membership;
mod negative;
mod options;
mod outcome;
mod records;
mod remote;
mod request;
mod store;
mod sweep;
mod tier;
mod uploads;

pub use blob::reader::BlobReader;
pub use blob::{Blob, BlobRange};
pub use error::{Cause, Error, Refusal};
pub use event::{Event, Observer};
pub use freshness::{OnDeleted, OnDenied, Policy};
pub use inventory::{
    Damage, DiskUsage, ExportFormat, Exported, HeldTag, Imported, Inventory, InventoryError,
    OnProgress, Progress, Pruned, Purged, Removed, RepositoryUsage, UpstreamUsage, Verified,
};
pub use list::{List, ListName};
pub use manifest::held::Held;
pub use options::{Clock, Options};
pub use outcome::Outcome;
pub use records::Origin;
pub use remote::{BlobAsk, Check, Fetched, Remote, Source};
pub use request::{Principal, Request};
pub use store::{Store, Usage};
pub use tier::{Amount, Pin, PinError, Reason};

/// The example of the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
