//! How far something is, and how often that is shown.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::human_size;
use crate::go_duration;

/// How far a layer is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Progress {
    /// What is done.
    #[serde(alias = "Current", skip_serializing_if = "is_zero")]
    pub current: u64,
    /// What there is to do; 0 where it is not known.
    #[serde(alias = "Total", skip_serializing_if = "is_zero")]
    pub total: u64,
    /// When it began, in seconds since 1970; 0 where no time is shown.
    #[serde(alias = "Start", skip_serializing_if = "is_zero")]
    pub start: u64,
    /// Numbers are not shown.
    #[serde(
        alias = "HideCounts",
        rename = "hidecounts",
        skip_serializing_if = "std::ops::Not::not"
    )]
    pub hide_counts: bool,
    /// What is counted, where it is not bytes.
    #[serde(alias = "Units", skip_serializing_if = "String::is_empty")]
    pub units: String,
}

impl Progress {
    /// Bytes; 0 in all where the size is not known.
    #[must_use]
    pub fn new(current: u64, total: u64) -> Self {
        Self {
            current,
            total,
            ..Self::default()
        }
    }

    /// A bar without numbers, for what is complete.
    #[must_use]
    pub fn hidden() -> Self {
        Self {
            hide_counts: true,
            ..Self::default()
        }
    }

    /// The bar and the numbers, for a terminal with so many columns at a time in seconds since 1970. Empty where there is
    /// nothing to show. Below 111 columns there is no bar, below 51 no time.
    ///
    /// ```
    /// use longshore_puller::docker::Progress;
    ///
    /// assert_eq!(Progress::new(50, 100).show(80, 0), "     50B/100B");
    /// ```
    #[must_use]
    pub fn show(&self, columns: u16, now: u64) -> String {
        match (self.current, self.total) {
            (0, 0) => String::new(),
            (current, 0) if self.units.is_empty() => format!("{:>8}", human_size(current)),
            (current, 0) => format!("{current} {}", self.units),
            _ => {
                let bar = if columns > BAR_COLUMNS {
                    self.bar()
                } else {
                    String::new()
                };
                let left = self.time_left(now).filter(|_| columns > TIME_COLUMNS);
                [bar, self.numbers(), left.unwrap_or_default()].concat()
            }
        }
    }

    /// Of 50 parts, how many are done.
    fn fiftieths(&self) -> usize {
        let percent = u128::from(self.current) * 100 / u128::from(self.total.max(1));
        usize::try_from(percent / 2).unwrap_or(usize::MAX).min(50)
    }

    fn bar(&self) -> String {
        let done = self.fiftieths();
        format!("[{}>{}] ", "=".repeat(done), " ".repeat(50 - done))
    }

    fn numbers(&self) -> String {
        // A total that is passed is not shown.
        let total = Some(self.total).filter(|total| self.current <= *total);
        match (total, self.units.as_str()) {
            _ if self.hide_counts => String::new(),
            (Some(total), "") => format!("{:>8}/{}", human_size(self.current), human_size(total)),
            (None, "") => format!("{:>8}", human_size(self.current)),
            (Some(total), units) => format!("{}/{total} {units}", self.current),
            (None, units) => format!("{} {units}", self.current),
        }
    }

    fn time_left(&self, now: u64) -> Option<String> {
        if self.current == 0 || self.start == 0 || self.fiftieths() == 50 {
            return None;
        }
        let elapsed = u128::from(now.saturating_sub(self.start)) * NANOS;
        let each = elapsed / u128::from(self.current);
        let rest = u128::from(self.total.saturating_sub(self.current));
        let left = each.saturating_mul(rest) / NANOS;
        let left = Duration::from_secs(u64::try_from(left).unwrap_or(u64::MAX));
        Some([" ", &go_duration::format(left)].concat())
    }
}

/// Decides when progress is shown: after more than 512 KiB or one percent, the smaller; at most every 100 ms; at the end
/// in any case.
///
/// ```
/// use std::time::Duration;
/// use longshore_puller::docker::Throttle;
///
/// let mut throttle = Throttle::new(1000);
/// assert_eq!(throttle.read(5, false, Duration::ZERO), None);
/// assert_eq!(throttle.read(20, false, Duration::ZERO), Some(25));
/// assert_eq!(throttle.read(20, false, Duration::from_millis(50)), None);
/// assert_eq!(throttle.close(), Some(1000));
/// ```
#[derive(Debug, Clone)]
pub struct Throttle {
    total: u64,
    current: u64,
    last: u64,
    next_at: Duration,
}

impl Throttle {
    /// For so many bytes; 0 where the size is not known.
    #[must_use]
    pub fn new(total: u64) -> Self {
        Self {
            total,
            current: 0,
            last: 0,
            next_at: Duration::ZERO,
        }
    }

    /// So many bytes were read, `at` after the start; `ended` where the reader has no more or failed. What is to be shown,
    /// if anything is.
    pub fn read(&mut self, bytes: u64, ended: bool, at: Duration) -> Option<u64> {
        self.current = self.current.saturating_add(bytes);
        let step = match self.total {
            0 => STEP,
            total => STEP.min(total / 100),
        };
        if self.current - self.last <= step && !ended {
            return None;
        }
        self.last = self.current;
        let last = ended && bytes == 0;
        if last || self.current == self.total {
            return Some(self.current);
        }
        if at < self.next_at {
            return None;
        }
        self.next_at = at + INTERVAL;
        Some(self.current)
    }

    /// The reader is closed: where it is before its end, the whole is shown once.
    pub fn close(self) -> Option<u64> {
        (self.current < self.total).then_some(self.total)
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

const BAR_COLUMNS: u16 = 110;
const TIME_COLUMNS: u16 = 50;
const NANOS: u128 = 1_000_000_000;
const STEP: u64 = 512 << 10;
const INTERVAL: Duration = Duration::from_millis(100);
