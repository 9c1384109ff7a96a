//! Which content an upstream is known to have, whichever of its repositories it was asked for.

use longshore_reference::{Canonical, Digest};
use moka::sync::Cache;

/// Digests in memory, of all upstreams.
const IN_MEMORY: u64 = 50_000;

/// What was seen of upstreams lately. The records on disk know the rest.
#[derive(Debug)]
pub(super) struct Sent(Cache<(Box<str>, Digest), Known>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    InMemory,
    OnDisk,
}

impl Sent {
    pub(super) fn new() -> Self {
        Self(Cache::new(IN_MEMORY))
    }

    /// The upstream of this repository sent the content, or said that it has it.
    pub(super) fn note(&self, canonical: &Canonical) {
        let known = self.0.entry(key(canonical));
        known.or_insert(Known::InMemory);
    }

    /// As [`note`](Self::note), and that is about to be written. Returns false where it was written before.
    pub(super) fn note_written(&self, canonical: &Canonical) -> bool {
        let key = key(canonical);
        let before = self.0.get(&key);
        self.0.insert(key, Known::OnDisk);
        before != Some(Known::OnDisk)
    }

    pub(super) fn holds(&self, canonical: &Canonical) -> bool {
        self.0.contains_key(&key(canonical))
    }
}

fn key(canonical: &Canonical) -> (Box<str>, Digest) {
    (canonical.named().domain().into(), canonical.digest())
}
