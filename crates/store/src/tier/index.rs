//! What the local tier holds, in memory: blobs, the images that name them, and the order in which they may go.
//!
//! Pure: no I/O, and the time is passed in. Nothing is served because the index says so: `open()` is the look-up, the
//! index only says whether a file is the one that was committed.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;
use longshore_reference::Digest;

use super::policy::{Id, Policy, Queue};
use super::stamp::Stamp;

/// A use counts once in this time: the requests of one pull are one use. Seconds.
pub(crate) const USE_SECS: u32 = 300;
/// Children that are not held but named by manifests that are: more are not followed.
const ABSENT_MAX: usize = 200_000;
/// No node.
const NONE: Id = Id::MAX;

/// Bytes and number of the blobs that are held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) bytes: u64,
    pub(crate) objects: u64,
}

/// A held blob as it is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) stamp: Stamp,
    /// The bytes had the digest when the file had this stamp.
    pub(crate) trusted: bool,
    /// When it was last used, in seconds since 1970.
    pub(crate) used: u32,
    /// When all its bytes were last hashed, in seconds since 1970.
    pub(crate) scrubbed: u32,
}

/// A blob that is held, or that a held manifest names.
#[derive(Debug)]
struct Node {
    digest: Digest,
    held: Option<Held>,
    /// The first held manifest that names it; the others are in `Index::parents`.
    parent: Id,
    /// Pins that hold it.
    pins: u16,
    /// What it names, if it is a manifest.
    image: Option<Box<[Id]>>,
}

/// The index.
///
/// *Invariants*: only held manifests have children; an image or a blob that no held manifest names is in the policy's
/// queues, any other is not.
#[derive(Debug, Default)]
pub(crate) struct Index {
    nodes: Vec<Node>,
    free: Vec<Id>,
    ids: HashTable<Id>,
    hasher: RandomState,
    /// Parents beyond the first.
    parents: HashMap<Id, Vec<Id>>,
    /// Pinned references, and what they stand for.
    pinned: HashMap<Box<str>, Id>,
    policy: Policy,
    usage: Usage,
    absent: usize,
}

/// What a walk over the files has met: a mark for each node.
#[derive(Debug, Default)]
pub(crate) struct Seen(Vec<bool>);

/// What goes at once, in this order: a manifest before what it names.
pub(crate) type Victims = Vec<(Digest, Stamp)>;

impl Index {
    /// Bytes and number of what is held.
    pub(crate) fn usage(&self) -> Usage {
        self.usage
    }

    /// What is recorded of a held blob.
    pub(crate) fn held(&self, digest: &Digest) -> Option<Held> {
        self.node(self.find(digest)?)?.held
    }

    /// Whether a held manifest names a blob, which must not go before it.
    pub(crate) fn is_needed(&self, digest: &Digest) -> bool {
        let node = self.find(digest).and_then(|id| self.node(id));
        node.is_some_and(|node| node.image.is_none() && node.parent != NONE)
    }

    /// A blob was committed or found, or its record changes.
    pub(crate) fn insert(&mut self, digest: &Digest, held: Held) {
        let id = self.find_or_add(digest);
        let Some(node) = self.node_mut(id) else {
            return;
        };
        let before = node.held.replace(held);
        match before {
            Some(before) => self.usage.bytes -= before.stamp.size,
            None => {
                self.usage.objects += 1;
                self.absent -= 1;
            }
        }
        self.usage.bytes += held.stamp.size;
        if before.is_none() {
            self.seat(id);
        }
    }

    /// A blob is gone. Returns its size.
    pub(crate) fn remove(&mut self, digest: &Digest) -> Option<u64> {
        let id = self.find(digest)?;
        let held = self.node_mut(id)?.held.take()?;
        self.usage.bytes -= held.stamp.size;
        self.usage.objects -= 1;
        self.absent += 1;
        self.policy.remove(id);
        self.unlink_children(id);
        self.free_unless_named(id);
        Some(held.stamp.size)
    }

