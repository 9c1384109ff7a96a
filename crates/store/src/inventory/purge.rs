//! `purge` and `refresh`: what a reference stands for is forgotten, or asked for again.

use std::collections::HashSet;

use longshore_reference::{Canonical, Digest, Reference, Tagged};

use super::prune::manifests_first;
use super::records::{Repository, bytes_of, read, repository};
use super::{Inventory, InventoryError};
use crate::records::TagRecord;
use crate::tier::{Stock, layout};

/// What was purged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Purged {
    /// Tags that were forgotten.
    pub tags: Vec<Tagged>,
    /// Blobs and manifests that were removed: nothing else refers to them.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Inventory {
    /// Makes servers ask upstream about a tag at the next request, however recently they did.
    ///
    /// # Errors
    /// The tag is not held, or its record cannot be written.
    pub fn refresh(&self, tagged: &Tagged) -> Result<(), InventoryError> {
        let key = layout::tag(tagged);
        let record = read::<TagRecord>(&self.tier, &key)
            .map_err(|cause| self.failed("read", &key, cause))?;
        let Some(record) = record else {
            return Err(absent(tagged));
        };
        let record = TagRecord {
            unchecked: true,
            ..record
        };
        // The bucket's copy stays as it is: other replicas have no reason to ask.
        let line = serde_json::to_vec(&record).unwrap_or_default();
        self.tier
            .copy_record(&key, &line)
            .map_err(|cause| self.failed("write", &key, cause))?;
        self.publish()
    }

    /// Forgets what a reference stands for: the tag, or the manifest and all tags of the repository that stand for it.
    /// What nothing else refers to is removed. Pinned content stays.
    ///
    /// # Errors
    /// It is not held, or its files cannot be removed.
    pub fn purge(self, reference: &Reference) -> Result<Purged, InventoryError> {
        let named = reference.named();
        let ours = repository(&self.tier, named.clone())
            .map_err(|cause| self.failed("read", &layout::contents(named), cause))?;
        let stock = self.tier.stock();
        let Some(going) = Going::of(&ours, reference, &stock) else {
            return Err(absent(reference));
        };
        for tagged in &going.tags {
            self.drop(&layout::tag(tagged))?;
        }
        for digest in &going.contents {
            self.drop(&layout::content(&Canonical::new(named.clone(), *digest)))?;
            for place in self
                .tier
                .names(&layout::lists(named, Some(digest)))
                .unwrap_or_default()
            {
                self.drop(&format!("{}/{place}", layout::lists(named, Some(digest))))?;
            }
        }
        let mut purged = Purged {
            tags: going.tags,
            ..Purged::default()
        };
        let others = self.repositories()?;
        let pinned = stock.iter().filter(|(_, item)| item.pinned);
        let roots = others.iter().flat_map(|other| other.roots());
        let needed = stock.reach(roots.chain(pinned.map(|(digest, _)| *digest)));
        let free = going.held.difference(&needed).copied().collect();
        for digest in manifests_first(&stock, &free) {
            let removed = self.tier.remove_blob(&digest, None);
            let removed =
                removed.map_err(|cause| self.failed("remove", &layout::blob(&digest), cause))?;
            purged.objects += u64::from(removed.is_some());
            purged.bytes += removed.unwrap_or(0);
        }
        self.publish()?;
        Ok(purged)
    }

    fn drop(&self, key: &str) -> Result<(), InventoryError> {
        let removed = self.tier.remove(key);
        removed.map_err(|cause| self.failed("remove", key, cause))
    }
}

/// What goes with a reference.
struct Going {
    tags: Vec<Tagged>,
    /// Digests whose records go.
    contents: Vec<Digest>,
    /// What may be removed, if nothing else refers to it.
    held: HashSet<Digest>,
}

impl Going {
    /// `None` where nothing is known of the reference.
    fn of(ours: &Repository, reference: &Reference, stock: &Stock) -> Option<Self> {
        let goes = |record: &TagRecord, digest: Digest| {
            record.digest == digest || bytes_of(record) == digest
        };
        let (is_tag, digest) = match reference {
            Reference::Tagged(tagged) => {
                let found = ours.tags.iter().find(|(tag, _)| tag == tagged.tag());
                (true, found?.1.digest)
            }
            Reference::Canonical(canonical) => (false, canonical.digest()),
        };
        let (tags, stay): (Vec<_>, Vec<_>) =
            ours.tags.iter().partition(|(tag, record)| match reference {
                Reference::Tagged(tagged) => tag == tagged.tag(),
                Reference::Canonical(_) => goes(record, digest),
            });
        let record = ours.contents.iter().find(|(other, _)| *other == digest);
        if tags.is_empty() && record.is_none() && !ours.reach(stock).contains(&digest) {
            return None;
        }
        let mut going = Self {
            tags: tags.iter().map(|(tag, _)| ours.tagged(tag)).collect(),
            contents: Vec::new(),
            held: HashSet::new(),
        };
        if is_tag && stay.iter().any(|(_, record)| goes(record, digest)) {
            return Some(going);
        }
        let stored = record
            .and_then(|(_, record)| record.stored)
            .unwrap_or(digest);
        going.held = stock.reach([stored]);
        let named = |other: &Digest| *other == digest || going.held.contains(other);
        let rest = ours.contents.iter().filter(|(other, _)| !named(other));
        let rest = rest.map(|(other, record)| record.stored.unwrap_or(*other));
        let kept = stock.reach(stay.iter().map(|(_, record)| bytes_of(record)).chain(rest));
        let contents = ours.contents.iter().map(|(other, _)| *other);
        going.contents = contents
            .filter(|other| named(other) && !kept.contains(other))
            .collect();
        Some(going)
    }
}

fn absent(reference: &impl ToString) -> InventoryError {
    InventoryError::Absent {
        reference: reference.to_string(),
    }
}
