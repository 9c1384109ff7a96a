//! `prune`: content goes before its turn, or because nothing refers to it.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, SystemTime};

use longshore_reference::Digest;

use super::records::bytes_of;
use super::{Inventory, InventoryError};
use crate::tier::{Stamp, Stock, layout};

/// What was removed, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pruned {
    /// What went, in this order.
    pub removed: Vec<Removed>,
    /// Bytes that are left.
    pub left: u64,
}

/// A blob or manifest that went.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Removed {
    /// Its digest.
    pub digest: Digest,
    /// Its size.
    pub bytes: u64,
    /// Tags that stand for it.
    pub tags: Vec<String>,
}

impl Pruned {
    /// Bytes that went.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.removed.iter().map(|removed| removed.bytes).sum()
    }
}

impl Inventory {
    /// Removes what eviction would, until no more than so many bytes are left. What is pinned or waits for its upload
    /// stays. With `dry_run` nothing is removed.
    ///
    /// # Errors
    /// Records cannot be read, or a file cannot be removed.
    pub fn evict_to(self, bytes: u64, dry_run: bool) -> Result<Pruned, InventoryError> {
        let mut pruned = Pruned {
            left: self.tier.usage().bytes,
            ..Pruned::default()
        };
        let names = self.names()?;
        while pruned.left > bytes
            && let Some(victims) = self.tier.choose_victims()
        {
            for (digest, stamp) in victims {
                self.take(
                    &digest,
                    Some(&stamp),
                    stamp.size,
                    dry_run,
                    &names,
                    &mut pruned,
                )?;
            }
        }
        self.end(&pruned, dry_run)?;
        Ok(pruned)
    }

    /// Removes what belongs to no repository, is not pinned, does not wait for its upload, and is at least so old: what
    /// is younger may be about to be recorded. With `dry_run` nothing is removed.
    ///
    /// # Errors
    /// Records cannot be read, or a file cannot be removed.
    pub fn remove_unreferenced(
        self,
        age_min: Duration,
        dry_run: bool,
    ) -> Result<Pruned, InventoryError> {
        let stock = self.tier.stock();
        let repositories = self.repositories()?;
        let pinned = stock.iter().filter(|(_, item)| item.pinned);
        let roots = repositories
            .iter()
            .flat_map(|repository| repository.roots());
        let reached = stock.reach(roots.chain(pinned.map(|(digest, _)| *digest)));
        let newest = self.now().checked_sub(age_min);
        let newest = newest
            .and_then(|newest| newest.duration_since(SystemTime::UNIX_EPOCH).ok())
            .map_or(i64::MIN, |since| {
                i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
            });
        let alone = stock.iter().filter(|(digest, item)| {
            !reached.contains(digest) && item.changed <= newest && !self.tier.waits(digest)
        });
        let alone: HashSet<Digest> = alone.map(|(digest, _)| *digest).collect();
        let mut pruned = Pruned {
            left: self.tier.usage().bytes,
            ..Pruned::default()
        };
        for digest in manifests_first(&stock, &alone) {
            let size = stock.get(&digest).map_or(0, |item| item.size);
            self.take(&digest, None, size, dry_run, &HashMap::new(), &mut pruned)?;
        }
        self.end(&pruned, dry_run)?;
        Ok(pruned)
    }

    fn take(
        &self,
        digest: &Digest,
        only: Option<&Stamp>,
        size: u64,
        dry_run: bool,
        names: &HashMap<Digest, Vec<String>>,
        pruned: &mut Pruned,
    ) -> Result<(), InventoryError> {
        if !dry_run {
            let removed = self.tier.remove_blob(digest, only);
            let removed =
                removed.map_err(|cause| self.failed("remove", &layout::blob(digest), cause))?;
            // Gone, or put there anew.
            if removed.is_none() {
                return Ok(());
            }
        }
        pruned.left = pruned.left.saturating_sub(size);
        pruned.removed.push(Removed {
            digest: *digest,
            bytes: size,
            tags: names.get(digest).cloned().unwrap_or_default(),
        });
        Ok(())
    }

    fn end(&self, pruned: &Pruned, dry_run: bool) -> Result<(), InventoryError> {
        match dry_run || pruned.removed.is_empty() {
            true => Ok(()),
            false => self.publish(),
        }
    }

    /// The tags that stand for each manifest.
    fn names(&self) -> Result<HashMap<Digest, Vec<String>>, InventoryError> {
        let mut names = HashMap::<_, Vec<_>>::new();
        for repository in self.repositories()? {
            for (tag, record) in &repository.tags {
                let tagged = repository.tagged(tag).to_string();
                names.entry(bytes_of(record)).or_default().push(tagged);
            }
        }
        Ok(names)
    }
}

/// These digests, what names others before what it names: indexes, then images, then blobs.
pub(super) fn manifests_first(stock: &Stock, digests: &HashSet<Digest>) -> Vec<Digest> {
    let children = |digest: &Digest| stock.get(digest).map_or(&[][..], |item| &item.children);
    let rank = |digest: &Digest| {
        let children = children(digest);
        let is_index = children.iter().any(|child| {
            stock
                .get(child)
                .is_some_and(|item| !item.children.is_empty())
        });
        match (is_index, children.is_empty()) {
            (true, _) => 0,
            (false, false) => 1,
            (false, true) => 2,
        }
    };
    let mut ordered: Vec<_> = digests.iter().copied().collect();
    ordered.sort_by_key(|digest| (rank(digest), digest.to_string()));
    ordered
}