    /// A held manifest names these. Returns whether that was news.
    pub(crate) fn image(&mut self, digest: &Digest, children: &[Digest]) -> bool {
        let Some(id) = self.find(digest) else {
            return false;
        };
        let known = self.node(id).map(|node| (node.held, node.image.is_some()));
        if !matches!(known, Some((Some(_), false))) {
            return false;
        }
        let mut ids = Vec::with_capacity(children.len());
        for child in children {
            let child = match self.find(child) {
                Some(child) => child,
                None if self.absent >= ABSENT_MAX => continue,
                None => self.find_or_add(child),
            };
            if child != id {
                ids.push(child);
            }
        }
        ids.sort_unstable();
        ids.dedup();
        for child in &ids {
            self.link(id, *child);
        }
        if let Some(node) = self.node_mut(id) {
            node.image = Some(ids.into_boxed_slice());
        }
        self.seat(id);
        true
    }

    /// A blob or manifest is used: so is all that the manifest names. Returns whether this use counts.
    pub(crate) fn touch(&mut self, digest: &Digest, now: u32) -> bool {
        let Some(id) = self.find(digest) else {
            return false;
        };
        let mut next = vec![id];
        let mut counted = false;
        // Indexes may name each other, and what is counted is not counted again: it ends.
        while let Some(id) = next.pop() {
            let Some(Node {
                held: Some(held),
                image,
                ..
            }) = self.nodes.get_mut(id as usize)
            else {
                continue;
            };
            if now
                .checked_sub(held.used)
                .is_some_and(|since| since < USE_SECS)
            {
                continue;
            }
            held.used = now;
            counted = true;
            next.extend(image.iter().flatten());
            self.policy.touch(id);
        }
        counted
    }

    /// A pinned reference stands for this now. Returns whether that was news.
    pub(crate) fn pin(&mut self, name: &str, digest: &Digest) -> bool {
        let id = self.find_or_add(digest);
        match self.pinned.insert(name.into(), id) {
            Some(before) if before == id => return false,
            Some(before) => self.unpin(before),
            None => {}
        }
        if let Some(node) = self.node_mut(id) {
            node.pins = node.pins.saturating_add(1);
        }
        true
    }

    /// Forgets the pinned references for which `stays` is false.
    pub(crate) fn retain_pins(&mut self, stays: impl Fn(&str) -> bool) {
        let gone: Vec<_> = self.pinned.extract_if(|name, _| !stays(name)).collect();
        gone.into_iter().for_each(|(_, id)| self.unpin(id));
    }

    /// Chooses what goes next: a whole image, or a blob that no held manifest names. What `waits` says, stays.
    ///
    /// It stays in the index until [`remove`](Self::remove) is called for each, and is not chosen again before it is
    /// put [`back`](Self::put_back).
    pub(crate) fn evict(&mut self, waits: impl Fn(&Digest) -> bool) -> Option<Victims> {
        let mut policy = std::mem::take(&mut self.policy);
        let chosen = policy.evict(|id| self.may_go(id, &waits), |id| self.name(id));
        self.policy = policy;
        let chosen = chosen?;
        let images = self.image_and_above(chosen);
        let mut victims: Vec<Id> = images.clone();
        for id in &images {
            let children = self.node(*id).and_then(|node| node.image.as_deref());
            for child in children.into_iter().flatten() {
                let free = self.node(*child).is_some_and(|node| {
                    node.held.is_some() && node.image.is_none() && node.pins == 0
                });
                if free
                    && !victims.contains(child)
                    && self
                        .parents_of(*child)
                        .all(|parent| images.contains(&parent))
                {
                    victims.push(*child);
                }
            }
        }
        let victims = victims.into_iter().filter_map(|id| self.node(id));
        let victims = victims.filter_map(|node| Some((node.digest, node.held?.stamp)));
        Some(victims.collect())
    }

