//! What is asked for the digest of an image, and the outcome of the answer.

use std::time::Duration;

use longshore_manifest::MediaType;
use longshore_reference::{Digest, ecs};

use super::CannotPullManifest;
use crate::go_duration;

/// When images are pulled (`ECS_IMAGE_PULL_BEHAVIOR`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum PullBehavior {
    /// `default`, and whatever else is not known: pull; a held image is used where that fails.
    #[default]
    Default,
    /// `always`: pull, or fail.
    Always,
    /// `once`: pull what this agent has not pulled yet.
    Once,
    /// `prefer-cached`: pull what is not held.
    PreferCached,
}

/// What is held of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Held {
    /// It can be inspected.
    pub present: bool,
    /// It was pulled before, by this agent and with success.
    pub pulled: bool,
}

/// A container, as far as it decides about its image.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Container<'a> {
    /// The image as it was given.
    pub image: &'a str,
    /// One that the agent itself adds to a task (pause containers, daemons).
    pub internal: bool,
    /// The proxy of Service Connect, whose image the agent manages.
    pub service_connect: bool,
}

/// What is to be asked for the digest of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// Nothing: there is none to resolve.
    Skip(Skip),
    /// Nothing: the image names its digest.
    Known(Digest),
    /// The repo digests of the image that is held.
    LookAtHeld,
    /// The registry, within [`manifest_timeout`].
    AskRegistry,
}

/// The digest of an image, or why there is none. Without one the image is pulled by its tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is this.
    Resolved {
        /// The digest.
        digest: Digest,
        /// Where it is from.
        from: Source,
    },
    /// It is not needed, or cannot be used.
    Skipped(Skip),
}

/// Where a digest is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// The image names it.
    Reference,
    /// The image is held.
    Held,
    /// The registry said so.
    Registry,
}

/// Why an image has no digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Skip {
    /// The container is internal.
    Internal,
    /// The container is the proxy of Service Connect.
    ServiceConnect,
    /// The image that is held was not pulled from a registry.
    NoRepoDigests,
    /// The engine may pull by protocol v1, where there are no digests.
    ApiVersion,
    /// Digests of schema 1 manifests cannot be relied on.
    Schema1,
}

impl PullBehavior {
    /// Reads `ECS_IMAGE_PULL_BEHAVIOR`; what is not set or not known is the default.
    #[must_use]
    pub fn from_env(value: Option<&str>) -> Self {
        match value {
            Some("always") => Self::Always,
            Some("once") => Self::Once,
            Some("prefer-cached") => Self::PreferCached,
            Some(_) | None => Self::Default,
        }
    }

    /// Whether an image has to be pulled.
    ///
    /// ```
    /// use longshore_puller::ecs::{Held, PullBehavior};
    ///
    /// let held = Held { present: true, pulled: false };
    /// assert!(PullBehavior::Once.requires_pull(held));
    /// assert!(!PullBehavior::PreferCached.requires_pull(held));
    /// ```
    #[must_use]
    pub fn requires_pull(self, held: Held) -> bool {
        match self {
            Self::Default | Self::Always => true,
            Self::Once => !held.pulled,
            Self::PreferCached => !held.present,
        }
    }

    /// Whether a held image may be used after a pull failed, where dependent containers are pulled up front.
    #[must_use]
    pub fn uses_held_after_failure(self) -> bool {
        self != Self::Always
    }
}

impl<'a> Container<'a> {
    /// A container of a task's own.
    #[must_use]
    pub fn new(image: &'a str) -> Self {
        Self {
            image,
            internal: false,
            service_connect: false,
        }
    }
}

/// What is to be asked for the digest of a container's image. For a container that needs none nothing is asked, and for
/// an image that names its digest neither the registry nor the credentials.
#[must_use]
pub fn plan(container: &Container<'_>, behavior: PullBehavior, held: Held) -> Plan {
    if container.internal {
        return Plan::Skip(Skip::Internal);
    }
    if container.service_connect {
        return Plan::Skip(Skip::ServiceConnect);
    }
    match ecs::digest_in(container.image) {
        Some(digest) => Plan::Known(digest),
        None if behavior.requires_pull(held) => Plan::AskRegistry,
        None => Plan::LookAtHeld,
    }
}

/// The outcome for an image that is held, from its repo digests (`name@digest`). One without any was not pulled.
///
/// # Errors
/// [`CannotPullManifest`] where none is of the image's repository, or the image is no reference.
pub fn from_held<T: AsRef<str>>(
    repo_digests: &[T],
    image: &str,
) -> Result<Outcome, CannotPullManifest> {
    if repo_digests.is_empty() {
        return Ok(Outcome::Skipped(Skip::NoRepoDigests));
    }
    let from = Source::Held;
    match ecs::digest_among(repo_digests, image) {
        Ok(digest) => Ok(Outcome::Resolved { digest, from }),
        Err(_) => Err(CannotPullManifest::no_repo_digest(image)),
    }
}

/// The outcome for what the registry said.
#[must_use]
pub fn from_registry(media_type: &str, digest: Digest) -> Outcome {
    let from = Source::Registry;
    match MediaType::from_content_type(media_type).is_schema1() {
        true => Outcome::Skipped(Skip::Schema1),
        false => Outcome::Resolved { digest, from },
    }
}

/// Whether an engine with this version of its interface (`1.44`) resolves digests: older ones may pull by protocol v1.
/// Where it does not, the outcome is [`Skip::ApiVersion`], and no error.
#[must_use]
pub fn engine_resolves(api_version: &str) -> bool {
    let numbers = api_version
        .split_once('.')
        .and_then(|(major, minor)| Some((major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?)));
    numbers.is_some_and(|version| version >= API_VERSION_MIN)
}

/// How long the registry may take (`ECS_MANIFEST_PULL_TIMEOUT`, as Go writes durations): a minute where nothing is set, or
/// zero, or what is no duration; at least 30 seconds.
#[must_use]
pub fn manifest_timeout(value: Option<&str>) -> Duration {
    let nanos = value.and_then(go_duration::parse).unwrap_or(0);
    match u64::try_from(nanos) {
        Ok(0) => MANIFEST_TIMEOUT,
        Ok(nanos) => Duration::from_nanos(nanos).max(MANIFEST_TIMEOUT_MIN),
        Err(_) => MANIFEST_TIMEOUT_MIN,
    }
}

impl Skip {
    /// The line for the log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Internal | Self::ServiceConnect => "Digest resolution not required",
            Self::NoRepoDigests => "No repo digest found",
            Self::ApiVersion => {
                "Failed to find a supported API version that supports manifest pulls. Skipping digest resolution."
            }
            Self::Schema1 => "skipping digest resolution for manifest v2 schema 1",
        }
    }
}

/// How long the registry may take.
pub const MANIFEST_TIMEOUT: Duration = Duration::from_secs(60);

/// The least that can be set.
pub const MANIFEST_TIMEOUT_MIN: Duration = Duration::from_secs(30);

/// Engines of 17.12 and newer.
const API_VERSION_MIN: (u32, u32) = (1, 35);
