//! Something that was learnt, for a while.

use std::{sync::Mutex, time::Duration};

use tokio::time::Instant;

use crate::sync::lock;

/// A value until it is old.
#[derive(Debug)]
pub(crate) struct Remembered<T>(Mutex<Option<(T, Instant)>>);

impl<T: Copy> Remembered<T> {
    /// The value, unless it is old.
    pub(crate) fn get(&self) -> Option<T> {
        let kept = lock(&self.0);
        kept.filter(|(_, until)| Instant::now() < *until)
            .map(|(value, _)| value)
    }

    pub(crate) fn set(&self, value: T, life: Duration) {
        *lock(&self.0) = Some((value, Instant::now() + life));
    }

    #[cfg(feature = "v1")]
    pub(crate) fn clear(&self) {
        *lock(&self.0) = None;
    }
}

impl<T> Default for Remembered<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}
