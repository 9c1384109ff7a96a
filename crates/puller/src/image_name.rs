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

use std::{
    fmt, io,
    path::{Path, PathBuf},
    str::FromStr,
};

use longshore_reference::Parsed;

mod explicit;
mod identity;
mod oci;
mod scope;
#[cfg(test)]
mod tests;
mod transport;

pub use explicit::explicit_path;
pub use identity::{Identity, docker_identity, docker_namespaces};
pub use scope::{ScopeError, validate_scope};
pub use transport::Transport;

/// The name of an image in a transport that can be pulled from and copied to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageName {
    /// `docker://reference`: an image of a registry.
    Docker(DockerName),
    /// `docker-archive:path[:reference|:@index]`: a file of `docker save`.
    DockerArchive(ArchiveName),
    /// `oci:path[:image|:@index]`: a folder in the OCI image layout.
    Oci(LayoutName),
    /// `oci-archive:path[:image]`: a tar file of such a folder.
    OciArchive(LayoutName),
    /// `dir:path`: a folder with a manifest and its blobs.
    Dir(String),
}

/// A reference of a registry: with a tag or a digest, or with neither where an image is written without a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DockerName {
    reference: Parsed,
    unknown_digest: bool,
}

/// An image in a file of `docker save`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveName {
    path: String,
    image: ArchiveImage,
}

/// Which image of a file of `docker save`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArchiveImage {
    /// The only one; for a destination, one without a tag.
    Only,
    /// That with this tag.
    Tagged(Parsed),
    /// By its place in the file, from 0; of a source only.
    Index(usize),
}

/// An image in the OCI image layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayoutName {
    path: String,
    image: LayoutImage,
}

/// Which image of a layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LayoutImage {
    /// The only one; for a destination, one without a name.
    Only,
    /// That with this `org.opencontainers.image.ref.name`.
    Named(String),
    /// By its place in the index, from 0; of a source only, and not of an archive.
    Index(usize),
}

/// Why a text is no name of an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no colon.
    #[error("invalid image name {0:?}, expected colon-separated transport:reference")]
    NoTransport(String),
    /// There is no such transport.
    #[error("invalid image name {name:?}, unknown transport {transport:?}")]
    UnknownTransport {
        /// The name.
        name: String,
        /// What stands before the colon.
        transport: String,
    },
    /// The transport exists, and is not supported.
    #[error("invalid image name {name:?}, transport {transport} is not supported")]
    Unsupported {
        /// The name.
        name: String,
        /// The transport.
        transport: Transport,
    },
    /// `docker:` without slashes.
    #[error("docker: image reference {0} does not start with //")]
    NoSlashes(String),
    /// What should be a reference is none.
    #[error("{transport}: parsing reference {text:?}")]
    Reference {
        /// The transport.
        transport: Transport,
        /// The text.
        text: String,
        /// Which rule it breaks.
        #[source]
        source: longshore_reference::Error,
    },
    /// A registry can be asked for a tag or for a digest.
    #[error("Docker references with both a tag and digest are currently not supported")]
    TagAndDigest,
    /// A tag or a digest before `@@unknown-digest@@`.
    #[error(
        "docker: image reference {0:?} has unknown digest set but it contains either a tag or digest"
    )]
    UnknownDigest(String),
    /// Neither a tag nor a digest.
    #[error("Docker reference {0} is not for an unknown digest case; tag or digest is needed")]
    NameOnly(String),
    /// `docker-archive:` with nothing after it.
    #[error("docker-archive reference isn't of the form <path>[:<reference>]")]
    NoPath,
    /// A digest where a file has tags only.
    #[error("docker-archive doesn't support digest references: {0}")]
    ArchiveDigest(String),
    /// A path with a colon, which would be read as something else.
    #[error("{transport}: colon in path {path:?} is not supported")]
    ColonInPath {
        /// The transport.
        transport: Transport,
        /// The path.
        path: String,
    },
    /// `@` and no number.
    #[error("Invalid source index @{0}")]
    Index(String),
    /// Not a name that a layout can have.
    #[error("Invalid image {0}")]
    LayoutImage(String),
}

