//! How often a layer is tried, and what is shown before each new try.

/// The tries of one download: after the n-th failure there is a wait of 5·n seconds, counted down once a second.
///
/// ```
/// use longshore_puller::docker::Countdown;
///
/// let mut tries = Countdown::new(2);
/// let lines: Vec<String> = tries.failed().unwrap().collect();
/// assert_eq!(lines.first().unwrap(), "Retrying in 5 seconds");
/// assert_eq!(lines.last().unwrap(), "Retrying in 1 second");
/// assert!(tries.failed().is_none(), "that was the last");
/// ```
#[derive(Debug, Clone)]
pub struct Countdown {
    attempts: u32,
    failed: u32,
}

impl Countdown {
    /// For so many tries in all; none counts as one.
    #[must_use]
    pub fn new(attempts: u32) -> Self {
        Self {
            attempts: attempts.max(1),
            failed: 0,
        }
    }

    /// A try failed: the lines to show, one a second, before the next; `None` where that was the last.
    pub fn failed(&mut self) -> Option<impl Iterator<Item = String> + use<>> {
        self.failed = self.failed.saturating_add(1);
        if self.failed >= self.attempts {
            return None;
        }
        let seconds = self.failed.saturating_mul(STEP_SECS);
        Some((1..=seconds).rev().map(retrying_in))
    }
}

/// The line before a new try.
///
/// ```
/// assert_eq!(longshore_puller::docker::retrying_in(1), "Retrying in 1 second");
/// ```
#[must_use]
pub fn retrying_in(seconds: u32) -> String {
    let plural = if seconds == 1 { "" } else { "s" };
    format!("Retrying in {seconds} second{plural}")
}

/// How often a layer is tried.
pub const DOWNLOAD_ATTEMPTS: u32 = 5;

/// How many layers are downloaded at once.
pub const DOWNLOADS: usize = 3;

const STEP_SECS: u32 = 5;
