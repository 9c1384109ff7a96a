//! What a tag stood for, and when upstream last said so.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use longshore_reference::Digest;
use serde::{Deserialize, Serialize};

/// What a tag stood for when upstream was last asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TagRecord {
    /// The digest as upstream's header gave it: what a check compares.
    pub(crate) upstream_digest: Option<Digest>,
    /// What the manifest is known by: the sha256 of its bytes, or of a signed schema 1 manifest's payload.
    pub(crate) digest: Digest,
    /// Where the bytes are, if not under that digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stored: Option<Digest>,
    pub(crate) media_type: Arc<str>,
    /// Bytes of the manifest.
    pub(crate) size: u64,
    /// Seconds since 1970 when upstream last said that this holds.
    pub(crate) checked: u64,
    /// Upstream is asked at the next request, however recently that was: set by `store refresh` and `store import`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) unchecked: bool,
}

impl TagRecord {
    /// How long ago upstream said so. A time in the future, or one that cannot be, counts as never.
    pub(crate) fn age(&self, now: SystemTime) -> Option<Duration> {
        age(self.checked, now)
    }
}

/// How long ago that was. A time in the future, or one that cannot be, counts as never.
pub(crate) fn age(checked: u64, now: SystemTime) -> Option<Duration> {
    let checked = UNIX_EPOCH.checked_add(Duration::from_secs(checked))?;
    now.duration_since(checked).ok()
}

/// Seconds since 1970.
pub(crate) fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}
