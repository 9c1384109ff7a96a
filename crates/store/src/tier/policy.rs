//! Which image is evicted next: S3-FIFO over images, whatever their size.
//!
//! A new image waits in a small queue. One that is used again while it waits moves to the main queue, where an image
//! that was used gets another round; one that is not leaves, and only its name is remembered for a while, so that it
//! enters the main queue at once when it comes back. A scan passes through the small queue and leaves the rest alone.
//!
//! Pure: no clock, no I/O. `benches/replay.rs` compares it with FIFO, LRU and SIEVE.

use std::collections::{HashSet, VecDeque};

/// The number of an image in the index.
pub(crate) type Id = u32;

/// The share of all images that the small queue may have before it is the one that gives: 5 %.
const SMALL_PERCENT: usize = 5;
/// How often an image is seen to be used, at most.
const USES_MAX: u8 = 7;
/// Names of evicted images that are remembered at least, however few are held.
const GHOSTS_MIN: usize = 16;

/// Where an image is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Queue {
    /// In none.
    #[default]
    Out,
    /// Among the new ones.
    Small,
    /// Among those that were used again.
    Main,
}

/// What is known of one image.
#[derive(Clone, Copy, Debug, Default)]
struct Seat {
    queue: Queue,
    uses: u8,
    /// Tells the image's place in a queue from places that it has left.
    turn: u32,
}

/// The queues. Insertion, use and removal take constant time.
#[derive(Debug, Default)]
pub(crate) struct Policy {
    seats: Vec<Seat>,
    small: Line,
    main: Line,
    ghosts: Ghosts,
}

/// A queue from which images also leave in the middle: their places are skipped later.
#[derive(Debug, Default)]
struct Line {
    places: VecDeque<(Id, u32)>,
    len: usize,
}

/// Names of images that were evicted from the small queue.
#[derive(Debug, Default)]
struct Ghosts {
    order: VecDeque<u64>,
    names: HashSet<u64>,
}

impl Policy {
    /// Adds an image that came; `name` is what it is known by when it comes back.
    pub(crate) fn insert(&mut self, id: Id, name: u64) {
        let queue = match self.ghosts.remove(name) {
            true => Queue::Main,
            false => Queue::Small,
        };
        self.restore(id, queue, 0);
    }

    /// Adds an image at the end of a queue, as it was before a restart.
    pub(crate) fn restore(&mut self, id: Id, queue: Queue, uses: u8) {
        self.remove(id);
        let at = id as usize;
        if self.seats.len() <= at {
            self.seats.resize(at + 1, Seat::default());
        }
        if let Some(seat) = self.seats.get_mut(at) {
            seat.uses = uses.min(USES_MAX);
        }
        self.push(id, queue);
    }

    /// The image was used.
    pub(crate) fn touch(&mut self, id: Id) {
        if let Some(seat) = self.seats.get_mut(id as usize) {
            seat.uses = (seat.uses + 1).min(USES_MAX);
        }
    }

    /// The image is gone.
    pub(crate) fn remove(&mut self, id: Id) {
        let Some(seat) = self.seats.get_mut(id as usize) else {
            return;
        };
        let line = match seat.queue {
            Queue::Out => return,
            Queue::Small => &mut self.small,
            Queue::Main => &mut self.main,
        };
        seat.queue = Queue::Out;
        seat.turn = seat.turn.wrapping_add(1);
        line.len -= 1;
        line.tidy(&self.seats);
    }

    /// Where an image is, and how often it was seen to be used.
    pub(crate) fn seat(&self, id: Id) -> (Queue, u8) {
        let seat = self.seats.get(id as usize).copied().unwrap_or_default();
        (seat.queue, seat.uses)
    }

    /// All images, in the order in which [`restore`](Self::restore) must be called.
    pub(crate) fn order(&self) -> impl Iterator<Item = Id> + '_ {
        let places = self.main.places.iter().chain(&self.small.places);
        places
            .filter(|(id, turn)| is_at(&self.seats, *id, *turn))
            .map(|(id, _)| *id)
    }

    /// Takes out the image to be evicted. `free` says which may be; `name` is what it is remembered by.
    pub(crate) fn evict(
        &mut self,
        free: impl Fn(Id) -> bool,
        name: impl Fn(Id) -> u64,
    ) -> Option<Id> {
        // Every image is met at most as often as it was used, and once more; then none may go.
        let mut tries = (usize::from(USES_MAX) + 2) * (self.small.len + self.main.len) + 1;
        while tries > 0 {
            tries -= 1;
            let all = self.small.len + self.main.len;
            let from_small = self.small.len * 100 > all * SMALL_PERCENT || self.main.len == 0;
            let line = match from_small {
                true => &mut self.small,
                false => &mut self.main,
            };
            let id = line.pop(&self.seats)?;
            let Some(seat) = self.seats.get_mut(id as usize) else {
                continue;
            };
            seat.queue = Queue::Out;
            if !free(id) {
                self.push(id, Queue::Main);
                continue;
            }
            if seat.uses == 0 {
                if from_small {
                    let ghosts_max = self.main.len.max(GHOSTS_MIN);
                    self.ghosts.insert(name(id), ghosts_max);
                }
                seat.turn = seat.turn.wrapping_add(1);
                return Some(id);
            }
            match from_small {
                true => seat.uses = 0,
                false => seat.uses -= 1,
            }
            self.push(id, Queue::Main);
        }
        None
    }

    /// Gives back memory that is not needed.
    pub(crate) fn shrink(&mut self) {
        self.seats.shrink_to_fit();
        for line in [&mut self.small, &mut self.main] {
            line.places
                .retain(|(id, turn)| is_at(&self.seats, *id, *turn));
            line.places.shrink_to_fit();
        }
    }

    /// Memory that the queues use, in bytes; remembered names not counted.
    #[cfg(test)]
    pub(crate) fn memory_bytes(&self) -> usize {
        let places = self.small.places.capacity() + self.main.places.capacity();
        self.seats.capacity() * size_of::<Seat>() + places * size_of::<(Id, u32)>()
    }

    /// The names that are remembered, the oldest first.
    pub(crate) fn ghosts(&self) -> impl Iterator<Item = u64> + '_ {
        self.ghosts.order.iter().copied()
    }

    /// Remembers a name, as it was before a restart.
    pub(crate) fn restore_ghost(&mut self, name: u64) {
        self.ghosts.insert(name, usize::MAX);
    }

    fn push(&mut self, id: Id, queue: Queue) {
        let Some(seat) = self.seats.get_mut(id as usize) else {
            return;
        };
        seat.queue = queue;
        seat.turn = seat.turn.wrapping_add(1);
        let place = (id, seat.turn);
        let line = match queue {
            Queue::Out => return,
            Queue::Small => &mut self.small,
            Queue::Main => &mut self.main,
        };
        line.places.push_back(place);
        line.len += 1;
    }
}

