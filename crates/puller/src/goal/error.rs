//! Why there is no goal.

/// Why there is no goal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A name that no image can get.
    #[error("error parsing dest reference name {name:?}")]
    Destination {
        /// The name.
        name: String,
        /// Which rule it breaks.
        #[source]
        source: longshore_reference::Error,
    },
    /// The image in the archive has no name, and its id is not known.
    #[error("error getting image digest; image reference not found")]
    NoImageId,
    /// What should be pulled is no reference.
    #[error("unable to parse {name:?}")]
    Reference {
        /// The name.
        name: String,
        /// Which rule it breaks.
        #[source]
        source: longshore_reference::Error,
    },
    /// What should be pulled cannot be asked for.
    #[error("unable to parse {name:?}")]
    Source {
        /// The name.
        name: String,
        /// Why not.
        #[source]
        source: crate::image_name::Error,
    },
    /// A registry was given where the name has one.
    #[error("{0:?} has a registry already")]
    HasRegistry(String),
    /// A registry is needed, and the name has none.
    #[error("{0:?} has no registry")]
    NoRegistry(String),
}
