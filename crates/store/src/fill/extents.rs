//! The set of byte ranges of a blob that have landed.

use std::ops::Range;

/// Disjoint, sorted, non-empty, non-touching ranges. Each connection of a fill grows one of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extents(Vec<Range<u64>>);

impl Extents {
    /// Adds a range and merges it with those that it meets.
    pub(crate) fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let first = self.0.partition_point(|held| held.end < range.start);
        let last = self.0.partition_point(|held| held.start <= range.end);
        let merged = self.0[first..last].iter().fold(range, |all, held| {
            all.start.min(held.start)..all.end.max(held.end)
        });
        self.0.splice(first..last, [merged]);
    }

    /// Where the last of them ends; 0 when there are none.
    pub(crate) fn end(&self) -> u64 {
        self.0.last().map_or(0, |held| held.end)
    }

    /// The first gap that ends past `position`, cut to what follows `position`; it ends at `u64::MAX` when nothing
    /// has landed behind it.
    pub(crate) fn gap_from(&self, position: u64) -> Range<u64> {
        let start = self.end_from(position);
        let next = self.0.partition_point(|held| held.start <= start);
        start..self.0.get(next).map_or(u64::MAX, |held| held.start)
    }

    /// Where the bytes that start at `position` end, without a gap; `position` itself when there are none.
    pub(crate) fn end_from(&self, position: u64) -> u64 {
        let next = self.0.partition_point(|held| held.end <= position);
        match self.0.get(next) {
            Some(held) if held.start <= position => held.end,
            _ => position,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn touching_ranges_become_one() {
        let mut extents = Extents::default();
        for range in [10..20, 30..40, 20..30, 5..5, 0..3] {
            extents.insert(range);
        }
        assert_eq!(extents.0, [0..3, 10..40]);
        assert_eq!(extents.end_from(0), 3);
        assert_eq!(extents.end_from(3), 3);
        assert_eq!(extents.end_from(15), 40);
        assert_eq!(extents.end_from(40), 40);
        assert_eq!(extents.gap_from(0), 3..10);
        assert_eq!(extents.gap_from(5), 5..10);
        assert_eq!(extents.gap_from(10), 40..u64::MAX);
    }

    proptest! {
        #[test]
        fn agrees_with_a_set_of_bytes(ranges in prop::collection::vec((0u64..64, 0u64..16), 0..24), from in 0u64..90) {
            let mut extents = Extents::default();
            let mut bytes = [false; 100];
            for (start, len) in ranges {
                extents.insert(start..start + len);
                (start..start + len).for_each(|at| bytes[at as usize] = true);
            }
            let mut end = from;
            while bytes[end as usize] {
                end += 1;
            }
            prop_assert_eq!(extents.end_from(from), end);
        }
    }
}
