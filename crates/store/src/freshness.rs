//! When a kept tag is believed, and what becomes of it when upstream answers: one pure table.

use std::time::Duration;

use crate::error::Refusal;

/// How an upstream's content is kept and served. Every value is the configuration's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How long a tag is believed before upstream is asked again.
    pub revalidate: Duration,
    /// How old a tag may be and still be served while upstream fails; `None` for ever.
    pub max_stale: Option<Duration>,
    /// How long "not found" and "denied" are remembered.
    pub negative_ttl: Duration,
    /// How long a request may wait for upstream.
    pub answer_within: Duration,
    /// How long a request may wait for upstream while a kept copy could be served.
    pub stale_within: Duration,
    /// How long a check that failed stands for the next ones of the same tag.
    pub failed_ttl: Duration,
    /// What a tag becomes that upstream deleted.
    pub on_deleted: OnDeleted,
    /// What a tag becomes that upstream denies.
    pub on_denied: OnDenied,
    /// A stale tag is served only when all of its image is held.
    pub stale_needs_whole: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            revalidate: Duration::from_secs(60),
            max_stale: None,
            negative_ttl: Duration::from_secs(10),
            answer_within: Duration::from_secs(10),
            stale_within: Duration::from_secs(3),
            failed_ttl: Duration::from_secs(10),
            on_deleted: OnDeleted::Forget,
            on_denied: OnDenied::Deny,
            stale_needs_whole: true,
        }
    }
}

/// What a kept tag becomes when the origin says that it is gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDeleted {
    /// It is forgotten, and the client is told.
    #[default]
    Forget,
    /// It is served as before.
    Serve,
}

/// What a kept tag becomes when upstream denies access.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDenied {
    /// The client is denied; the copy is kept.
    #[default]
    Deny,
    /// It is served as before.
    Serve,
}

/// What is done after a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Serve the kept copy, and say that it is stale.
    Stale,
    /// Forget the tag and pass the refusal on.
    Forget,
    /// Pass the refusal on; what is kept stays.
    Refuse,
}

/// Whether a tag that was checked so long ago is believed. `None` is a check in the future: never made.
pub(crate) fn is_fresh(age: Option<Duration>, policy: &Policy) -> bool {
    age.is_some_and(|age| age < policy.revalidate)
}

/// What becomes of a tag when upstream refuses. `kept` is the age of the copy's last check, where there is a copy.
pub(crate) fn after_refusal(
    refusal: &Refusal,
    kept: Option<Option<Duration>>,
    policy: &Policy,
) -> Verdict {
    let Some(age) = kept else {
        return Verdict::Refuse;
    };
    match refusal {
        Refusal::Gone {
            confirmed: true, ..
        } => match policy.on_deleted {
            OnDeleted::Forget => Verdict::Forget,
            OnDeleted::Serve => Verdict::Stale,
        },
        Refusal::Denied { .. } => match policy.on_denied {
            OnDenied::Deny => Verdict::Refuse,
            OnDenied::Serve => Verdict::Stale,
        },
        Refusal::Gone {
            confirmed: false, ..
        }
        | Refusal::Limited { .. }
        | Refusal::Rejected { .. }
        | Refusal::TimedOut { .. }
        | Refusal::Unreachable { .. }
        | Refusal::Misbehaved { .. } => {
            let too_old = match (policy.max_stale, age) {
                (None, _) => false,
                (Some(max), Some(age)) => age > max,
                (Some(_), None) => true,
            };
            if too_old {
                Verdict::Refuse
            } else {
                Verdict::Stale
            }
        }
    }
}

