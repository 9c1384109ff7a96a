//! Images in every transport: read from registries, archives, layouts and folders, and written to all but registries.
//!
//! [`Source`] and [`Destination`] are opened by an [`ImageName`](crate::image_name::ImageName), [`copy`] moves an image
//! from one to the other, and [`pull`] carries out a [`Goal`](crate::goal::Goal) as libpod does. Every blob is streamed
//! and verified by its digest; an archive is never extracted, and what is written is the same bytes every time.
//!
//! ```no_run
//! use longshore_puller::transport::{Access, Destination, Options, Source, copy};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let source = Source::open(&"docker://docker.io/library/alpine:3.22".parse()?, &Access::default()).await?;
//! let destination = Destination::open(&"oci-archive:alpine.tar:3.22".parse()?).await?;
//! let copied = copy(&source, &destination, &Options::default()).await?;
//! destination.commit().await?;
//! println!("{}", copied.written.digest);
//! # Ok(()) }
//! ```
//!
//! # Formats
//!
//! `dir:` takes any manifest byte for byte. `oci:` and `oci-archive:` take those of OCI: a manifest of schema 2 is
//! written in OCI's format, with the same configuration and layers. `docker-archive:` has no manifests: layers are
//! unpacked, and known by their diff ids. Layers compressed by zstd cannot be unpacked here, and images of schema 1 and
//! of protocol v1 cannot be converted by a copy.

mod archive;
mod content;
mod convert;
mod copy;
mod destination;
mod error;
mod files;
mod folder;
mod known;
mod layout;
mod pull;
mod registry;
mod saved;
mod source;
mod tree;

pub use content::Content;
pub use copy::{Copied, Observer, Options, Progress, copy};
pub use destination::{Destination, Takes};
pub use error::Error;
pub use known::Uncompressed;
pub use pull::{
    Determined, PullError, Pulled, ShortNames, Step, determine, layout_name, of_image_name, pull,
};
pub use registry::Access;
pub use source::Source;
