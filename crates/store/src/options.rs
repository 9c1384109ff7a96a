//! What a store is opened with.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use url::Url;

use crate::event::Observer;
use crate::tier::{Amount, Pin};

/// What a store is opened with.
pub struct Options {
    /// Folder of the local tier.
    pub local: PathBuf,
    /// Folder of writes under way, on the same file system; by default below `local`.
    pub spool: Option<PathBuf>,
    /// The bucket behind the local tier: `s3://`, `gs://`, `az://` or `memory://`.
    pub bucket: Option<Url>,
    /// How much the local tier may hold: by default what it holds when it is opened and half of what is free then.
    pub capacity: Option<Amount>,
    /// How much of the local tier's file system stays free.
    pub min_free: Amount,
    /// How long a round takes in which every kept file is hashed again; zero: none is made.
    pub scrub: Duration,
    /// What is never evicted.
    pub pins: Vec<Pin>,
    /// Fills in flight at once.
    pub fills_max: usize,
    /// Memory for manifests, in bytes.
    pub manifest_memory_bytes: u64,
    /// The one wall clock.
    pub clock: Clock,
    /// Hears of events, for metrics. Called on the runtime's threads: it must not wait.
    pub observer: Observer,
}

/// Tells the time of day.
pub type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

impl Options {
    /// A store in this folder, everything else by default.
    pub fn new(local: impl Into<PathBuf>) -> Self {
        Self {
            local: local.into(),
            spool: None,
            bucket: None,
            capacity: None,
            min_free: Amount::Bytes(0),
            scrub: Duration::from_secs(30 * 24 * 3600),
            pins: Vec::new(),
            fills_max: 64,
            manifest_memory_bytes: 64 << 20,
            clock: Arc::new(SystemTime::now),
            observer: Arc::new(|_| {}),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("local", &self.local)
            .field("spool", &self.spool)
            .field("fills_max", &self.fills_max)
            .field("manifest_memory_bytes", &self.manifest_memory_bytes)
            .finish_non_exhaustive()
    }
}
