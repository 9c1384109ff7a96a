//! The local tier, opened for a command.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use tokio_util::task::TaskTracker;

use super::error::InventoryError;
use super::records::{self, Repository};
use crate::changes::NOTICED_WITHIN;
use crate::options::Options;
use crate::tier::{Settings, Tier, layout};

/// How far a command is, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that are done.
    pub done: u64,
    /// Bytes that there are, as far as that is known now.
    pub total: u64,
}

/// Gets the [`Progress`] of a command now and then, perhaps from several threads.
pub type OnProgress<'a> = &'a (dyn Fn(Progress) + Sync);

/// The local tier of a store, opened beside the servers that run on it.
///
/// ```
/// use longshore_store::{Inventory, Options};
///
/// let folder = tempfile::tempdir()?;
/// assert!(Inventory::open(&Options::new(folder.path())).is_err(), "no store yet");
/// let store = Inventory::create(&Options::new(folder.path()))?;
/// assert!(store.tags()?.is_empty());
/// assert_eq!(store.disk_usage()?.bytes, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Inventory {
    pub(super) tier: Tier,
    root: PathBuf,
    clock: crate::options::Clock,
}

impl std::fmt::Debug for Inventory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inventory")
            .field("tier", &self.tier)
            .finish_non_exhaustive()
    }
}

impl Inventory {
    /// Opens the local tier of a store that exists. Of the options, folder, spool, bucket and pins count.
    ///
    /// # Errors
    /// There is no store, it is one of another version, or its files cannot be used.
    pub fn open(options: &Options) -> Result<Self, InventoryError> {
        if !options.local.join(layout::MARKER).exists() {
            return Err(InventoryError::NoStore {
                path: options.local.display().to_string(),
            });
        }
        Self::create(options)
    }

    /// As [`open`](Self::open), and makes the store where there is none.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn create(options: &Options) -> Result<Self, InventoryError> {
        let settings = Settings {
            pins: options.pins.clone(),
            clock: Arc::clone(&options.clock),
            ..Settings::default()
        };
        let (root, spool) = (options.local.as_path(), options.spool.as_deref());
        let tier = match options.bucket {
            Some(_) => Tier::open_before_bucket(root, spool, settings, TaskTracker::new()),
            None => Tier::open(root, spool, settings, TaskTracker::new()),
        }?;
        // A server that starts meanwhile must be able to evict.
        tier.leave_keeping();
        let at = |cause| InventoryError::file("read", root, cause);
        tier.reconcile().map_err(at)?;
        Ok(Self {
            tier,
            root: root.to_owned(),
            clock: Arc::clone(&options.clock),
        })
    }

    /// The repositories with their records.
    pub(super) fn repositories(&self) -> Result<Vec<Repository>, InventoryError> {
        let folder = self.root.join(layout::REPOSITORIES);
        records::repositories(&self.tier)
            .map_err(|cause| InventoryError::file("read the records in", &folder, cause))
    }

    /// Makes running servers see what was changed. When this returns, their next request does.
    pub(super) fn publish(&self) -> Result<(), InventoryError> {
        self.tier.mark_changed().map_err(|cause| {
            InventoryError::file("write", &self.root.join(layout::CHANGED), cause)
        })?;
        std::thread::sleep(NOTICED_WITHIN);
        Ok(())
    }

    pub(super) fn failed(
        &self,
        action: &'static str,
        key: &str,
        cause: io::Error,
    ) -> InventoryError {
        InventoryError::file(action, &self.tier.path(key), cause)
    }

    pub(super) fn now(&self) -> SystemTime {
        (self.clock)()
    }

    /// The folder of the store.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.root
    }
}
