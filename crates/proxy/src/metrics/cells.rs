//! Series of one family whose labels were looked up once.

use std::fmt;
use std::sync::OnceLock;

/// A table of series by number. A series exists from its first use on, so that no zeros are told of what never was.
pub(super) struct Cells<T, F> {
    family: F,
    cells: Box<[OnceLock<T>]>,
}

impl<T, F> Cells<T, F> {
    pub(super) fn new(family: F, count: usize) -> Self {
        let cells = std::iter::repeat_with(OnceLock::new).take(count).collect();
        Self { family, cells }
    }

    /// An empty table of the same family.
    pub(super) fn resized(&self, count: usize) -> Self
    where
        F: Clone,
    {
        Self::new(self.family.clone(), count)
    }

    /// Does something with a series, which `resolve` finds in the family the first time.
    pub(super) fn with(&self, cell: usize, resolve: impl FnOnce(&F) -> T, act: impl FnOnce(&T)) {
        if let Some(cell) = self.cells.get(cell) {
            act(cell.get_or_init(|| resolve(&self.family)));
        }
    }
}

impl<T, F> fmt::Debug for Cells<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cells")
            .field("count", &self.cells.len())
            .finish_non_exhaustive()
    }
}
