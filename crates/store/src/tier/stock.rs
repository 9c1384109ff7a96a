//! Everything that is held, looked at as a whole. Pure.

use std::collections::{HashMap, HashSet};
use std::io;

use longshore_reference::Digest;

use super::index::Held;

/// What is held, and what of it names what.
#[derive(Debug, Default)]
pub(crate) struct Stock {
    items: HashMap<Digest, Item>,
}

/// A held blob or manifest.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) size: u64,
    /// When it was last used, in seconds since 1970.
    pub(crate) used: u32,
    /// When its file was last changed, in seconds since 1970.
    pub(crate) changed: i64,
    /// A pin holds it.
    pub(crate) pinned: bool,
    /// What it names, held or not.
    pub(crate) children: Vec<Digest>,
}

/// What became of the check of a blob.
#[derive(Debug)]
pub(crate) enum Finding {
    /// Its bytes are the digest's.
    Right,
    /// Its bytes are not.
    Wrong,
    /// No file is there, but something else, or one that cannot be read.
    Unreadable(io::Error),
    /// It was removed meanwhile.
    Gone,
}

impl Stock {
    pub(crate) fn get(&self, digest: &Digest) -> Option<&Item> {
        self.items.get(digest)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Digest, &Item)> {
        self.items.iter()
    }

    /// What is held of these and of all that they name, directly or not.
    pub(crate) fn reach(&self, from: impl IntoIterator<Item = Digest>) -> HashSet<Digest> {
        let mut next: Vec<_> = from.into_iter().collect();
        let mut reached = HashSet::new();
        while let Some(digest) = next.pop() {
            if let Some(item) = self.get(&digest)
                && reached.insert(digest)
            {
                next.extend(&item.children);
            }
        }
        reached
    }

    /// Bytes of these, each once.
    pub(crate) fn bytes(&self, digests: &HashSet<Digest>) -> u64 {
        let items = digests.iter().filter_map(|digest| self.get(digest));
        items.map(|item| item.size).sum()
    }
}

impl FromIterator<(Digest, Held, bool, Vec<Digest>)> for Stock {
    fn from_iter<T: IntoIterator<Item = (Digest, Held, bool, Vec<Digest>)>>(from: T) -> Self {
        let item = |(digest, held, pinned, children): (Digest, Held, bool, Vec<Digest>)| {
            let item = Item {
                size: held.stamp.size,
                used: held.used,
                changed: held.stamp.changed / 1_000_000_000,
                pinned,
                children,
            };
            (digest, item)
        };
        Self {
            items: from.into_iter().map(item).collect(),
        }
    }
}