impl Line {
    fn pop(&mut self, seats: &[Seat]) -> Option<Id> {
        while let Some((id, turn)) = self.places.pop_front() {
            if is_at(seats, id, turn) {
                self.len -= 1;
                return Some(id);
            }
        }
        None
    }

    /// Drops the places that were left, once they are more than the others.
    fn tidy(&mut self, seats: &[Seat]) {
        if self.places.len() > self.len * 2 + 16 {
            self.places.retain(|(id, turn)| is_at(seats, *id, *turn));
            self.places.shrink_to(self.len * 2 + 32);
        }
    }
}

fn is_at(seats: &[Seat], id: Id, turn: u32) -> bool {
    let seat = seats.get(id as usize);
    seat.is_some_and(|seat| seat.queue != Queue::Out && seat.turn == turn)
}

impl Ghosts {
    fn insert(&mut self, name: u64, names_max: usize) {
        if self.names.insert(name) {
            self.order.push_back(name);
        }
        while self.names.len() > names_max {
            match self.order.pop_front() {
                Some(oldest) => self.names.remove(&oldest),
                None => return,
            };
        }
    }

    fn remove(&mut self, name: u64) -> bool {
        let known = self.names.remove(&name);
        if known {
            self.order.retain(|other| *other != name);
        }
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evict(policy: &mut Policy) -> Option<Id> {
        policy.evict(|_| true, u64::from)
    }

    #[test]
    fn a_scan_leaves_what_is_used_alone() {
        let mut policy = Policy::default();
        for id in 0..100 {
            policy.insert(id, id.into());
            policy.touch(id);
        }
        for id in 100..5000 {
            policy.insert(id, id.into());
            policy.touch(id % 100);
            evict(&mut policy).unwrap();
        }
        let left = (0..100).filter(|id| policy.seat(*id).0 != Queue::Out);
        // The scan has the small queue, and nothing else.
        assert!(left.count() >= 90);
        assert_eq!(policy.order().count(), 100);
    }

    #[test]
    fn what_comes_back_soon_stays() {
        let mut policy = Policy::default();
        for id in 0..20 {
            policy.insert(id, id.into());
        }
        assert_eq!(evict(&mut policy), Some(0));
        policy.insert(0, 0);
        assert_eq!(policy.seat(0).0, Queue::Main);
        assert_eq!(policy.seat(1).0, Queue::Small);
    }

    #[test]
    fn what_may_not_go_stays_and_others_go() {
        let mut policy = Policy::default();
        for id in 0..10 {
            policy.insert(id, id.into());
        }
        let gone = policy.evict(|id| id == 7, u64::from);
        assert_eq!(gone, Some(7));
        assert_eq!(policy.evict(|_| false, u64::from), None);
        assert_eq!(policy.order().count(), 9);
    }

    #[test]
    fn order_and_uses_survive() {
        let mut policy = Policy::default();
        for id in 0..50 {
            policy.insert(id, id.into());
            (0..id % 3).for_each(|_| policy.touch(id));
        }
        (0..10).for_each(|_| {
            evict(&mut policy);
        });
        let mut again = Policy::default();
        policy.ghosts().for_each(|name| again.restore_ghost(name));
        for id in policy.order() {
            let (queue, uses) = policy.seat(id);
            again.restore(id, queue, uses);
        }
        while let Some(gone) = evict(&mut policy) {
            assert_eq!(evict(&mut again), Some(gone));
        }
        assert_eq!(evict(&mut again), None);
    }

    #[test]
    fn what_was_removed_never_comes() {
        let mut policy = Policy::default();
        for round in 0..100 {
            for id in 0..20 {
                policy.insert(id, round);
                policy.remove(id);
                policy.remove(id);
            }
        }
        assert_eq!(evict(&mut policy), None);
        assert!(policy.small.places.len() < 64, "left places are dropped");
    }
}