/// How long a refusal stands for the next requests, so that upstream is not asked again at once.
pub(crate) fn remembered_for(refusal: &Refusal, kept: bool, policy: &Policy) -> Duration {
    match refusal {
        Refusal::Gone {
            confirmed: true, ..
        }
        | Refusal::Denied { .. } => policy.negative_ttl,
        Refusal::Gone {
            confirmed: false, ..
        }
        | Refusal::Limited { .. }
        | Refusal::Rejected { .. }
        | Refusal::TimedOut { .. }
        | Refusal::Unreachable { .. }
        | Refusal::Misbehaved { .. } => {
            // With nothing to serve, the next request may find upstream back.
            if kept {
                policy.failed_ttl
            } else {
                Duration::ZERO
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Cause;
    use std::sync::Arc;

    fn refusals() -> [Refusal; 8] {
        let cause: Cause = Arc::new(std::io::Error::other("said so"));
        let c = || Arc::clone(&cause);
        [
            Refusal::Gone {
                confirmed: true,
                cause: c(),
            },
            Refusal::Gone {
                confirmed: false,
                cause: c(),
            },
            Refusal::Denied { cause: c() },
            Refusal::Limited {
                retry_after: None,
                cause: c(),
            },
            Refusal::Rejected { cause: c() },
            Refusal::TimedOut { cause: c() },
            Refusal::Unreachable { cause: c() },
            Refusal::Misbehaved { cause: c() },
        ]
    }

    #[test]
    fn nothing_kept_passes_every_refusal_on() {
        for refusal in refusals() {
            assert_eq!(
                after_refusal(&refusal, None, &Policy::default()),
                Verdict::Refuse
            );
        }
    }

    #[test]
    fn a_kept_tag_survives_what_is_not_its_end() {
        let age = Some(Some(Duration::from_secs(1000)));
        use Verdict::{Forget, Refuse, Stale};
        let default = Policy::default();
        let lenient = Policy {
            on_deleted: OnDeleted::Serve,
            on_denied: OnDenied::Serve,
            ..Policy::default()
        };
        let strict = Policy {
            max_stale: Some(Duration::from_secs(999)),
            ..Policy::default()
        };
        let expected = [
            (
                &default,
                [Forget, Stale, Refuse, Stale, Stale, Stale, Stale, Stale],
            ),
            (&lenient, [Stale; 8]),
            (
                &strict,
                [
                    Forget, Refuse, Refuse, Refuse, Refuse, Refuse, Refuse, Refuse,
                ],
            ),
        ];
        for (policy, row) in expected {
            for (refusal, verdict) in refusals().iter().zip(row) {
                assert_eq!(
                    after_refusal(refusal, age, policy),
                    verdict,
                    "{refusal:?} {policy:?}"
                );
            }
        }
    }

    #[test]
    fn a_check_in_the_future_was_never_made() {
        let policy = Policy {
            max_stale: Some(Duration::from_secs(999)),
            ..Policy::default()
        };
        assert!(!is_fresh(None, &policy));
        assert!(is_fresh(Some(Duration::from_secs(59)), &policy));
        assert!(!is_fresh(Some(Duration::from_secs(60)), &policy));
        let unreachable = refusals()[6].clone();
        assert_eq!(
            after_refusal(&unreachable, Some(None), &policy),
            Verdict::Refuse
        );
        assert_eq!(
            after_refusal(&unreachable, Some(None), &Policy::default()),
            Verdict::Stale
        );
    }

    #[test]
    fn only_answers_are_remembered_when_nothing_is_kept() {
        let policy = Policy {
            negative_ttl: Duration::from_secs(7),
            ..Policy::default()
        };
        for (refusal, kept, secs) in refusals()
            .iter()
            .zip([
                (7, 7),
                (10, 0),
                (7, 7),
                (10, 0),
                (10, 0),
                (10, 0),
                (10, 0),
                (10, 0),
            ])
            .map(|(r, (k, n))| (r, k, n))
        {
            assert_eq!(
                remembered_for(refusal, true, &policy).as_secs(),
                kept,
                "{refusal:?}"
            );
            assert_eq!(
                remembered_for(refusal, false, &policy).as_secs(),
                secs,
                "{refusal:?}"
            );
        }
    }
}
