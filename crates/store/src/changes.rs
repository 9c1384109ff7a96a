//! How a running store notices that a command changed its files.
//!
//! A command of another process replaces the file `changed` after it has changed the store, and ends
//! [`NOTICED_WITHIN`] later. A store looks at that file when a request comes and the last look is older than
//! [`LOOKED_EVERY`]: one `lstat` in that time, none while nothing is asked. Where the file is another one than before,
//! everything in memory is forgotten and read from the files again. So the first request after the end of the command
//! sees what it did.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::tier::{Stamp, Tier};

/// How old a look may be.
const LOOKED_EVERY: Duration = Duration::from_millis(100);
/// After this time every request sees a change. The rest is for the clock, which is read in whole milliseconds.
pub(crate) const NOTICED_WITHIN: Duration = Duration::from_millis(110);

/// The last look of a running store.
#[derive(Debug)]
pub(crate) struct Changes {
    started: Instant,
    /// When the last look began, in milliseconds since the start.
    looked: AtomicU64,
    seen: Mutex<Option<Stamp>>,
}

impl Changes {
    /// What has changed until now is known.
    pub(crate) fn new(tier: &Tier) -> Self {
        Self {
            started: Instant::now(),
            looked: AtomicU64::new(0),
            seen: Mutex::new(tier.changed()),
        }
    }

    /// Calls `forget` if the store was changed since the last look.
    pub(crate) fn notice(&self, tier: &Tier, forget: impl FnOnce()) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let looked = self.looked.load(Ordering::Acquire);
        if now.saturating_sub(looked) < LOOKED_EVERY.as_millis() as u64 {
            return;
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let found = tier.changed();
        if found.is_some() && found != *seen {
            *seen = found;
            forget();
        }
        // Only now: a request that comes meanwhile looks for itself.
        self.looked.fetch_max(now, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_noticed_once_and_within_its_time() {
        let folder = tempfile::tempdir().unwrap();
        let tier = Tier::of(folder.path(), None).unwrap();
        tier.mark_changed().unwrap();
        let changes = Changes::new(&tier);
        let noticed = || {
            let mut noticed = 0;
            changes.notice(&tier, || noticed += 1);
            noticed
        };
        std::thread::sleep(NOTICED_WITHIN);
        assert_eq!(noticed(), 0, "nothing changed since the start");
        for _ in 0..2 {
            tier.mark_changed().unwrap();
            std::thread::sleep(NOTICED_WITHIN);
            assert_eq!(noticed(), 1);
            assert_eq!(noticed(), 0);
        }
    }
}
