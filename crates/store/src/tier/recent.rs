//! What was used a moment ago, so that a busy manifest costs one comparison and no lock.

use std::sync::atomic::{AtomicU64, Ordering};

use longshore_reference::Digest;

use super::index::USE_SECS;

/// Uses that are remembered at once.
const SLOTS: usize = 4096;

/// The last uses: a table that forgets one for another that falls on the same slot.
pub(super) struct Recent(Box<[AtomicU64]>);

impl Default for Recent {
    fn default() -> Self {
        Self((0..SLOTS).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Recent {
    /// Whether a use is not one that was seen in this span of time; `salt` tells uses of one digest apart. May say yes
    /// once too often.
    pub(super) fn is_news(&self, digest: &Digest, salt: u64, now: u32) -> bool {
        let first = digest.as_bytes().first_chunk::<8>();
        let name = first.map_or(0, |first| u64::from_le_bytes(*first)) ^ salt;
        let span = u64::from(now / USE_SECS) + 1;
        let use_of = name.rotate_left(32) ^ span;
        let slot = usize::try_from(name % SLOTS as u64).unwrap_or(0);
        let Some(slot) = self.0.get(slot) else {
            return true;
        };
        slot.load(Ordering::Relaxed) != use_of && slot.swap(use_of, Ordering::Relaxed) != use_of
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_use_counts_once_in_a_span() {
        let recent = Recent::default();
        let (one, two) = (Digest::sha256(b"1"), Digest::sha256(b"2"));
        assert!(recent.is_news(&one, 0, 0));
        assert!(!recent.is_news(&one, 0, USE_SECS - 1));
        assert!(recent.is_news(&two, 0, 0));
        assert!(recent.is_news(&one, 0, USE_SECS));
        assert!(!recent.is_news(&one, 0, USE_SECS));
    }
}
