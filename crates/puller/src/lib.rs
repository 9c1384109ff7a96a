//! Pulls manifests and blobs from container registries (distribution specification v2, and protocol v1 before it).
//!
//! [`Registries`] is a client for any number of registries: it resolves, fetches and streams verified bytes.
//! [`Upstream`] is one configured registry beneath it, for who wants the choice: an ordered list of endpoints (mirrors
//! first, the origin last) with what was learnt of each, downloads that begin anywhere and are not verified
//! ([`Download`]), lists as the registry sent them. [`Error`] names the party at fault.
//!
//! A registry that speaks protocol v1 alone is asked in that ([`Api`]). The README says when v1 is asked after v2, and
//! where this departs from Docker.
//!
//! Features add what other programs do around a pull, as pure functions: `libpod` ([`registries`], [`short_names`],
//! [`image_name`], [`goal`]), `policy` ([`policy`]: which images may be used, by `policy.json`), `ecs`
//! ([`ecs`]: how the ECS agent resolves digests), `docker` ([`docker`]: what `docker pull` shows, and labels of containerd).
//! The feature `pull` pulls whole images ([`pull`]).
//! `transports` ([`transport`]) adds images in archives, layouts and folders, and copies.
//!
//! The crate knows nothing of storage, of clients, and of metrics systems ([`Event`]s go to an observer).
//!
//! ```no_run
//! use longshore_manifest::{Platform, Preference};
//! use longshore_puller::{Credentials, Keyring, Places, Registries};
//! use longshore_reference::Reference;
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let keyring = Keyring::docker_config(None, Places::from_env());
//! let registries = Registries::new().with_credentials(Credentials::Keyring(keyring));
//! let reference = Reference::parse("docker.io/library/alpine:3.22")?;
//! let platform = Preference::only(&Platform::host());
//! let image = registries.image(&reference, platform).await?;
//! for layer in image.manifest.layers() {
//!     let mut blob = registries.blob(reference.named(), layer).await?;
//!     let mut file = tokio::fs::File::create(layer.digest.hex().to_string()).await?;
//!     tokio::io::copy(&mut blob, &mut file).await?;
//! }
//! # Ok(()) }
//! ```
#![forbid(unsafe_code)]

mod answers;
mod ask;
mod attempt;
mod auth;
mod calls;
mod classify;
mod coding;
mod config;
#[cfg(feature = "convert")]
pub mod convert;
mod download;
mod endpoint;
mod error;
mod exchange;
mod fallback;
mod health;
mod http;
mod limit;
mod lookup;
mod refused;
mod registry;
mod remembered;
mod request;
mod single_flight;
mod sync;
mod upstream;
#[cfg(feature = "v1")]
mod v1;
mod v2;
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
#[cfg(feature = "pull")]
pub mod pull;
#[cfg(feature = "libpod")]
pub mod registries;
#[cfg(feature = "libpod")]
pub mod short_names;
#[cfg(feature = "transports")]
pub mod transport;

pub use answers::{Fetched, Head, LIST_BYTES_MAX, ListPage, MANIFEST_BYTES_MAX};
pub use auth::{
    credentials::{Credentials, Keychain, Lookup, Secret},
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
pub use lookup::Insecure;
pub use registry::{
    blob::Blob,
    client::{Document, Pulled, Registries, Resolved},
};
pub use upstream::Upstream;

/// The example of the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
