//! The negative cache: what an upstream refused a moment ago, or failed to answer, stands for a while.

use std::time::Duration;

use longshore_reference::{Canonical, Reference};
use moka::sync::Cache;
use tokio::time::Instant;

use crate::error::Error;

/// Entries in memory.
const ENTRIES_MAX: u64 = 50_000;
/// No entry stands for longer, whatever the policy says: one hour.
const TTL_MAX: Duration = Duration::from_secs(3600);

/// What was asked: a client may ask for one digest as a manifest and as a blob.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Question {
    /// A manifest, by tag or digest.
    Manifest(Reference),
    /// A blob.
    Blob(Canonical),
}

/// What a request gets without asking upstream: the cached copy, or an error. The copy itself is not here, for it would
/// stay in memory for as long.
pub(crate) type Verdict = Result<(), Error>;

/// Verdicts by question. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct NegativeCache(Cache<Question, Entry>);

#[derive(Clone, Debug)]
struct Entry {
    until: Instant,
    verdict: Verdict,
}

impl NegativeCache {
    pub(crate) fn new() -> Self {
        let cache = Cache::builder()
            .max_capacity(ENTRIES_MAX)
            .time_to_live(TTL_MAX);
        Self(cache.build())
    }

    /// Forgets every answer.
    pub(crate) fn forget_all(&self) {
        self.0.invalidate_all();
    }

    /// Remembers a verdict for this time; zero: not at all.
    pub(crate) fn put(&self, question: Question, verdict: Verdict, ttl: Duration) {
        if !ttl.is_zero() {
            let until = Instant::now() + ttl;
            self.0.insert(question, Entry { until, verdict });
        }
    }

    /// The verdict that stands.
    pub(crate) fn find(&self, question: &Question) -> Option<Verdict> {
        let entry = self.0.get(question)?;
        (Instant::now() < entry.until).then_some(entry.verdict)
    }

    /// The error that stands.
    pub(crate) fn error(&self, question: &Question) -> Option<Error> {
        self.find(question)?.err()
    }

    /// Upstream answered: no verdict stands any more.
    pub(crate) fn forget(&self, question: &Question) {
        self.0.invalidate(question);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use longshore_reference::{Digest, Named};

    #[tokio::test(start_paused = true)]
    async fn a_verdict_stands_for_its_time() {
        let cache = NegativeCache::new();
        let blob = Canonical::new(
            Named::new("registry.example", "app").unwrap(),
            Digest::sha256(b"x"),
        );
        let (blob, manifest) = (
            Question::Blob(blob.clone()),
            Question::Manifest(blob.into()),
        );
        cache.put(blob.clone(), Err(Error::Busy), Duration::from_secs(10));
        cache.put(manifest.clone(), Ok(()), Duration::ZERO);
        assert!(matches!(cache.error(&blob), Some(Error::Busy)));
        assert!(cache.find(&manifest).is_none());
        tokio::time::advance(Duration::from_secs(10)).await;
        assert!(cache.find(&blob).is_none());
        cache.put(manifest.clone(), Ok(()), Duration::from_secs(10));
        assert!(matches!(cache.find(&manifest), Some(Ok(()))));
        cache.forget(&manifest);
        assert!(cache.find(&manifest).is_none());
    }
}
