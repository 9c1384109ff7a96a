//! Names, tags and digests of container images.
//!
//! A [`Reference`] is always valid and normalised: it names a registry, a repository in it and either a [`Tag`] or a
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
//!
//! [`Reference`], [`Named`] and [`Digest`] are all that most programs need; [`Verifier`] checks content against a digest.
//!
//! # Which type for which text
//!
//! | read as | in Go | gives |
//! |---|---|---|
//! | [`Reference::parse`] | `ParseDockerRef` | what to pull: a tag (`latest` if nothing is said) or a digest |
//! | [`Parsed::parse`] | `ParseNormalizedNamed` | the normalised name and what came with it |
//! | [`Parsed::parse_canonical`] | `ParseNamed` | the same, if normalising changes nothing |
//! | [`Parsed::or_latest`] | `TagNameOnly` | the tag `latest` where nothing was said |
//! | [`AnyReference::parse`] | `ParseAnyReference` | the same, or a digest alone |
//! | [`Raw::parse`] | `Parse` | the parts as they stand, nothing normalised |
//! | [`Raw::trim`], [`Parsed::into_named`] | `TrimNamed` | the name alone |
//! | [`Named::familiar`] and its like | `FamiliarString`, `FamiliarMatch` | the form that people type |
//! | [`NameInput::parse`], [`ShortName`] | short names of Podman's kin | whether a name says where it is from |
//!
//! # Where eras and tools differ
//!
//! The newest rule is followed. A path may have 255 bytes; before 2024 the domain counted too. SHA-384 is always known; a
//! program in Go may lack it. IPv6 addresses are accepted in brackets and without a zone.
//!
//! Docker 1.10 and older (package `reference` of that engine) differ in ways that are not offered here: a first component
//! with capitals was no domain but an error, a reference had a tag or a digest but never both (the digest won), and a
//! repository's name meant its short form, `ubuntu` for `docker.io/library/ubuntu`.
//!
//! One deviation: a name whose first component must be a domain but cannot be one (`foo_bar.example/x`) is refused, where
//! the Go library answers with a name that has no domain. A [`Named`] always has one, and always reads back as itself.
//!
//! # What it refuses to know
//!
//! No I/O, no HTTP, no configuration: which registries exist, what an alias stands for and where a tag points is up to the
//! caller. Domains are compared as they are spelled.
//!
//! # Features
//!
//! `serde`: every type is its text.

#![forbid(unsafe_code)]

mod algorithm;
mod any;
mod defaults;
mod digest;
pub mod ecs;
mod error;
mod familiar;
mod glob;
mod grammar;
mod hasher;
mod named;
mod parsed;
mod parts;
mod raw;
mod reference;
#[cfg(feature = "serde")]
mod serde;
mod short;
mod tag;
mod wildcard;

pub use algorithm::Algorithm;
pub use any::{AnyReference, sort};
pub use digest::{Digest, Hex};
pub use error::{Error, ErrorKind};
pub use familiar::Familiar;
pub use hasher::{Hasher, Verifier};
pub use named::Named;
pub use parsed::Parsed;
pub use raw::Raw;
pub use reference::{Canonical, Reference, Tagged};
pub use short::{NameInput, ShortName};
pub use tag::Tag;
pub use wildcard::matches;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
