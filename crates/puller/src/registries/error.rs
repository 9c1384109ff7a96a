//! Why a configuration of registries is of no use.

use std::{io, path::PathBuf};

/// A file that cannot be used. What is wrong with it is its source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It cannot be read.
    #[error("loading registries configuration {}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It is no TOML, or a value has the wrong type.
    #[error("loading registries configuration {origin:?}")]
    Syntax {
        /// The file.
        origin: String,
        /// Where, and what was expected.
        #[source]
        source: toml::de::Error,
    },
    /// It contradicts itself or says what cannot be.
    #[error("loading registries configuration {origin:?}")]
    Invalid {
        /// The file.
        origin: String,
        /// What.
        #[source]
        source: Invalid,
    },
}

/// What is wrong with a configuration. The texts are those of containers/image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Invalid {
    /// Version 1 and version 2 in one file.
    #[error("mixing sysregistry v1/v2 is not supported")]
    Mixed,
    /// A drop-in in version 1.
    #[error("registry must be in v2 format but is in v1")]
    NotV2,
    /// A location, prefix or search registry with `http://` or `https://`.
    #[error("invalid location '{0}': URI schemes are not supported")]
    Scheme(String),
    /// A registry without location and prefix.
    #[error("invalid condition: both location and prefix are unset")]
    Unset,
    /// A registry without a location, under a prefix without a wildcard.
    #[error("invalid condition: location is unset and prefix is not in the format: *.example.com")]
    NoLocation,
    /// A mirror without a location.
    #[error("invalid condition: mirror location is unset")]
    NoMirrorLocation,
    /// `pull-from-mirror` on the registry itself.
    #[error("pull-from-mirror must not be set for a non-mirror registry {0:?}")]
    PullFromMirrorOfRegistry(String),
    /// `mirror-by-digest-only` on the registry and `pull-from-mirror` on its mirror.
    #[error(
        "cannot set mirror usage mirror-by-digest-only for the registry ({prefix:?}) and pull-from-mirror for per-mirror ({mirror:?}) at the same time"
    )]
    MirrorUsageTwice {
        /// The registry.
        prefix: String,
        /// The mirror.
        mirror: String,
    },
    /// A `pull-from-mirror` that is neither `all`, `digest-only` nor `tag-only`.
    #[error("unsupported pull-from-mirror value {value:?} for mirror {mirror:?}")]
    PullFromMirror {
        /// The value.
        value: String,
        /// The mirror.
        mirror: String,
    },
    /// Two tables for one location that differ in a setting which can have one value only.
    #[error("registry '{location}' is defined multiple times with conflicting '{setting}' setting")]
    Conflict {
        /// The location; empty where there is none.
        location: String,
        /// `insecure` or `blocked`.
        setting: &'static str,
    },
    /// A wildcard with a port, a path or a digest.
    #[error(
        "Wildcarded prefix should be in the format: *.example.com. Current prefix {0:?} is incorrectly formatted"
    )]
    Wildcard(String),
    /// A search registry that is no host.
    #[error("Invalid unqualified-search-registries entry {0:?}")]
    SearchRegistry(String),
    /// An unknown `short-name-mode`.
    #[error("invalid short-name mode: {0:?}")]
    ShortNameMode(String),
    /// Aliases that cannot be; all of them.
    #[error("validating short-name aliases: {}", lines(.0))]
    Aliases(Vec<AliasError>),
}

/// An alias that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AliasError {
    /// The name is no short name, or has a tag or a digest.
    #[error("invalid short name {name:?}: {source}")]
    Name {
        /// The name.
        name: String,
        /// Which rule it breaks.
        source: longshore_reference::Error,
    },
    /// The value is not the full name of a repository.
    #[error("invalid alias {value:?}: {source}")]
    Value {
        /// The value.
        value: String,
        /// Which rule it breaks.
        source: longshore_reference::Error,
    },
    /// There is no such alias to remove.
    #[error(
        "short-name alias {name:?} not found in {origin:?}: please check registries.conf files"
    )]
    Unknown {
        /// The name.
        name: String,
        /// The file it was to be removed from.
        origin: String,
    },
}

/// Why a reference has no place to pull it from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The registry is blocked.
    #[error("registry {prefix} is blocked in {origins}")]
    Blocked {
        /// The registry.
        prefix: String,
        /// The files that may say so.
        origins: String,
    },
    /// The reference is not under the prefix.
    #[error("invalid prefix '{prefix}' for reference '{reference}'")]
    Prefix {
        /// The prefix.
        prefix: String,
        /// The reference.
        reference: String,
    },
    /// An empty location under a prefix without a wildcard.
    #[error("invalid prefix '{0}' for empty location, should be in the format: *.example.com")]
    NoLocation(String),
    /// With the location in place of the prefix it is no reference.
    #[error("rewriting reference: {reference:?}")]
    Rewrite {
        /// What it would be.
        reference: String,
        /// Which rule it breaks.
        #[source]
        source: longshore_reference::Error,
    },
}

impl Error {
    pub(super) fn invalid(origin: &str, source: Invalid) -> Self {
        let origin = origin.to_owned();
        Self::Invalid { origin, source }
    }
}

fn lines(errors: &[AliasError]) -> String {
    let lines: Vec<String> = errors.iter().map(AliasError::to_string).collect();
    lines.join("\n")
}
