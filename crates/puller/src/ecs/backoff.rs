//! How often, and after which time, something is tried again.

use std::time::Duration;

/// Delays that grow up to a limit, each with a part of itself added at random.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Backoff {
    /// The first delay.
    pub first: Duration,
    /// The longest, before anything is added.
    pub longest: Duration,
    /// By what each delay is longer than the one before.
    pub factor: u32,
    /// How much of itself may be added to a delay.
    pub jitter: f64,
}

/// Tries and the delays between them. Every error is tried again until the tries or the time end, but those that say it
/// is of no use: credentials of the registry that cannot be had.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Retries {
    /// The first among them.
    pub tries: u32,
    /// Between them.
    pub backoff: Backoff,
}

impl Backoff {
    /// Delays from `first` to `longest`.
    #[must_use]
    pub const fn new(first: Duration, longest: Duration, factor: u32, jitter: f64) -> Self {
        Self {
            first,
            longest,
            factor,
            jitter,
        }
    }

    /// The delays without what is added at random; there is no end of them.
    ///
    /// ```
    /// use longshore_puller::ecs::MANIFEST_PULL;
    ///
    /// let delays: Vec<u128> = MANIFEST_PULL.backoff.delays().take(8).map(|d| d.as_millis()).collect();
    /// assert_eq!(delays, [10, 30, 90, 270, 810, 2430, 5000, 5000]);
    /// ```
    pub fn delays(self) -> impl Iterator<Item = Duration> {
        let next = move |delay: &Duration| Some((*delay * self.factor).min(self.longest));
        std::iter::successors(Some(self.first), next)
    }

    /// A delay with a part of itself added: `random` is at least 0 and less than 1.
    #[must_use]
    pub fn with_jitter(self, delay: Duration, random: f64) -> Duration {
        delay + delay.mul_f64(self.jitter * random.clamp(0.0, 1.0))
    }
}

impl Retries {
    /// The delay after a try failed, the first with the number 1; `None` where that was the last.
    #[must_use]
    pub fn delay_after(self, tried: u32) -> Option<Duration> {
        if tried == 0 || tried >= self.tries {
            return None;
        }
        self.backoff.delays().nth(tried as usize - 1)
    }
}

/// Asking a registry for a digest: quick at first, for tasks whose network is not up yet.
pub const MANIFEST_PULL: Retries = Retries {
    tries: 9,
    backoff: Backoff::new(Duration::from_millis(10), Duration::from_secs(5), 3, 0.2),
};

/// Pulling an image.
pub const IMAGE_PULL: Retries = Retries {
    tries: 5,
    backoff: Backoff::new(Duration::from_millis(1100), Duration::from_secs(5), 2, 0.2),
};

/// Tagging an image that was pulled by its digest.
pub const TAG_IMAGE: Retries = Retries {
    tries: 5,
    backoff: Backoff::new(
        Duration::from_millis(100),
        Duration::from_millis(100),
        1,
        0.0,
    ),
};
