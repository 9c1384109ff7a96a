//! Digests whose bytes were wrong a moment ago.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use longshore_reference::Digest;
use tokio::time::Instant;

/// How long wrong bytes are remembered: a client that resumes in that time must not join them to right ones.
const DISTRUSTED_FOR: Duration = Duration::from_secs(30);

/// Digests of which wrong bytes were served, for half a minute each.
#[derive(Debug, Default)]
pub(crate) struct Distrust(Mutex<HashMap<Digest, Instant>>);

impl Distrust {
    /// Remembers that wrong bytes were served for this digest.
    pub(crate) fn put(&self, digest: Digest) {
        let mut since = self.lock();
        since.retain(|_, since| since.elapsed() < DISTRUSTED_FOR);
        since.insert(digest, Instant::now());
    }

    /// Whether wrong bytes were served for this digest a moment ago.
    pub(crate) fn holds(&self, digest: &Digest) -> bool {
        let since = self.lock();
        since
            .get(digest)
            .is_some_and(|since| since.elapsed() < DISTRUSTED_FOR)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn wrong_bytes_are_remembered_for_half_a_minute() {
        let (distrust, digest) = (Distrust::default(), Digest::sha256(b"x"));
        assert!(!distrust.holds(&digest));
        distrust.put(digest);
        assert!(distrust.holds(&digest));
        assert!(!distrust.holds(&Digest::sha256(b"y")));
        tokio::time::advance(DISTRUSTED_FOR).await;
        assert!(!distrust.holds(&digest));
    }
}
