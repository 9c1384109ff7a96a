//! The transports by their names.

use std::fmt;

/// Where an image is. Not every transport can be used here: some are known so that policies may name them, and so that
/// they are refused by their name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// A registry of OpenShift. Not supported.
    Atomic,
    /// The storage of Podman and its kin. Not supported.
    ContainersStorage,
    /// A folder.
    Dir,
    /// A registry.
    Docker,
    /// A file of `docker save`.
    DockerArchive,
    /// The images of a docker engine. Not supported.
    DockerDaemon,
    /// A folder in the OCI image layout.
    Oci,
    /// A tar file of such a folder.
    OciArchive,
    /// A repository of OSTree. Not supported.
    Ostree,
    /// A file of Singularity. Not supported.
    Sif,
    /// Tar files that become layers. Not supported.
    Tarball,
}

impl Transport {
    /// The transport with this name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        ALL.into_iter().find(|transport| transport.name() == name)
    }

    /// The transport of a name of an image; `None` for what has no transport, or one that does not exist.
    #[must_use]
    pub fn of_image_name(name: &str) -> Option<Self> {
        Self::of_name(name.split_once(':')?.0)
    }

    /// Its name, which stands before the colon.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Atomic => "atomic",
            Self::ContainersStorage => "containers-storage",
            Self::Dir => "dir",
            Self::Docker => "docker",
            Self::DockerArchive => "docker-archive",
            Self::DockerDaemon => "docker-daemon",
            Self::Oci => "oci",
            Self::OciArchive => "oci-archive",
            Self::Ostree => "ostree",
            Self::Sif => "sif",
            Self::Tarball => "tarball",
        }
    }

    /// Whether images can be pulled from it and copied to it.
    #[must_use]
    pub fn is_supported(self) -> bool {
        match self {
            Self::Dir | Self::Docker | Self::DockerArchive | Self::Oci | Self::OciArchive => true,
            Self::Atomic
            | Self::ContainersStorage
            | Self::DockerDaemon
            | Self::Ostree
            | Self::Sif
            | Self::Tarball => false,
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

const ALL: [Transport; 11] = [
    Transport::Atomic,
    Transport::ContainersStorage,
    Transport::Dir,
    Transport::Docker,
    Transport::DockerArchive,
    Transport::DockerDaemon,
    Transport::Oci,
    Transport::OciArchive,
    Transport::Ostree,
    Transport::Sif,
    Transport::Tarball,
];
