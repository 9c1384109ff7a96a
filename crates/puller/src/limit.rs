//! What an endpoint's 429 means for later requests (pure: the clock is passed in).

use std::{collections::HashMap, sync::Mutex, time::Duration};

use longshore_reference::Digest;
use tokio::time::Instant;

use crate::{Kind, sync::lock};

/// Which rate limit a request counts against: a limit of one kind of request says nothing of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum RateClass {
    /// A GET of a manifest: what pull limits count.
    Manifest,
    /// A HEAD of a manifest.
    Check,
    Blob,
    Tags,
    Referrers,
    /// A session with the index of a v1 registry.
    Index,
}

impl RateClass {
    /// Of GETs.
    pub(crate) fn of(kind: Kind) -> Self {
        match kind {
            Kind::Manifest => Self::Manifest,
            Kind::Blob => Self::Blob,
            Kind::Tags => Self::Tags,
            Kind::Referrers => Self::Referrers,
            Kind::Token | Kind::Ping => Self::Index,
        }
    }
}

/// Whose requests of which class.
pub(crate) type LimitKey = (RateClass, Option<Digest>);

/// The rate limits of one endpoint, by class and credentials.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    windows: Mutex<HashMap<LimitKey, Window>>,
}

#[derive(Debug, Clone, Copy)]
struct Window {
    opened: Instant,
    until: Instant,
    /// The backoff; `None` when the upstream stated when the window ends.
    backoff: Option<Duration>,
}

impl Limits {
    /// Whether a request may be sent now; else how long to wait.
    pub(crate) fn admit(&self, key: LimitKey, now: Instant) -> Result<(), Duration> {
        let windows = lock(&self.windows);
        let window = windows.get(&key).filter(|window| now < window.until);
        window.map_or(Ok(()), |window| Err(window.until.duration_since(now)))
    }

    /// A 429 came to a request that was sent at `asked`. Without `stated`, when the upstream lets us ask again, the
    /// wait is 1 s and doubles with every 429 to a request that was sent after it, to a minute.
    pub(crate) fn limited(
        &self,
        key: LimitKey,
        stated: Option<Duration>,
        asked: Instant,
        now: Instant,
    ) {
        let mut windows = lock(&self.windows);
        let held = windows.get(&key).filter(|window| !window.is_old(now));
        let backoff = match (stated, held) {
            (Some(_), _) => None,
            // Sent before the window opened, or it is to last longer: no news.
            (None, Some(window)) if asked < window.opened || now < window.until => return,
            (None, held) => Some(
                held.and_then(|window| window.backoff)
                    .map_or(BACKOFF_MIN, |backoff| (backoff * 2).min(BACKOFF_MAX)),
            ),
        };
        if windows.len() >= WINDOWS_MAX {
            windows.retain(|_, window| now < window.until);
        }
        if windows.len() >= WINDOWS_MAX {
            windows.clear();
        }
        let wait = stated.or(backoff).unwrap_or_default();
        let window = Window {
            opened: now,
            until: now + wait,
            backoff,
        };
        windows.insert(key, window);
    }

    /// A request was answered with something other than 429. That ends a backoff, whenever the request was sent; what
    /// the upstream stated holds.
    pub(crate) fn answered(&self, key: LimitKey, now: Instant) {
        let mut windows = lock(&self.windows);
        if windows
            .get(&key)
            .is_some_and(|window| window.backoff.is_some() || window.until <= now)
        {
            windows.remove(&key);
        }
    }
}

impl Window {
    /// It ended so long ago that the next one starts over.
    fn is_old(&self, now: Instant) -> bool {
        now > self.until + FORGET_AFTER
    }
}

const BACKOFF_MIN: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(60);
const FORGET_AFTER: Duration = Duration::from_secs(120);
/// Credentials differ by repository at most.
const WINDOWS_MAX: usize = 1024;

#[cfg(test)]
mod tests;
