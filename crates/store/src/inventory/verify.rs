//! `verify`: every file is read from the disk and hashed.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;

use longshore_reference::Digest;

use super::{Inventory, InventoryError, OnProgress, Progress};
use crate::tier::Finding;

/// What came of a verification.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// Files that were hashed.
    pub objects: u64,
    /// Bytes that were hashed.
    pub bytes: u64,
    /// What is wrong, by digest.
    pub damaged: Vec<Damage>,
}

/// A file that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Damage {
    /// What its bytes should have.
    pub digest: Digest,
    /// What is wrong with it.
    pub reason: String,
    /// It was moved to quarantine.
    pub quarantined: bool,
}

impl Inventory {
    /// Hashes all files, this many at once. With `repair`, those that are wrong are moved to quarantine: they are
    /// fetched again when they are asked for.
    ///
    /// # Errors
    /// Running servers cannot be made to see what was moved.
    pub fn verify(
        &self,
        repair: bool,
        threads: usize,
        on_progress: OnProgress<'_>,
    ) -> Result<Verified, InventoryError> {
        let stock = self.tier.stock();
        let mut files: Vec<(Digest, u64)> = stock
            .iter()
            .map(|(digest, item)| (*digest, item.size))
            .collect();
        // The largest first, so that all threads end at the same time.
        files.sort_by_key(|(digest, size)| {
            (
                std::cmp::Reverse(*size),
                *digest.as_bytes().first().unwrap_or(&0),
            )
        });
        let total = files.iter().map(|(_, size)| size).sum();
        let (next, done) = (AtomicUsize::new(0), AtomicU64::new(0));
        let verified = Mutex::new(Verified::default());
        let work = || {
            while let Some((digest, size)) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                let found = self.tier.verify(digest, repair);
                let done = done.fetch_add(*size, Ordering::Relaxed) + size;
                on_progress(Progress { done, total });
                let mut verified = verified.lock().unwrap_or_else(PoisonError::into_inner);
                let reason = match found {
                    // Evicted meanwhile.
                    Finding::Gone => continue,
                    Finding::Right => None,
                    Finding::Wrong => Some("its bytes have another digest".to_owned()),
                    Finding::Unreadable(cause) => Some(cause.to_string()),
                };
                verified.objects += 1;
                verified.bytes += size;
                verified.damaged.extend(reason.map(|reason| Damage {
                    digest: *digest,
                    reason,
                    quarantined: repair && !self.tier.holds_file(digest),
                }));
            }
        };
        thread::scope(|scope| {
            for _ in 0..threads.max(1) {
                scope.spawn(work);
            }
        });
        let mut verified = verified
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        verified
            .damaged
            .sort_by_key(|damage| damage.digest.to_string());
        if verified.damaged.iter().any(|damage| damage.quarantined) {
            self.publish()?;
        }
        Ok(verified)
    }
}
