//! Asks upstream registries (distribution specification v2, and protocol v1 before it) for manifests and blobs.
//!
//! [`Upstream`] is one configured registry: an ordered list of endpoints (mirrors first, the origin last) with what is
//! known of each: its challenge, tokens, limits, health. [`Download`] is a blob on its way. [`Error`] names the party
//! at fault. Who has a [`Reference`](longshore_reference::Reference) calls [`Upstream::manifest`], then
//! [`Upstream::blob`] for what the manifest names.
//!
//! A registry that speaks protocol v1 alone is asked in that ([`Api`]): then [`Upstream::manifest`] gives the ancestry
//! document of an image ([`longshore_manifest::v1::Ancestry`]) in place of a manifest, and [`Upstream::v1_layer`] the
//! layers of its images. The README says when v1 is asked after v2, and where this departs from Docker.
//!
//! Features add what other programs do around a pull, as pure functions: `libpod` ([`registries`], [`short_names`],
//! [`image_name`], [`goal`]), `policy` ([`policy`]: which images may be used, by `policy.json`), `ecs`
//! ([`ecs`]: how the ECS agent resolves digests), `docker` ([`docker`]: what `docker pull` shows, and labels of containerd).
//!
//! The crate knows nothing of storage, of clients, and of metrics systems ([`Event`]s go to an observer). It verifies
//! manifests asked for by digest; the bytes of blobs are verified by whoever receives them.
//!
//! ```no_run
//! use longshore_puller::{Config, Endpoint, Upstream};
//! use longshore_reference::{Canonical, Reference};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let endpoints = vec![Endpoint::parse("https://registry-1.docker.io")?];
//! let upstream = Upstream::new(Config::new("docker.io", endpoints))?;
//! let reference = Reference::parse("docker.io/library/alpine:3.22")?;
//! let fetched = upstream.manifest(&reference).await?;
//! let manifest = longshore_manifest::Manifest::decode(fetched.media_type.as_deref(), fetched.bytes)?;
//! for layer in manifest.layers() {
//!     let blob = Canonical::new(reference.named().clone(), layer.digest);
//!     let mut download = upstream.blob(&blob, 0, layer.size).await?;
//!     while let Some(bytes) = download.chunk().await? {
//!         println!("{} bytes", bytes.len());
//!     }
//! }
//! # Ok(()) }
//! ```
#![forbid(unsafe_code)]

mod auth;
mod breaker;
mod classify;
mod config;
#[cfg(feature = "convert")]
pub mod convert;
mod download;
mod endpoint;
mod error;
mod fallback;
mod http;
mod limit;
mod list;
mod lookup;
mod manifest;
mod request;
mod tries;
mod upstream;
mod v1;
mod wire;

// What other programs do around a pull.
#[cfg(any(feature = "libpod", feature = "policy"))]
mod config_file;
#[cfg(feature = "docker")]
pub mod docker;
#[cfg(feature = "ecs")]
pub mod ecs;
#[cfg(any(feature = "docker", feature = "ecs"))]
#[cfg_attr(not(feature = "ecs"), allow(dead_code, reason = "only read by ecs"))]
mod go_duration;
#[cfg(feature = "libpod")]
pub mod goal;
#[cfg(any(feature = "libpod", feature = "policy"))]
pub mod image_name;
#[cfg(feature = "policy")]
pub mod policy;
#[cfg(feature = "libpod")]
pub mod registries;
#[cfg(feature = "libpod")]
pub mod short_names;

pub use auth::{
    credentials::{Credentials, Secret},
    keyring::{Keyring, Places},
};
pub use config::{Api, Config, Endpoint, Event, Kind, Observer, Timeouts, certs_dirs};
pub use download::{Download, Ranges};
pub use error::{Error, Fault, Phase, Reason, Source};
pub use http::{
    address::PrivateAddresses,
    certificates::Client as ClientCertificate,
    connector::{Connect, Connecting, Stream},
    resolver::{Resolve, Resolving},
};
pub use list::{LIST_BYTES_MAX, Passed};
pub use lookup::Insecure;
pub use manifest::{Fetched, Head, MANIFEST_BYTES_MAX};
pub use upstream::Upstream;
