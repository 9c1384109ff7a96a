//! Manifests, indexes, image configurations and platforms of container images.
//!
//! [`Manifest::decode`] reads any manifest a registry serves and keeps its exact bytes;
//! [`Manifest::children`] is what a fill, a copy, an export and an eviction walk. The crate is
//! pure: bytes in, facts out. It knows no registry, no network and no files.
//!
//! ```
//! use longshore_manifest::{Manifest, Role};
//!
//! let bytes = br#"{"schemaVersion":2,"manifests":[{"size":7,
//!     "mediaType":"application/vnd.oci.image.manifest.v1+json",
//!     "digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
//!     "platform":{"os":"linux","architecture":"arm64"}}]}"#;
//! let index = Manifest::decode(None, bytes.as_slice().into())?;
//! let child = &index.children()[0];
//! assert_eq!(child.role, Role::Manifest);
//! assert_eq!(child.descriptor.platform.as_ref().unwrap().to_string(), "linux/arm64");
//! # Ok::<(), longshore_manifest::Error>(())
//! ```
//!
//! [`ManifestBuilder`] and [`IndexBuilder`] write manifests, [`layout`] and [`docker_archive`] the
//! documents of OCI layouts and of what `docker save` writes.
//!
//! Beside it: [`Preference`] and [`Choice`] pick an image for a [`Platform`] out of indexes,
//! [`Schema1`] holds what only the oldest manifests have, [`ImageConfig`] reads configurations,
//! [`convert`] and [`v1`] turn one generation of images into another, and [`verify`] compares bytes
//! with a digest.
//!
//! # Features
//!
//! `oci-spec` (default): `From` and `TryFrom` to and from the types of that crate. `signatures`:
//! `Schema1::verify`, with aws-lc.
#![forbid(unsafe_code)]

mod builder;
mod choice;
mod config;
pub mod convert;
mod descriptor;
pub mod docker_archive;
mod error;
mod format;
mod go_json;
mod guess;
mod kind;
pub mod layout;
mod limits;
mod manifest;
mod media_type;
#[cfg(feature = "oci-spec")]
mod oci;
mod platform;
mod preference;
mod schema1;
pub mod v1;
mod windows;
mod wire;

pub use self::{
    builder::{IndexBuilder, ManifestBuilder},
    choice::{Choice, INDEX_DEPTH_MAX, INDEXES_MAX},
    config::{DiffId, Healthcheck, History, ImageConfig, RunConfig},
    descriptor::Descriptor,
    error::{Error, JsonError},
    format::Format,
    guess::guess,
    kind::{Kind, Role},
    limits::{CONFIG_BYTES_MAX, DEPTH_MAX, ENTRIES_MAX, MANIFEST_BYTES_MAX},
    manifest::{Child, Manifest, Skipped, verify},
    media_type::MediaType,
    platform::Platform,
    preference::Preference,
    schema1::{Key, Schema1, Signature, Step},
};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
