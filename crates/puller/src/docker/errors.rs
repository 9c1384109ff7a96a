//! What docker says of a pull that failed.

use std::fmt;

use longshore_reference::Parsed;

use crate::auth::authorizer::NO_BASIC_AUTH;

/// An error of the engine that pulls by itself. What the registry said follows as the source of the error, after a colon
/// in docker's own text: [`with_cause`](Self::with_cause).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PullError<'a> {
    /// DENIED: the repository is not there, or not for whoever asks.
    Denied(&'a Parsed),
    /// MANIFEST_UNKNOWN
    ManifestUnknown(&'a Parsed),
    /// NAME_UNKNOWN
    NameUnknown(&'a Parsed),
    /// `scratch`, which is no image.
    ReservedName(&'a str),
    /// No endpoint to ask.
    NoEndpoints(&'a Parsed),
    /// The index has no image for the platform.
    NoMatchingManifest(&'a str),
    /// A media type that is not an image's.
    UnsupportedMediaType(&'a str),
    /// A manifest with the configuration of something else: its media type and its class.
    ManifestClass(&'a str, &'a str),
    /// The registry wants credentials, and there are none.
    NoBasicAuthCredentials,
    /// A v1 registry has no digests.
    DigestByV1,
}

impl PullError<'_> {
    /// The error with what the registry said.
    ///
    /// ```
    /// use longshore_puller::docker::PullError;
    /// use longshore_reference::Parsed;
    ///
    /// let reference = Parsed::parse("app:1")?;
    /// assert_eq!(
    ///     PullError::Denied(&reference).with_cause("denied: requested access to the resource is denied"),
    ///     "pull access denied for app, repository does not exist or may require 'docker login': denied: requested access to the resource is denied",
    /// );
    /// # Ok::<(), longshore_reference::Error>(())
    /// ```
    #[must_use]
    pub fn with_cause(&self, cause: &str) -> String {
        format!("{self}: {cause}")
    }

    /// Whether it is of the kind *not found*: access that is denied may mean that nothing is there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        match self {
            Self::Denied(_) | Self::ManifestUnknown(_) | Self::NameUnknown(_) => true,
            Self::ReservedName(_)
            | Self::NoEndpoints(_)
            | Self::NoMatchingManifest(_)
            | Self::UnsupportedMediaType(_)
            | Self::ManifestClass(..)
            | Self::NoBasicAuthCredentials
            | Self::DigestByV1 => false,
        }
    }
}

impl fmt::Display for PullError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied(reference) => denied(f, reference),
            Self::ManifestUnknown(reference) => {
                write!(f, "manifest for {} not found", reference.familiar())
            }
            Self::NameUnknown(reference) => {
                write!(f, "repository {} not found", reference.familiar().name())
            }
            Self::ReservedName(name) => write!(f, "'{name}' is a reserved name"),
            Self::NoEndpoints(reference) => {
                write!(f, "no endpoints found for {}", reference.familiar())
            }
            Self::NoMatchingManifest(platform) => no_match(f, platform),
            Self::UnsupportedMediaType(media_type) => {
                write!(f, "unsupported media type {media_type}")
            }
            Self::ManifestClass(media_type, class) => {
                write!(
                    f,
                    "Encountered remote {media_type:?}({class}) when fetching"
                )
            }
            Self::NoBasicAuthCredentials => f.write_str(NO_BASIC_AUTH),
            Self::DigestByV1 => f.write_str("Cannot pull by digest with v1 registry"),
        }
    }
}

impl std::error::Error for PullError<'_> {}

/// An error of containerd, as the engine that pulls by containerd passes it on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ContainerdError<'a> {
    /// Authorization failed; the text of containerd.
    Unauthorized(&'a str),
    /// Not found; the text of containerd.
    NotFound(&'a str),
    /// Anything else; the text of containerd.
    Other(&'a str),
}

impl ContainerdError<'_> {
    /// What the engine says: access that is denied, an index without the platform (`os/arch`, as it was asked for), or
    /// the text of containerd.
    ///
    /// ```
    /// use longshore_puller::docker::ContainerdError;
    /// use longshore_reference::Parsed;
    ///
    /// let reference = Parsed::parse("app:1")?;
    /// let text = "no match for platform in manifest sha256:…: not found";
    /// assert_eq!(
    ///     ContainerdError::NotFound(text).text(&reference, "linux/s390x"),
    ///     "no matching manifest for linux/s390x in the manifest list entries: no match for platform in manifest sha256:…: not found",
    /// );
    /// # Ok::<(), longshore_reference::Error>(())
    /// ```
    #[must_use]
    pub fn text(self, reference: &Parsed, platform: &str) -> String {
        match self {
            Self::Unauthorized(text) if !text.contains(NO_BASIC_AUTH) => {
                PullError::Denied(reference).to_string()
            }
            Self::NotFound(text) if text.contains("platform") => {
                PullError::NoMatchingManifest(platform).with_cause(text)
            }
            Self::Unauthorized(text) | Self::NotFound(text) | Self::Other(text) => text.to_owned(),
        }
    }

    /// Whether the engine answers that nothing was found.
    #[must_use]
    pub fn is_not_found(self) -> bool {
        match self {
            Self::Unauthorized(text) => !text.contains(NO_BASIC_AUTH),
            Self::NotFound(_) => true,
            Self::Other(_) => false,
        }
    }
}

/// What an engine says that does not take schema 1 manifests any more.
#[must_use]
pub fn schema1_refused(reference: &Parsed) -> String {
    format!(
        "[DEPRECATION NOTICE] Docker Image Format v1 and Docker Image manifest version 2, schema 1 support is disabled by default and will be removed in an upcoming release. Suggest the author of {reference} to upgrade the image to the OCI Format or Docker Image manifest v2, schema 2. More information at https://docs.docker.com/go/deprecated-image-specs/"
    )
}

fn denied(f: &mut fmt::Formatter<'_>, reference: &Parsed) -> fmt::Result {
    let name = reference.familiar();
    let name = name.name();
    write!(
        f,
        "pull access denied for {name}, repository does not exist or may require 'docker login'"
    )
}

fn no_match(f: &mut fmt::Formatter<'_>, platform: &str) -> fmt::Result {
    write!(
        f,
        "no matching manifest for {platform} in the manifest list entries"
    )
}
