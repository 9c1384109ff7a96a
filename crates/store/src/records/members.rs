//! Which digests belong to which repository, in memory: what records say of them, and what manifests name.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use longshore_reference::{Digest, Named};
use tokio::sync::OnceCell;

use super::content::{Child, ContentRecord};

/// Digests in memory, of all repositories: about 25 MB. The repository that was not asked for longest goes first.
const DIGESTS_MAX: usize = 250_000;

/// The repositories that were asked for.
#[derive(Debug)]
pub(super) struct Members {
    repositories: Mutex<HashMap<Named, Arc<Repository>>>,
    /// Manifests whose children any of them knows.
    manifests: Mutex<HashSet<Digest>>,
    /// Digests that came since they were counted last, and how many there were then.
    held: AtomicUsize,
    digests_max: usize,
    clock: AtomicU64,
}

/// What belongs to one repository.
#[derive(Debug, Default)]
pub(super) struct Repository {
    known: Mutex<Known>,
    /// Set once the records of the local tier have been read.
    pub(super) scanned: OnceCell<()>,
    used: AtomicU64,
}

#[derive(Debug, Default)]
struct Known {
    digests: HashMap<Digest, Member>,
    /// Manifests whose children are among the digests.
    manifests: HashSet<Digest>,
    /// Legacy images are among them: layers that a manifest names may have records of where they come from.
    is_legacy: bool,
    /// Such layers whose records were looked for.
    looked_for: HashSet<Digest>,
}

/// What is known of a digest in a repository.
#[derive(Clone, Debug)]
enum Member {
    /// A manifest names this blob, and claims its size.
    Child(Option<NonZeroU64>),
    Recorded(Arc<ContentRecord>),
}

impl Members {
    pub(super) fn new() -> Self {
        Self {
            repositories: Mutex::default(),
            manifests: Mutex::default(),
            held: AtomicUsize::new(0),
            digests_max: DIGESTS_MAX,
            clock: AtomicU64::new(0),
        }
    }

    /// What is known of a repository.
    pub(super) fn of(&self, named: &Named) -> Arc<Repository> {
        let now = self.clock.fetch_add(1, Ordering::Relaxed);
        let mut repositories = lock(&self.repositories);
        let repository = match repositories.get(named) {
            Some(repository) => Arc::clone(repository),
            None => {
                let repository = Arc::<Repository>::default();
                repositories.insert(named.clone(), Arc::clone(&repository));
                repository
            }
        };
        drop(repositories);
        repository.used.store(now, Ordering::Relaxed);
        repository
    }

    /// Adds what a manifest names to its repository.
    pub(super) fn put_children(
        &self,
        repository: &Repository,
        manifest: Digest,
        children: &[Child],
    ) {
        lock(&self.manifests).insert(manifest);
        self.grown(repository.put_children(manifest, children));
    }

    /// A manifest is not held any more: what it names is known no longer for its sake. The repositories that have it are
    /// read from their records anew.
    pub(super) fn forget_manifest(&self, manifest: &Digest) {
        if lock(&self.manifests).remove(manifest) {
            lock(&self.repositories).retain(|_, known| !known.has_children_of(manifest));
        }
    }

    /// Forgets all repositories.
    pub(super) fn clear(&self) {
        lock(&self.repositories).clear();
        lock(&self.manifests).clear();
        self.held.store(0, Ordering::Relaxed);
    }

    /// Counts new digests, and forgets the repositories not asked for longest when there are too many.
    pub(super) fn grown(&self, by: usize) {
        // An empty repository costs as much as a few digests.
        if self.held.fetch_add(by + 1, Ordering::Relaxed) + by < self.digests_max {
            return;
        }
        let mut repositories = lock(&self.repositories);
        let mut all: Vec<_> = repositories
            .iter()
            .map(|(named, of)| (of.used.load(Ordering::Relaxed), of.len() + 1, named.clone()))
            .collect();
        all.sort_unstable_by_key(|(used, ..)| *used);
        let mut held: usize = all.iter().map(|(_, len, _)| len).sum();
        // The last one asked for stays whatever its size.
        all.pop();
        for (_, len, named) in all {
            if held <= self.digests_max / 4 * 3 {
                break;
            }
            repositories.remove(&named);
            held -= len;
        }
        let known = repositories.values();
        *lock(&self.manifests) = known
            .flat_map(|repository| repository.manifests())
            .collect();
        self.held.store(held, Ordering::Relaxed);
    }
}

impl Repository {
    pub(super) fn get(&self, digest: &Digest) -> Option<Arc<ContentRecord>> {
        match lock(&self.known).digests.get(digest)? {
            Member::Recorded(record) => Some(Arc::clone(record)),
            Member::Child(size) => Some(Arc::new(named(*size))),
        }
    }

