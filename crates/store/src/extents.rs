//! The set of byte ranges of a blob that have landed.

use std::ops::Range;

/// Disjoint, sorted, non-empty, non-touching ranges.
///
/// One connection grows one extent; several connections may fill one spool later without a change of readers.
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
