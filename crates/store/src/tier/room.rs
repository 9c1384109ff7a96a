//! How much the local tier may hold, and how much must go. Pure.

/// An amount of room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// Bytes.
    Bytes(u64),
    /// Percent of the file system.
    Percent(u8),
}

impl Amount {
    /// In bytes, on a file system of this size.
    pub(crate) fn of(self, total: u64) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            // Without an overflow, and exact enough.
            Self::Percent(percent) => total / 100 * u64::from(percent.min(100)),
        }
    }
}

/// Why content is evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The store holds more than its capacity.
    Capacity,
    /// The file system has less free space than it should have.
    MinFree,
}

impl Reason {
    /// The word of the metrics' label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Capacity => "capacity",
            Self::MinFree => "min_free",
        }
    }
}

/// What is held and what is free, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Room {
    /// Committed blobs.
    pub(super) held: u64,
    /// Reserved by fills under way.
    pub(super) reserved: u64,
    /// Free on the file system.
    pub(super) free: u64,
}

/// The limits in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) capacity: u64,
    pub(super) min_free: u64,
}

impl Limits {
    /// By default the store may have half of what is free when it starts, beside what it holds already.
    pub(super) fn new(
        capacity: Option<Amount>,
        min_free: Amount,
        total: u64,
        free: u64,
        held: u64,
    ) -> Self {
        Self {
            capacity: capacity
                .map_or_else(|| held.saturating_add(free / 2), |amount| amount.of(total)),
            min_free: min_free.of(total),
        }
    }

    /// How many bytes must go, and why; `None` when there is room.
    ///
    /// More goes than must: down to 95 % of the capacity, or up to 110 % of the free space that is wanted, so that
    /// eviction does not run for every blob.
    pub(super) fn excess(&self, room: Room) -> Option<(Reason, u64)> {
        let used = room.held.saturating_add(room.reserved);
        if used > self.capacity {
            let low = self.capacity - self.capacity / 20;
            return Some((Reason::Capacity, used - low));
        }
        if room.free < self.min_free && room.held > 0 {
            let high = self.min_free.saturating_add(self.min_free / 10);
            return Some((Reason::MinFree, high - room.free));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_of_the_file_system() {
        assert_eq!(Amount::Percent(10).of(1000), 100);
        assert_eq!(Amount::Percent(200).of(u64::MAX), u64::MAX / 100 * 100);
        assert_eq!(Amount::Bytes(7).of(1000), 7);
        let limits = Limits::new(None, Amount::Percent(10), 1000, 400, 100);
        assert_eq!((limits.capacity, limits.min_free), (300, 100));
    }

    #[test]
    fn what_is_too_much_goes() {
        let limits = Limits {
            capacity: 1000,
            min_free: 100,
        };
        let rows = [
            ((1000, 0, 500), None),
            ((1001, 0, 500), Some((Reason::Capacity, 51))),
            ((600, 500, 500), Some((Reason::Capacity, 150))),
            ((500, 0, 100), None),
            ((500, 0, 99), Some((Reason::MinFree, 11))),
            ((0, 0, 0), None),
            (
                (u64::MAX, u64::MAX, 0),
                Some((Reason::Capacity, u64::MAX - 950)),
            ),
        ];
        for ((held, reserved, free), excess) in rows {
            let room = Room {
                held,
                reserved,
                free,
            };
            assert_eq!(limits.excess(room), excess, "{room:?}");
        }
    }
}
