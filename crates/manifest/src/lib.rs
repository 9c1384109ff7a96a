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
//! Beside it: [`Preference`] and [`Choice`] pick an image for a [`Platform`] out of indexes,
//! [`Schema1`] holds what only the oldest manifests have, [`ImageConfig`] reads configurations,
//! [`convert`] and [`v1`] turn one generation of images into another, and [`detect`] tells what
//! moby, containerd, containers/image and distribution make of a document.
//!
//! The feature `signatures` adds `Schema1::verify`, with aws-lc.
#![forbid(unsafe_code)]

mod choice;
mod config;
pub mod convert;
mod der;
mod descriptor;
pub mod detect;
mod error;
mod go_json;
mod manifest;
mod media_type;
mod oci;
mod platform;
mod preference;
mod schema1;
pub mod v1;
mod windows;
mod wire;

pub use self::{
    choice::{Choice, INDEX_DEPTH_MAX, INDEXES_MAX},
    config::{CONFIG_BYTES_MAX, DiffId, History, ImageConfig},
    descriptor::Descriptor,
    detect::guess,
    error::{Error, JsonError},
    manifest::{Child, DEPTH_MAX, ENTRIES_MAX, Kind, MANIFEST_BYTES_MAX, Manifest, Role, Skipped},
    media_type::MediaType,
    platform::Platform,
    preference::Preference,
    schema1::{Key, Schema1, Signature, Step},
};