impl ImageName {
    /// Reads `transport:…`.
    ///
    /// # Errors
    /// [`Error::NoTransport`], [`Error::UnknownTransport`], [`Error::Unsupported`], and those of the transport.
    pub fn parse(name: &str) -> Result<Self, Error> {
        let Some((transport, rest)) = name.split_once(':') else {
            return Err(Error::NoTransport(name.to_owned()));
        };
        let Some(transport) = Transport::of_name(transport) else {
            return Err(Error::UnknownTransport {
                name: name.to_owned(),
                transport: transport.to_owned(),
            });
        };
        match transport {
            Transport::Docker => DockerName::parse(rest).map(Self::Docker),
            Transport::DockerArchive => ArchiveName::parse(rest).map(Self::DockerArchive),
            Transport::Oci => LayoutName::parse(rest, transport).map(Self::Oci),
            Transport::OciArchive => LayoutName::parse(rest, transport).map(Self::OciArchive),
            Transport::Dir => Ok(Self::Dir(rest.to_owned())),
            Transport::Atomic
            | Transport::ContainersStorage
            | Transport::DockerDaemon
            | Transport::Ostree
            | Transport::Sif
            | Transport::Tarball => Err(Error::Unsupported {
                name: name.to_owned(),
                transport,
            }),
        }
    }

    /// The transport.
    #[must_use]
    pub fn transport(&self) -> Transport {
        match self {
            Self::Docker(_) => Transport::Docker,
            Self::DockerArchive(_) => Transport::DockerArchive,
            Self::Oci(_) => Transport::Oci,
            Self::OciArchive(_) => Transport::OciArchive,
            Self::Dir(_) => Transport::Dir,
        }
    }

    /// The reference that the name carries: that of a registry, or the tag in a file of `docker save`.
    #[must_use]
    pub fn docker_reference(&self) -> Option<&Parsed> {
        match self {
            Self::Docker(name) => Some(&name.reference),
            Self::DockerArchive(ArchiveName {
                image: ArchiveImage::Tagged(reference),
                ..
            }) => Some(reference),
            Self::DockerArchive(_) | Self::Oci(_) | Self::OciArchive(_) | Self::Dir(_) => None,
        }
    }

    /// The file or folder; `None` for an image of a registry.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::Docker(_) => None,
            Self::DockerArchive(name) => Some(&name.path),
            Self::Oci(name) | Self::OciArchive(name) => Some(&name.path),
            Self::Dir(path) => Some(path),
        }
    }

    /// The name without its transport and the colon.
    #[must_use]
    pub fn within_transport(&self) -> String {
        match self {
            Self::Docker(name) => name.to_string(),
            Self::DockerArchive(name) => name.to_string(),
            Self::Oci(name) | Self::OciArchive(name) => name.to_string(),
            Self::Dir(path) => path.clone(),
        }
    }

    /// What a policy knows the image by. `explicit` makes a path absolute and free of symbolic links.
    ///
    /// # Errors
    /// Those of `explicit`; it is not called for images of registries and files of `docker save`.
    pub fn identity_with(
        &self,
        explicit: impl FnOnce(&Path) -> io::Result<PathBuf>,
    ) -> io::Result<Identity> {
        identity::of(self, explicit)
    }

    /// The same with [`explicit_path`].
    ///
    /// # Errors
    /// Those of [`explicit_path`].
    pub fn identity(&self) -> io::Result<Identity> {
        self.identity_with(explicit_path)
    }
}

impl DockerName {
    /// A reference with a tag or a digest.
    ///
    /// # Errors
    /// [`Error::NameOnly`] and [`Error::TagAndDigest`].
    pub fn new(reference: Parsed) -> Result<Self, Error> {
        match (reference.tag(), reference.digest()) {
            (Some(_), Some(_)) => Err(Error::TagAndDigest),
            (None, None) => Err(Error::NameOnly(reference.familiar().to_string())),
            (Some(_), None) | (None, Some(_)) => Ok(Self {
                reference,
                unknown_digest: false,
            }),
        }
    }

    /// A repository to write an image to without a tag.
    ///
    /// # Errors
    /// [`Error::UnknownDigest`] for a reference with a tag or a digest.
    pub fn unknown_digest(reference: Parsed) -> Result<Self, Error> {
        if reference.tag().is_some() || reference.digest().is_some() {
            let text = [&reference.to_string(), UNKNOWN_DIGEST].concat();
            return Err(Error::UnknownDigest(text));
        }
        Ok(Self {
            reference,
            unknown_digest: true,
        })
    }

    /// Reads `//reference`; a name alone has the tag `latest`.
    ///
    /// # Errors
    /// [`Error::NoSlashes`], [`Error::Reference`], [`Error::TagAndDigest`], [`Error::UnknownDigest`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        let Some(reference) = text.strip_prefix("//") else {
            return Err(Error::NoSlashes(text.to_owned()));
        };
        let (reference, unknown) = match reference.strip_suffix(UNKNOWN_DIGEST) {
            Some(reference) => (reference, true),
            None => (reference, false),
        };
        let parsed = Parsed::parse(reference).map_err(|source| Error::Reference {
            transport: Transport::Docker,
            text: reference.to_owned(),
            source,
        })?;
        match unknown {
            true => Self::unknown_digest(parsed),
            false => Self::new(parsed.or_latest()),
        }
    }

    /// The reference.
    #[must_use]
    pub fn reference(&self) -> &Parsed {
        &self.reference
    }

    /// Whether it is a repository to write to without a tag.
    #[must_use]
    pub fn is_unknown_digest(&self) -> bool {
        self.unknown_digest
    }
}

