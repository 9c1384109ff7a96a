//! Whether requests are welcome: listening, and not draining.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A flag that all who answer `/readyz` share. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Readiness(Arc<AtomicBool>);

impl Readiness {
    pub(crate) fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Release);
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
