//! The errors of a task, by their names.

use std::time::Duration;

use crate::go_duration;

/// `CannotPullImageManifestError`: the digest of an image cannot be resolved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CannotPullManifest(String);

/// `DockerTimeoutError`: the registry took too long.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Could not transition to MANIFEST_PULLED; timed out after waiting {}", go_duration::format(*.0))]
pub struct TimedOut(pub Duration);

impl CannotPullManifest {
    /// The name of the error in a task.
    pub const NAME: &'static str = "CannotPullImageManifestError";

    /// What the registry or the engine said, without the URLs of layers.
    #[must_use]
    pub fn new(image: &str, error: &str) -> Self {
        Self(redact_layer_urls(image, error))
    }

    pub(super) fn no_repo_digest(image: &str) -> Self {
        Self(format!("failed to find a repo digest matching '{image}'"))
    }
}

impl TimedOut {
    /// The name of the error in a task.
    pub const NAME: &'static str = "DockerTimeoutError";
}

/// Takes the URLs of ECR's layers out of a text: their queries hold secrets.
///
/// ```
/// use longshore_puller::ecs::redact_layer_urls;
///
/// let text = "Get \"https://prod-starport-layer-bucket.s3.amazonaws.com/x?X-Amz-Security-Token=secret\": EOF";
/// assert_eq!(redact_layer_urls("app", text), "Get REDACTED ECR URL related to app EOF");
/// ```
#[must_use]
pub fn redact_layer_urls(image: &str, text: &str) -> String {
    let mut redacted = String::with_capacity(text.len());
    for word in text.split_inclusive(SPACES) {
        let (word, space) = match word.strip_suffix(SPACES) {
            Some(bare) => (bare, word.get(bare.len()..).unwrap_or_default()),
            None => (word, ""),
        };
        match layer_url(word) {
            Some(start) => {
                redacted.push_str(word.get(..start).unwrap_or_default());
                redacted.push_str("REDACTED ECR URL related to ");
                redacted.push_str(image);
            }
            None => redacted.push_str(word),
        }
        redacted.push_str(space);
    }
    redacted
}

/// Where the URL of a layer begins, with a quote that stands before it. It ends with the word.
fn layer_url(word: &str) -> Option<usize> {
    let start = word.find("https")?;
    let rest = word.get(start + "https".len()..)?;
    let mut buckets = rest.match_indices(BUCKET);
    buckets.find(|(at, _)| *at > 0 && at + BUCKET.len() < rest.len())?;
    let quoted = word.get(..start)?.ends_with('"');
    Some(start - usize::from(quoted))
}

const BUCKET: &str = "starport-layer-bucket";
const SPACES: [char; 5] = [' ', '\t', '\n', '\r', '\u{c}'];
