//! Names of images in any transport: `docker://alpine`, `oci:layout:tag`, `docker-archive:image.tar` (containers-transports(5)).
//!
//! A name is a transport, a colon and what the transport makes of the rest. It is read and printed without looking at
//! any file; only [`ImageName::identity`] follows symbolic links.
//!
//! ```
//! use longshore_puller::image_name::{ImageName, Transport};
//!
//! let name: ImageName = "docker://alpine".parse()?;
//! assert_eq!(name.to_string(), "docker://alpine:latest");
//! let name: ImageName = "docker-archive:image.tar:@1".parse()?;
//! assert_eq!((name.transport(), name.docker_reference()), (Transport::DockerArchive, None));
//! assert!("ostree:x".parse::<ImageName>().is_err());
//! # Ok::<(), longshore_puller::image_name::Error>(())
//! ```
//!
//! Paths are Unix paths. Where containers/image prints a name of Docker Hub in its short form although that would be
//! read as another name, the full form is printed here.

mod docker;
mod error;
mod explicit;
mod file;
mod identity;
mod name;
mod oci;
mod scope;
#[cfg(test)]
mod tests;
mod transport;

pub use docker::DockerName;
pub use error::Error;
pub use explicit::explicit_path;
pub use file::{ArchiveImage, ArchiveName, LayoutImage, LayoutName};
pub use identity::{Identity, docker_identity, docker_namespaces};
pub use name::ImageName;
pub use scope::{ScopeError, validate_scope};
pub use transport::Transport;
