//! Names, tags and digests of container images.
//!
//! A [`Reference`] in the hand is valid and normalised: it names a registry, a repository in it and either a [`Tag`] or a
//! [`Digest`]. The grammar and the normalisation are those of the `distribution/reference` library in its newest form,
//! the digests those of `opencontainers/go-digest`.
//!
//! ```
//! use longshore_reference::{Digest, Reference};
//!
//! let reference: Reference = "alpine".parse()?;
//! assert_eq!(reference.to_string(), "docker.io/library/alpine:latest");
//! assert_eq!(reference.named().domain(), "docker.io");
//!
//! let digest = Digest::sha256(b"hello");
//! let pinned: Reference = format!("quay.io/a/b@{digest}").parse()?;
//! assert_eq!(pinned.digest(), Some(digest));
//! # Ok::<(), longshore_reference::Error>(())
//! ```

#![forbid(unsafe_code)]

mod algorithm;
mod any;
mod digest;
pub mod ecs;
mod error;
mod familiar;
mod glob;
mod grammar;
mod named;
mod parsed;
mod raw;
mod reference;
#[cfg(feature = "serde")]
mod serde;
mod short;
mod tag;

pub use algorithm::{Algorithm, Hasher};
pub use any::{AnyReference, sort};
pub use digest::{Digest, Hex, Verifier};
pub use error::{Error, ErrorKind};
pub use familiar::Familiar;
pub use named::Named;
pub use parsed::Parsed;
pub use raw::Raw;
pub use reference::{Canonical, Reference, Tagged};
pub use short::{ShortName, Split};
pub use tag::Tag;