    /// Adds what is newly known of a digest. Returns all that is known of it now.
    pub(super) fn put(&self, digest: Digest, record: ContentRecord) -> Arc<ContentRecord> {
        let mut known = lock(&self.known);
        let before = match known.digests.get(&digest) {
            Some(Member::Recorded(before)) => Some(Arc::clone(before)),
            Some(Member::Child(size)) => Some(Arc::new(named(*size))),
            None => None,
        };
        known.is_legacy |= record.origin.is_some();
        let record = Arc::new(record.or(before.as_deref()));
        let member = Member::Recorded(Arc::clone(&record));
        known.digests.insert(digest, member);
        record
    }

    /// Notes that the repository has legacy images.
    pub(super) fn mark_legacy(&self) {
        lock(&self.known).is_legacy = true;
    }

    /// Whether a record of its own has still to be looked for, for content that a manifest names.
    pub(super) fn may_have_origin(&self, digest: &Digest) -> bool {
        let mut known = lock(&self.known);
        known.is_legacy && known.looked_for.insert(*digest)
    }

    /// Whether the children of a manifest are known.
    pub(super) fn has_children_of(&self, manifest: &Digest) -> bool {
        lock(&self.known).manifests.contains(manifest)
    }

    fn manifests(&self) -> Vec<Digest> {
        lock(&self.known).manifests.iter().copied().collect()
    }

    /// Adds what a manifest names. Returns how many digests were new.
    fn put_children(&self, manifest: Digest, children: &[Child]) -> usize {
        let mut known = lock(&self.known);
        let before = known.digests.len();
        for child in children {
            let claimed = child.size.and_then(NonZeroU64::new);
            match (known.digests.entry(child.digest), &child.media_type) {
                (Entry::Vacant(vacant), None) => {
                    vacant.insert(Member::Child(claimed));
                }
                (Entry::Vacant(vacant), Some(media_type)) => {
                    let media_type = Some(Arc::clone(media_type));
                    let record = ContentRecord::named(child.size, media_type);
                    vacant.insert(Member::Recorded(Arc::new(record)));
                }
                (Entry::Occupied(mut occupied), media_type) => match (occupied.get(), media_type) {
                    // Claims that differ are worth nothing.
                    (Member::Child(size), None) if *size != claimed => {
                        occupied.insert(Member::Child(None));
                    }
                    (Member::Child(_), None) => {}
                    (Member::Child(_), Some(media_type)) => {
                        let media_type = Some(Arc::clone(media_type));
                        let record = ContentRecord::named(None, media_type);
                        occupied.insert(Member::Recorded(Arc::new(record)));
                    }
                    (Member::Recorded(record), Some(media_type)) if record.media_type.is_none() => {
                        let record = ContentRecord {
                            media_type: Some(Arc::clone(media_type)),
                            ..ContentRecord::clone(record)
                        };
                        occupied.insert(Member::Recorded(Arc::new(record)));
                    }
                    (Member::Recorded(_), _) => {}
                },
            }
        }
        known.manifests.insert(manifest);
        known.digests.len() - before
    }

    fn len(&self) -> usize {
        lock(&self.known).digests.len()
    }
}

/// What is known of a blob that a manifest names.
fn named(size: Option<NonZeroU64>) -> ContentRecord {
    ContentRecord::named(size.map(NonZeroU64::get), None)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn child(text: &str, size: u64) -> Child {
        Child {
            digest: Digest::sha256(text.as_bytes()),
            size: Some(size),
            media_type: None,
        }
    }

    #[test]
    fn claims_that_differ_are_none() {
        let repository = Repository::default();
        let layer = child("layer", 7);
        let size = || repository.get(&layer.digest).unwrap().size;
        repository.put_children(Digest::sha256(b"1"), std::slice::from_ref(&layer));
        assert_eq!(size(), Some(7));
        repository.put_children(Digest::sha256(b"2"), std::slice::from_ref(&layer));
        assert_eq!(size(), Some(7));
        repository.put_children(Digest::sha256(b"3"), &[child("layer", 8)]);
        assert_eq!(size(), None);
        repository.put(layer.digest, ContentRecord::verified(9));
        repository.put_children(Digest::sha256(b"4"), &[child("layer", 8)]);
        let record = repository.get(&layer.digest).unwrap();
        assert_eq!((record.size, record.verified), (Some(9), true));
    }

    #[test]
    fn the_repository_not_asked_for_longest_is_forgotten() {
        let members = Members {
            digests_max: 10,
            ..Members::new()
        };
        let named = |path: &str| Named::new("registry.example", path).unwrap();
        let layers = |of: &str| {
            (0..4)
                .map(|n| child(&format!("{of}{n}"), 1))
                .collect::<Vec<_>>()
        };
        for path in ["a", "b", "c"] {
            let grown = members
                .of(&named(path))
                .put_children(Digest::sha256(path.as_bytes()), &layers(path));
            members.grown(grown);
            members.of(&named("a"));
        }
        let knows = |path: &str| {
            let layer = &layers(path)[0];
            members.of(&named(path)).get(&layer.digest).is_some()
        };
        assert!(!knows("b"));
        assert!(knows("c"));
    }
}