impl ArchiveName {
    /// An image of a file.
    ///
    /// # Errors
    /// [`Error::ColonInPath`]; [`Error::ArchiveDigest`] for a reference with a digest; [`Error::NameOnly`] for one
    /// without a tag.
    pub fn new(path: &str, image: ArchiveImage) -> Result<Self, Error> {
        no_colon(path, Transport::DockerArchive)?;
        if let ArchiveImage::Tagged(reference) = &image {
            if reference.digest().is_some() {
                return Err(Error::ArchiveDigest(reference.to_string()));
            }
            if reference.tag().is_none() {
                return Err(Error::NameOnly(reference.familiar().to_string()));
            }
        }
        let path = path.to_owned();
        Ok(Self { path, image })
    }

    /// Reads `path[:reference|:@index]`.
    ///
    /// # Errors
    /// [`Error::NoPath`], [`Error::Index`], [`Error::Reference`], [`Error::ArchiveDigest`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.is_empty() {
            return Err(Error::NoPath);
        }
        let Some((path, image)) = text.split_once(':') else {
            return Self::new(text, ArchiveImage::Only);
        };
        if let Some(number) = image.strip_prefix('@') {
            return Self::new(path, ArchiveImage::Index(index(number)?));
        }
        let reference = Parsed::parse(image).map_err(|source| Error::Reference {
            transport: Transport::DockerArchive,
            text: image.to_owned(),
            source,
        })?;
        Self::new(path, ArchiveImage::Tagged(reference.or_latest()))
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Which image of it.
    #[must_use]
    pub fn image(&self) -> &ArchiveImage {
        &self.image
    }
}

impl LayoutName {
    /// An image of a folder.
    ///
    /// # Errors
    /// [`Error::ColonInPath`], [`Error::LayoutImage`].
    pub fn new(path: &str, image: LayoutImage) -> Result<Self, Error> {
        no_colon(path, Transport::Oci)?;
        if let LayoutImage::Named(name) = &image
            && !oci::is_image_name(name)
        {
            return Err(Error::LayoutImage(name.clone()));
        }
        let path = path.to_owned();
        Ok(Self { path, image })
    }

    fn parse(text: &str, transport: Transport) -> Result<Self, Error> {
        let (path, image) = text.split_once(':').unwrap_or((text, ""));
        let image = match image.strip_prefix('@') {
            _ if image.is_empty() => LayoutImage::Only,
            Some(number) if transport == Transport::OciArchive => {
                return Err(Error::LayoutImage(["@", number].concat()));
            }
            Some(number) => LayoutImage::Index(index(number)?),
            None => LayoutImage::Named(image.to_owned()),
        };
        Self::new(path, image)
    }

    /// The folder, or the tar file.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Which image of it.
    #[must_use]
    pub fn image(&self) -> &LayoutImage {
        &self.image
    }
}

impl FromStr for ImageName {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::parse(name)
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.transport(), self.within_transport())
    }
}

impl fmt::Display for DockerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = self.reference.familiar().to_string();
        match Parsed::parse(&short).is_ok_and(|again| again == self.reference) {
            true => write!(f, "//{short}")?,
            false => write!(f, "//{}", self.reference)?,
        }
        match self.unknown_digest {
            true => f.write_str(UNKNOWN_DIGEST),
            false => Ok(()),
        }
    }
}

impl fmt::Display for ArchiveName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)?;
        match &self.image {
            ArchiveImage::Only => Ok(()),
            ArchiveImage::Tagged(reference) => write!(f, ":{reference}"),
            ArchiveImage::Index(index) => write!(f, ":@{index}"),
        }
    }
}

impl fmt::Display for LayoutName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.path)?;
        match &self.image {
            LayoutImage::Only => Ok(()),
            LayoutImage::Named(name) => f.write_str(name),
            LayoutImage::Index(index) => write!(f, "@{index}"),
        }
    }
}

fn index(number: &str) -> Result<usize, Error> {
    number.parse().map_err(|_| Error::Index(number.to_owned()))
}

fn no_colon(path: &str, transport: Transport) -> Result<(), Error> {
    match path.contains(':') {
        true => Err(Error::ColonInPath {
            transport,
            path: path.to_owned(),
        }),
        false => Ok(()),
    }
}

/// After a repository: an image is written there without a tag.
const UNKNOWN_DIGEST: &str = "@@unknown-digest@@";
