//! What a policy knows an image by.

use std::{
    io,
    path::{Path, PathBuf},
};

use longshore_reference::Parsed;

use super::{Error, ImageName, Transport, explicit_path};

/// The name of an image in a policy, and the wider scopes that hold it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Identity {
    /// The transport.
    pub transport: Transport,
    /// The image itself; empty where a transport does not tell its images apart.
    pub identity: String,
    /// The scopes to look for next, the most specific first. The default of the transport is not among them.
    pub namespaces: Vec<String>,
}

impl ImageName {
    /// What a policy knows the image by. `explicit` makes a path absolute and free of symbolic links.
    ///
    /// # Errors
    /// Those of `explicit`; it is not called for images of registries and files of `docker save`.
    pub fn identity_with(
        &self,
        explicit: impl FnOnce(&Path) -> io::Result<PathBuf>,
    ) -> io::Result<Identity> {
        let transport = self.transport();
        let (identity, namespaces) = match self {
            Self::Docker(name) => {
                let reference = name.reference();
                let mut namespaces = docker_namespaces(reference);
                if name.is_unknown_digest() {
                    // The repository is the identity.
                    namespaces.remove(0);
                }
                (reference.to_string(), namespaces)
            }
            Self::DockerArchive(_) => (String::new(), Vec::new()),
            Self::Oci(name) | Self::OciArchive(name) => {
                // The image is no part of it: with and without its name it may be the same image.
                let path = explicit_text(name.path(), explicit)?;
                let namespaces = path_namespaces(&path);
                (path, namespaces)
            }
            Self::Dir(path) => {
                let path = explicit_text(path, explicit)?;
                let namespaces = path_namespaces(&path).split_off(usize::from(path != "/"));
                (path, namespaces)
            }
        };
        Ok(Identity {
            transport,
            identity,
            namespaces,
        })
    }

    /// The same with [`explicit_path`].
    ///
    /// # Errors
    /// Those of [`explicit_path`].
    pub fn identity(&self) -> io::Result<Identity> {
        self.identity_with(explicit_path)
    }
}

/// What a policy knows an image of a registry by: its full name with the tag, or with the digest.
///
/// # Errors
/// [`Error::NameOnly`] and [`Error::TagAndDigest`].
pub fn docker_identity(reference: &Parsed) -> Result<String, Error> {
    match (reference.tag(), reference.digest()) {
        (Some(_), Some(_)) => Err(Error::TagAndDigest),
        (None, None) => Err(Error::NameOnly(reference.familiar().to_string())),
        (Some(_), None) | (None, Some(_)) => Ok(reference.to_string()),
    }
}

/// The scopes that hold an image of a registry: its repository, each namespace above it, the host with its port, and
/// `*.` with each domain above the host.
///
/// ```
/// use longshore_puller::image_name::docker_namespaces;
/// use longshore_reference::Parsed;
///
/// let reference = Parsed::parse("eu.example.com:8443/ns/app:1")?;
/// assert_eq!(
///     docker_namespaces(&reference),
///     ["eu.example.com:8443/ns/app", "eu.example.com:8443/ns", "eu.example.com:8443", "*.example.com", "*.com"],
/// );
/// # Ok::<(), longshore_reference::Error>(())
/// ```
#[must_use]
pub fn docker_namespaces(reference: &Parsed) -> Vec<String> {
    let name = reference.named().as_str();
    let slashes = name.rmatch_indices('/').map(|(at, _)| at);
    let prefixes = [name.len()].into_iter().chain(slashes);
    let prefixes = prefixes
        .filter_map(|end| name.get(..end))
        .map(str::to_owned);
    let host = reference.named().domain();
    let host = host.split_once(':').map_or(host, |(host, _)| host);
    let dots = host.match_indices('.').map(|(at, _)| at);
    let domains = dots.filter_map(|at| host.get(at..));
    prefixes
        .chain(domains.map(|domain| ["*", domain].concat()))
        .collect()
}

/// The path and the folders above it, without the root, which would mean the same as the default.
fn path_namespaces(path: &str) -> Vec<String> {
    if path == "/" {
        return Vec::new();
    }
    let slashes = path.rmatch_indices('/').map(|(at, _)| at);
    let ends = [path.len()]
        .into_iter()
        .chain(slashes)
        .filter(|end| *end > 0);
    ends.filter_map(|end| path.get(..end))
        .map(str::to_owned)
        .collect()
}

fn explicit_text(
    path: &str,
    explicit: impl FnOnce(&Path) -> io::Result<PathBuf>,
) -> io::Result<String> {
    let path = explicit(Path::new(path))?;
    path.into_os_string()
        .into_string()
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidFilename, "the path is not UTF-8"))
}
