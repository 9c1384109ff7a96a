//! Leaves an endpoint alone that keeps failing (pure: the clock is passed in).

use std::time::Duration;

use tokio::time::Instant;

/// Counts consecutive failures of one endpoint.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    failures: u32,
    open: Option<Open>,
    /// What was last reported; `None` before the first answer.
    up: Option<bool>,
}

#[derive(Debug)]
struct Open {
    until: Instant,
    wait: Duration,
    /// One call was let through at the end of the wait to see whether the endpoint is back.
    probing: bool,
    /// When a call was last let through, at the end of a wait or as the last resort.
    asked: Option<Instant>,
}

impl Breaker {
    /// Whether a call may be made now. When the wait has ended one call is let through; the next only after its
    /// outcome, or after another wait if it was abandoned.
    pub(crate) fn admit(&mut self, now: Instant) -> bool {
        let Some(open) = &mut self.open else {
            return true;
        };
        if now < open.until {
            return false;
        }
        *open = Open {
            until: now + open.wait,
            wait: open.wait,
            probing: true,
            asked: Some(now),
        };
        true
    }

    /// Whether the last endpoint may be asked all the same because there is no other: once a second.
    pub(crate) fn admit_last(&mut self, now: Instant) -> bool {
        let Some(open) = &mut self.open else {
            return true;
        };
        if open.asked.is_some_and(|asked| now < asked + LAST_EVERY) {
            return false;
        }
        open.asked = Some(now);
        true
    }

    /// The endpoint answered. Returns whether that is news.
    pub(crate) fn succeeded(&mut self) -> bool {
        self.failures = 0;
        self.open = None;
        self.up.replace(true) != Some(true)
    }

    /// The endpoint failed. Returns whether it is down from now on.
    pub(crate) fn failed(&mut self, now: Instant) -> bool {
        match &mut self.open {
            // Calls that were under way when it opened, and last resorts, say nothing new.
            Some(open) if !open.probing => {}
            Some(open) => {
                let wait = (open.wait * 2).min(WAIT_MAX);
                *open = Open {
                    until: now + wait,
                    wait,
                    probing: false,
                    asked: open.asked,
                };
            }
            None => {
                self.failures += 1;
                if self.failures >= FAILURES_MAX {
                    self.open = Some(Open {
                        until: now + WAIT_MIN,
                        wait: WAIT_MIN,
                        probing: false,
                        asked: None,
                    });
                }
            }
        }
        self.open.is_some() && self.up.replace(false) != Some(false)
    }
}

const FAILURES_MAX: u32 = 5;
const WAIT_MIN: Duration = Duration::from_secs(10);
const WAIT_MAX: Duration = Duration::from_secs(60);
const LAST_EVERY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn open(breaker: &mut Breaker, now: Instant) {
        for _ in 0..FAILURES_MAX {
            breaker.failed(now);
        }
    }

    #[test]
    fn opens_waits_probes_and_closes() {
        let start = Instant::now();
        let at = |secs| start + Duration::from_secs(secs);
        let mut breaker = Breaker::default();
        assert!(breaker.succeeded(), "the first answer is news");
        assert!(!breaker.succeeded());
        for _ in 0..4 {
            assert!(!breaker.failed(at(0)));
        }
        assert!(breaker.admit(at(0)), "four failures are not enough");
        assert!(breaker.failed(at(0)), "the fifth is news");
        assert!(!breaker.failed(at(1)), "calls under way do not count");
        assert!(!breaker.admit(at(9)));
        assert!(breaker.admit(at(10)), "one probe");
        assert!(!breaker.admit(at(10)), "and no second");
        breaker.failed(at(11));
        assert!(!breaker.admit(at(30)), "the wait has doubled");
        assert!(breaker.admit(at(31)));
        for (now, until) in [(31, 71), (71, 131), (131, 191)] {
            breaker.failed(at(now));
            assert!(!breaker.admit(at(until - 1)), "{until}");
            assert!(breaker.admit(at(until)), "{until}");
        }
        assert!(breaker.succeeded());
        assert!(breaker.admit(at(191)));
    }

    #[test]
    fn an_answer_between_failures_starts_over() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        for _ in 0..3 {
            for _ in 0..4 {
                breaker.failed(now);
            }
            breaker.succeeded();
        }
        assert!(breaker.admit(now));
    }

    #[test]
    fn an_abandoned_probe_does_not_block_for_ever() {
        let start = Instant::now();
        let at = |secs| start + Duration::from_secs(secs);
        let mut breaker = Breaker::default();
        open(&mut breaker, at(0));
        assert!(breaker.admit(at(10)));
        assert!(!breaker.admit(at(19)));
        assert!(breaker.admit(at(20)));
    }

    #[test]
    fn the_last_resort_is_asked_once_a_second() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut breaker = Breaker::default();
        open(&mut breaker, at(0));
        assert!(breaker.admit_last(at(0)));
        assert!(!breaker.admit_last(at(999)));
        assert!(breaker.admit_last(at(1000)));
        breaker.failed(at(1001));
        assert!(
            breaker.admit(at(10_000)),
            "last resorts do not make the wait longer"
        );
    }
}
