//! Why a text is no name of an image.

use super::Transport;

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
