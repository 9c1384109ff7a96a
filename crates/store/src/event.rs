//! What happens in the store, for metrics.

use std::sync::Arc;
use std::time::Duration;

use longshore_reference::Named;

use crate::tier::Reason;

/// Hears of events.
pub type Observer = Arc<dyn Fn(&Event<'_>) + Send + Sync>;

/// Something that happened in the store.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A fill ended.
    FillEnded {
        /// How long it took.
        seconds: Duration,
        /// It brought everything.
        whole: bool,
    },
    /// Upstream gave bytes that are not the digest's.
    Mismatch {
        /// The repository that was asked.
        named: &'a Named,
    },
    /// A kept file could not be read or was not whole; it was moved aside.
    Quarantined,
    /// The bucket had other bytes than the digest's, or not all of them; upstream was asked, and they are replaced.
    BucketDamaged,
    /// Content of the local tier was evicted.
    Evicted {
        /// Why it had to go.
        reason: Reason,
        /// Bytes that were freed.
        bytes: u64,
    },
    /// A file of the local tier could not be opened, written, moved or removed.
    LocalFailed {
        /// What was tried: `open`, `commit`, `write record`, `quarantine` or `evict`.
        action: &'static str,
    },
    /// The bucket answers, or is left alone for a while because it does not. Told when that changes.
    BucketUp {
        /// It answers.
        up: bool,
    },
    /// A request to the bucket failed.
    BucketFailed {
        /// What was tried: `read`, `find`, `write`, `remove`, `upload`, `abort` or `probe`.
        action: &'static str,
    },
}