    /// What was chosen could not be removed: it may be chosen again.
    pub(crate) fn put_back(&mut self, digest: &Digest) {
        if let Some(id) = self.find(digest) {
            self.seat(id);
        }
    }

    /// The held blob that was hashed longest ago; one that is not trusted was never.
    pub(crate) fn stalest(&self) -> Option<(Digest, Held)> {
        let held = self.nodes.iter();
        let held = held.filter_map(|node| Some((node.digest, node.held?)));
        held.min_by_key(|(_, held)| (held.trusted, held.scrubbed))
    }

    /// Held blobs that name nothing and that no held manifest names.
    pub(crate) fn orphans(&self) -> Vec<(Digest, Stamp)> {
        let alone = |node: &&Node| node.image.is_none() && node.parent == NONE;
        let alone = self.nodes.iter().filter(alone);
        alone
            .filter_map(|node| Some((node.digest, node.held?.stamp)))
            .collect()
    }

    /// All that is held: its record, whether a pin holds it, and what it names.
    pub(crate) fn stock(&self) -> impl Iterator<Item = (Digest, Held, bool, Vec<Digest>)> + '_ {
        self.nodes.iter().filter_map(|node| {
            let children = node.image.iter().flatten();
            let children = children.filter_map(|id| Some(self.node(*id)?.digest));
            Some((node.digest, node.held?, node.pins > 0, children.collect()))
        })
    }

    /// What is recorded of a blob that a walk over the files met.
    pub(crate) fn see(&self, digest: &Digest, seen: &mut Seen) -> Option<Held> {
        let id = self.find(digest)?;
        if seen.0.len() < self.nodes.len() {
            seen.0.resize(self.nodes.len(), false);
        }
        if let Some(mark) = seen.0.get_mut(id as usize) {
            *mark = true;
        }
        self.node(id)?.held
    }

    /// Digests of what is held and was not met. What came or went during the walk may be among them, or missing.
    pub(crate) fn unseen(&self, seen: &Seen) -> Vec<Digest> {
        let marks = seen.0.iter().copied().chain(std::iter::repeat(false));
        let nodes = self.nodes.iter().zip(marks);
        let unseen = nodes.filter(|(node, seen)| node.held.is_some() && !seen);
        unseen.map(|(node, _)| node.digest).collect()
    }

    /// Everything, for a snapshot: in an order in which [`restore`](Self::restore) and the calls above bring it back.
    pub(crate) fn visit(&self, mut visitor: impl FnMut(Fact<'_>)) {
        self.policy
            .ghosts()
            .for_each(|name| visitor(Fact::Ghost(name)));
        for node in &self.nodes {
            if let Some(held) = node.held {
                visitor(Fact::Held(&node.digest, held));
            }
        }
        for id in self.policy.order() {
            let (queue, uses) = self.policy.seat(id);
            if let Some(node) = self.node(id) {
                visitor(Fact::Seat(&node.digest, queue, uses));
            }
        }
        for node in &self.nodes {
            if let Some(image) = &node.image {
                let children = image.iter().filter_map(|id| Some(self.node(*id)?.digest));
                visitor(Fact::Image(&node.digest, children.collect()));
            }
        }
        for (name, id) in &self.pinned {
            if let Some(node) = self.node(*id) {
                visitor(Fact::Pin(name, &node.digest));
            }
        }
    }

    /// Puts an image where it was among the others before a restart.
    pub(crate) fn restore_seat(&mut self, digest: &Digest, queue: Queue, uses: u8) {
        if let Some(id) = self.find(digest)
            && self.policy.seat(id).0 != Queue::Out
        {
            self.policy.restore(id, queue, uses);
        }
    }

    /// Remembers an evicted image, as before a restart.
    pub(crate) fn restore_ghost(&mut self, name: u64) {
        self.policy.restore_ghost(name);
    }

    /// Gives back memory that reading the index took and what is held does not need.
    pub(crate) fn shrink(&mut self) {
        let nodes = self.nodes.len();
        self.nodes.shrink_to(nodes + nodes / 16);
        self.policy.shrink();
    }

    /// Memory that the index uses, in bytes.
    #[cfg(test)]
    pub(crate) fn memory_bytes(&self) -> usize {
        let images = self.nodes.iter().filter_map(|node| node.image.as_ref());
        let edges: usize = images.map(|image| image.len()).sum();
        let more = self.parents.values();
        let more: usize = more
            .map(|more| 40 + more.capacity() * size_of::<Id>())
            .sum();
        self.nodes.capacity() * size_of::<Node>()
            + self.ids.allocation_size()
            + edges * size_of::<Id>()
            + more
            + self.policy.memory_bytes()
    }

    /// Makes room for this many more blobs.
    pub(crate) fn reserve(&mut self, blobs: usize) {
        let hasher = self.hasher.clone();
        let nodes = &self.nodes;
        self.ids.reserve(blobs, |id| hash_of(&hasher, nodes, *id));
        self.nodes.reserve_exact(blobs);
    }

    fn find(&self, digest: &Digest) -> Option<Id> {
        let hash = self.hasher.hash_one(digest.as_bytes());
        let is_it = |id: &Id| self.node(*id).is_some_and(|node| node.digest == *digest);
        self.ids.find(hash, is_it).copied()
    }

    fn find_or_add(&mut self, digest: &Digest) -> Id {
        if let Some(id) = self.find(digest) {
            return id;
        }
        let node = Node {
            digest: *digest,
            held: None,
            parent: NONE,
            pins: 0,
            image: None,
        };
        let id = match self.free.pop() {
            Some(id) => {
                if let Some(place) = self.nodes.get_mut(id as usize) {
                    *place = node;
                }
                id
            }
            None => {
                if self.nodes.len() == self.nodes.capacity() {
                    // Doubling would waste up to half of the memory.
                    self.nodes.reserve_exact(64 + self.nodes.len() / 8);
                }
                self.nodes.push(node);
                Id::try_from(self.nodes.len() - 1).unwrap_or(NONE)
            }
        };
        self.absent += 1;
        let (hasher, nodes) = (&self.hasher, &self.nodes);
        let hash = hasher.hash_one(digest.as_bytes());
        self.ids
            .insert_unique(hash, id, |id| hash_of(hasher, nodes, *id));
        id
    }

    fn node(&self, id: Id) -> Option<&Node> {
        self.nodes.get(id as usize)
    }

    fn node_mut(&mut self, id: Id) -> Option<&mut Node> {
        self.nodes.get_mut(id as usize)
    }

    /// What an image is remembered by after it went.
    fn name(&self, id: Id) -> u64 {
        let bytes = self.node(id).map(|node| node.digest.as_bytes());
        let first = bytes.and_then(|bytes| bytes.first_chunk::<8>());
        first.map_or(0, |first| u64::from_le_bytes(*first))
    }

    /// Puts what may be chosen into the queues, and takes out what goes with its image only.
    fn seat(&mut self, id: Id) {
        let Some(node) = self.node(id).filter(|node| node.held.is_some()) else {
            return;
        };
        let alone = node.image.is_some() || node.parent == NONE;
        match (alone, self.policy.seat(id).0) {
            (true, Queue::Out) => self.policy.insert(id, self.name(id)),
            (false, Queue::Small | Queue::Main) => self.policy.remove(id),
            (true, Queue::Small | Queue::Main) | (false, Queue::Out) => {}
        }
    }

    fn link(&mut self, parent: Id, child: Id) {
        let Some(node) = self.node_mut(child) else {
            return;
        };
        match node.parent {
            NONE => node.parent = parent,
            _ => self.parents.entry(child).or_default().push(parent),
        }
        self.seat(child);
    }

    fn unlink_children(&mut self, parent: Id) {
        let Some(image) = self.node_mut(parent).and_then(|node| node.image.take()) else {
            return;
        };
        for child in image {
            let is_first = self.node(child).is_some_and(|node| node.parent == parent);
            let more = self.parents.get_mut(&child);
            match more {
                Some(more) => {
                    let next = match is_first {
                        true => more.pop(),
                        false => {
                            more.retain(|other| *other != parent);
                            None
                        }
                    };
                    if more.is_empty() {
                        self.parents.remove(&child);
                    }
                    if let (Some(next), Some(node)) = (next, self.node_mut(child)) {
                        node.parent = next;
                    }
                }
                None if is_first => {
                    if let Some(node) = self.node_mut(child) {
                        node.parent = NONE;
                    }
                    self.seat(child);
                    self.free_unless_named(child);
                }
                None => {}
            }
        }
    }

    fn unpin(&mut self, id: Id) {
        if let Some(node) = self.node_mut(id) {
            node.pins = node.pins.saturating_sub(1);
        }
        self.free_unless_named(id);
    }

    /// Drops the node of a blob that is not held and that nothing names.
    fn free_unless_named(&mut self, id: Id) {
        let Some(node) = self.node(id) else {
            return;
        };
        if node.held.is_some() || node.parent != NONE || node.pins > 0 {
            return;
        }
        let hash = self.hasher.hash_one(node.digest.as_bytes());
        if let Ok(entry) = self.ids.find_entry(hash, |other| *other == id) {
            entry.remove();
            self.free.push(id);
            self.absent -= 1;
        }
    }

    fn parents_of(&self, id: Id) -> impl Iterator<Item = Id> + '_ {
        let first = self.node(id).map(|node| node.parent);
        let more = self.parents.get(&id).into_iter().flatten().copied();
        first
            .into_iter()
            .filter(|parent| *parent != NONE)
            .chain(more)
    }

    /// Whether an image may go: nothing above it is pinned, and none of its blobs waits for anything.
    fn may_go(&self, id: Id, waits: &impl Fn(&Digest) -> bool) -> bool {
        let mut seen = vec![id];
        let mut next = 0;
        while let Some(id) = seen.get(next).copied() {
            next += 1;
            let Some(node) = self.node(id) else {
                continue;
            };
            if node.pins > 0 || waits(&node.digest) {
                return false;
            }
            for parent in self.parents_of(id) {
                if !seen.contains(&parent) {
                    seen.push(parent);
                }
            }
        }
        let children = self.node(id).and_then(|node| node.image.as_deref());
        let children = children.into_iter().flatten();
        let mut children = children.filter_map(|child| self.node(*child));
        !children.any(|child| child.held.is_some() && waits(&child.digest))
    }

    /// An image and, before it, the indexes of which it is the last image that is held.
    fn image_and_above(&self, id: Id) -> Vec<Id> {
        let mut images = vec![id];
        let mut next = 0;
        while let Some(id) = images.get(next).copied() {
            next += 1;
            for parent in self.parents_of(id) {
                let children = self.node(parent).and_then(|node| node.image.as_deref());
                let mut others = children.into_iter().flatten().filter(|child| {
                    !images.contains(child)
                        && self
                            .node(**child)
                            .is_some_and(|node| node.held.is_some() && node.image.is_some())
                });
                if others.next().is_none() && !images.contains(&parent) {
                    images.push(parent);
                }
            }
        }
        images.reverse();
        images
    }
}

fn hash_of(hasher: &RandomState, nodes: &[Node], id: Id) -> u64 {
    let node = nodes.get(id as usize);
    node.map_or(0, |node| hasher.hash_one(node.digest.as_bytes()))
}

/// One thing that an index knows.
#[derive(Debug)]
pub(crate) enum Fact<'a> {
    /// A blob that is held.
    Held(&'a Digest, Held),
    /// Where an image is in the policy's queues, and how often it was used.
    Seat(&'a Digest, Queue, u8),
    /// What a manifest names.
    Image(&'a Digest, Vec<Digest>),
    /// What a pinned reference stands for.
    Pin(&'a str, &'a Digest),
    /// The name of an image that was evicted.
    Ghost(u64),
}
