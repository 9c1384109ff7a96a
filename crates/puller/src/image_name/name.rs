//! The name of an image in any transport.

use std::{fmt, str::FromStr};

use longshore_reference::Parsed;

use super::{ArchiveImage, ArchiveName, DockerName, Error, LayoutName, Transport};

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
            Self::Docker(name) => Some(name.reference()),
            Self::DockerArchive(name) => match name.image() {
                ArchiveImage::Tagged(reference) => Some(reference),
                ArchiveImage::Only | ArchiveImage::Index(_) => None,
            },
            Self::Oci(_) | Self::OciArchive(_) | Self::Dir(_) => None,
        }
    }

    /// The file or folder; `None` for an image of a registry.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::Docker(_) => None,
            Self::DockerArchive(name) => Some(name.path()),
            Self::Oci(name) | Self::OciArchive(name) => Some(name.path()),
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
