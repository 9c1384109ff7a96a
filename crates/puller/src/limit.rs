//! What an endpoint's 429 means for the calls after it (pure: clocks are passed in).

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// What a call counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ration {
    /// A GET of a manifest: what pull limits count.
    Pull,
    /// Anything else.
    Other,
}

/// The windows in which an endpoint is left alone.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    windows: Mutex<Windows>,
}

#[derive(Debug, Default)]
struct Windows {
    pull: Option<Window>,
    all: Option<Window>,
}

#[derive(Debug, Clone, Copy)]
struct Window {
    opened: Instant,
    until: Instant,
    /// The upstream said until when. Otherwise one call a minute may find out.
    told: bool,
}

impl Limits {
    /// Whether a call may be made now; else how long to wait.
    pub(crate) fn admit(&self, ration: Ration, now: Instant) -> Result<(), Duration> {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let Windows { pull, all } = &mut *windows;
        let pull = (ration == Ration::Pull).then_some(pull);
        let wait = |window: &Option<Window>| window.map(|w| w.until.saturating_duration_since(now));
        let longest = wait(all).max(pull.as_ref().and_then(|pull| wait(pull)));
        if let Some(wait) = longest.filter(|wait| !wait.is_zero()) {
            return Err(wait);
        }
        end(all, now);
        if let Some(pull) = pull {
            end(pull, now);
        }
        Ok(())
    }

    /// A 429 came. `ration` is `Pull` if it is the limit of pulls, else everything is left alone.
    pub(crate) fn limited(&self, ration: Ration, retry_after: Option<Duration>, now: Instant) {
        let window = Window {
            opened: now,
            until: now + retry_after.unwrap_or(PROBE_EVERY),
            told: retry_after.is_some(),
        };
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        match ration {
            Ration::Pull => windows.pull = Some(window),
            Ration::Other => windows.all = Some(window),
        }
    }

    /// A call that was made at `asked` was answered with something other than 429. A window that opened since then is
    /// later news than the answer.
    pub(crate) fn answered(&self, ration: Ration, asked: Instant) {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let Windows { pull, all } = &mut *windows;
        let is_news = |window: &Window| window.opened > asked;
        *all = all.filter(is_news);
        if ration == Ration::Pull {
            *pull = pull.filter(is_news);
        }
    }
}

/// The window has passed: it is gone if its end was told, else this call is the one that finds out.
fn end(window: &mut Option<Window>, now: Instant) {
    *window = window.filter(|w| !w.told).map(|w| Window {
        until: now + PROBE_EVERY,
        ..w
    });
}

const PROBE_EVERY: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
