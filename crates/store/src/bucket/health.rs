//! Whether the bucket answers: one that does not is left alone for a while, so that its loss costs one deadline.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::event::{Event, Observer};

/// How long a bucket that did not answer is left alone. It is longer than a look-up may take: one asks at a time.
pub(super) const LEFT_ALONE_FOR: Duration = Duration::from_secs(10);

/// What the last look-ups came to.
pub(super) struct Health {
    state: Mutex<State>,
    observer: Observer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Unknown,
    Up,
    Down { until: Instant },
}

impl Health {
    pub(super) fn new(observer: Observer) -> Self {
        Self {
            state: Mutex::new(State::Unknown),
            observer,
        }
    }

    /// Whether the bucket may be asked now. After a failure one request may try once in a while.
    pub(super) fn may_ask(&self) -> bool {
        let mut state = self.state();
        match *state {
            State::Unknown | State::Up => true,
            State::Down { until } if Instant::now() < until => false,
            State::Down { .. } => {
                *state = State::down();
                true
            }
        }
    }

    /// It answered, whatever it said.
    pub(super) fn answered(&self) {
        let before = std::mem::replace(&mut *self.state(), State::Up);
        if before != State::Up {
            (self.observer)(&Event::BucketUp { up: true });
        }
    }

    /// It did not answer, or could not.
    pub(super) fn failed(&self) {
        let before = std::mem::replace(&mut *self.state(), State::down());
        if !matches!(before, State::Down { .. }) {
            (self.observer)(&Event::BucketUp { up: false });
        }
    }

    /// A request failed, whether or not the bucket is left alone for it.
    pub(super) fn tell_error(&self, action: &'static str) {
        (self.observer)(&Event::BucketFailed { action });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn down() -> Self {
        Self::Down {
            until: Instant::now() + LEFT_ALONE_FOR,
        }
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Health").field(&*self.state()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[tokio::test(start_paused = true)]
    async fn a_bucket_that_failed_is_tried_by_one_at_a_time() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let tell = Arc::clone(&told);
        let health = Health::new(Arc::new(move |event| {
            if let Event::BucketUp { up } = event {
                tell.lock().unwrap().push(*up);
            }
        }));
        assert!(health.may_ask() && health.may_ask());
        health.failed();
        assert!(!health.may_ask());
        for _ in 0..2 {
            tokio::time::advance(LEFT_ALONE_FOR).await;
            assert_eq!((health.may_ask(), health.may_ask()), (true, false));
            health.failed();
        }
        tokio::time::advance(LEFT_ALONE_FOR).await;
        assert!(health.may_ask());
        health.answered();
        health.answered();
        assert!(health.may_ask() && health.may_ask());
        assert_eq!(*told.lock().unwrap(), [false, true], "changes only");
    }
}
