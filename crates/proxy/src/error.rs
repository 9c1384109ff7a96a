//! Every error, and the one table that says what a client hears of it.

use std::borrow::Cow;
use std::time::Duration;

use http::StatusCode;
use longshore_puller::Error as Pulled;
use longshore_store::{Cause, Error as Stored, Refusal};

use crate::config::RateLimitStatus;
use crate::route::{self, Kind};

/// What went wrong, at the start or with a request.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The request has no route.
    #[error(transparent)]
    Refused(#[from] route::Refusal),
    /// The store could not give what was asked.
    #[error(transparent)]
    Store(#[from] Stored),
    /// A range that no part of the content satisfies.
    #[error("range not satisfiable")]
    Unsatisfiable {
        /// Size of the content.
        size: u64,
    },
    /// More ranges than are answered.
    #[error(transparent)]
    Ranges(#[from] crate::range::TooMany),
    /// The client has to log in, or its password is wrong.
    #[error("authentication required")]
    Unauthenticated,
    /// The rules for clients do not let this user pull this repository.
    #[error("not allowed by the rules for clients")]
    NotAllowed,
    /// Who may pull cannot be decided as it is configured.
    #[error("cannot use `htpasswd` of [clients]")]
    Access(#[from] crate::access::Error),
    /// Upstream does not tell of referrers.
    #[error("upstream does not list referrers")]
    NoReferrers,
    /// An upstream cannot be used as it is configured.
    #[error("upstream {name} cannot be used")]
    Upstream {
        /// Its name.
        name: String,
        /// Why.
        #[source]
        source: longshore_puller::Error,
    },
    /// A file that the configuration names cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// An environment variable that the configuration names cannot be used.
    #[error("cannot use the environment variable {name}")]
    Variable {
        /// Its name.
        name: String,
        /// Why.
        #[source]
        source: std::env::VarError,
    },
    /// The metrics cannot be registered.
    #[error("cannot register the metrics")]
    Metrics(#[from] prometheus::Error),
    /// The URL of the bucket cannot be understood.
    #[error("cannot use the store {url}")]
    Bucket {
        /// As it was given.
        url: String,
        /// Why.
        #[source]
        source: url::ParseError,
    },
    /// TLS towards clients cannot be served as it is configured.
    #[error("cannot serve TLS")]
    Tls(#[from] crate::server::tls::Error),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// What the client hears: a status, a code of the distribution spec and a sentence that is safe to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) sentence: Cow<'static, str>,
    /// Seconds; rounded up, at least 1.
    pub(crate) retry_after_secs: Option<u64>,
}

/// Retry-After where upstream limits us and does not say for how long: the puller probes once a minute.
const LIMITED_SECS: u64 = 60;
/// Retry-After where we are busy ourselves.
const BUSY_SECS: u64 = 2;
const REASON_CHARS_MAX: usize = 300;

/// The table.
pub(crate) fn told(error: &Error, kind: Kind, limited: RateLimitStatus) -> Told {
    match error {
        Error::Refused(refusal) => {
            let (status, code) = refusal.status_and_code();
            Told {
                status,
                code,
                sentence: sentence_of(*refusal).into(),
                retry_after_secs: None,
            }
        }
        Error::Store(error) => of_store(error, kind, limited),
        Error::Unsatisfiable { .. } => unsatisfiable(),
        Error::Ranges(_) => plain(StatusCode::BAD_REQUEST, "UNSUPPORTED", "too many ranges"),
        Error::Unauthenticated => plain(
            StatusCode::UNAUTHORIZED,
            "UNAUTHORIZED",
            "authentication required",
        ),
        Error::NotAllowed => plain(
            StatusCode::FORBIDDEN,
            "DENIED",
            "this user may not pull this repository",
        ),
        Error::NoReferrers => plain(
            StatusCode::NOT_FOUND,
            "UNSUPPORTED",
            "upstream does not list referrers",
        ),
        Error::Upstream { .. }
        | Error::Read { .. }
        | Error::Variable { .. }
        | Error::Listen { .. }
        | Error::Tls(_)
        | Error::Access(_)
        | Error::Bucket { .. }
        | Error::Metrics(_) => plain(
            StatusCode::BAD_GATEWAY,
            "UNAVAILABLE",
            "the upstream cannot be used as it is configured",
        ),
    }
}

fn of_store(error: &Stored, kind: Kind, limited: RateLimitStatus) -> Told {
    match error {
        Stored::Refused(refusal) | Stored::NotWhole { refusal } => {
            of_refusal(refusal, kind, limited)
        }
        Stored::Mismatch { .. } => plain(
            StatusCode::BAD_GATEWAY,
            "UNAVAILABLE",
            "upstream sent content that does not match its digest",
        ),
        Stored::Distrusted { .. } => plain(
            StatusCode::BAD_GATEWAY,
            "UNAVAILABLE",
            "upstream sent wrong content a moment ago: start again from the first byte",
        ),
        Stored::PastEnd { .. } => unsatisfiable(),
        Stored::Busy => busy("too many downloads at once"),
        Stored::Converting => busy("the image is being converted"),
        Stored::GivenUp => busy("the download was given up"),
        Stored::NoRoom { .. } => busy("no room on disk"),
        Stored::Local { .. } => busy("the disk of this mirror fails"),
        Stored::Bucket { .. } => busy("the bucket of this mirror fails"),
        Stored::Foreign { .. }
        | Stored::SpoolElsewhere { .. }
        | Stored::SpoolInStore { .. }
        | Stored::Url { .. } => busy("the store of this mirror cannot be used"),
    }
}

fn unsatisfiable() -> Told {
    plain(
        StatusCode::RANGE_NOT_SATISFIABLE,
        "UNSUPPORTED",
        "range not satisfiable",
    )
}

fn of_refusal(refusal: &Refusal, kind: Kind, limited: RateLimitStatus) -> Told {
    let told = by_kind(refusal, kind, limited);
    match refusal {
        Refusal::Gone { cause, .. } | Refusal::Misbehaved { cause } => Told {
            sentence: reason(cause).map_or(told.sentence, Cow::from),
            ..told
        },
        _ => told,
    }
}

/// What is wrong with the document or the request itself, which only this reason tells.
fn reason(cause: &Cause) -> Option<String> {
    match cause.downcast_ref::<Pulled>()? {
        error @ (Pulled::NotSupported { .. } | Pulled::Reserved { .. }) => Some(error.to_string()),
        // It may quote the document.
        Pulled::Unusable { source, .. } => {
            let text = format!("upstream sent a manifest that cannot be used: {source}");
            let shown = text.chars().filter(|c| !c.is_control());
            Some(shown.take(REASON_CHARS_MAX).collect())
        }
        _ => None,
    }
}

fn by_kind(refusal: &Refusal, kind: Kind, limited: RateLimitStatus) -> Told {
    match refusal {
        Refusal::Gone { .. } => match kind {
            Kind::Manifest => plain(
                StatusCode::NOT_FOUND,
                "MANIFEST_UNKNOWN",
                "upstream does not have this manifest",
            ),
            Kind::Blob => plain(
                StatusCode::NOT_FOUND,
                "BLOB_UNKNOWN",
                "upstream does not have this blob",
            ),
            Kind::Tags | Kind::Other => plain(
                StatusCode::NOT_FOUND,
                "NAME_UNKNOWN",
                "upstream does not have this repository",
            ),
            // With NAME_UNKNOWN clients would not look for the tag that stands in for the list.
            Kind::Referrers => plain(
                StatusCode::NOT_FOUND,
                "UNSUPPORTED",
                "upstream does not list referrers",
            ),
        },
        Refusal::Denied { .. } => plain(StatusCode::FORBIDDEN, "DENIED", "upstream denies access"),
        Refusal::Limited { retry_after, .. } => Told {
            status: match limited {
                RateLimitStatus::ServiceUnavailable => StatusCode::SERVICE_UNAVAILABLE,
                RateLimitStatus::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            },
            code: "TOOMANYREQUESTS",
            sentence: "upstream limits requests".into(),
            retry_after_secs: Some(retry_after.map_or(LIMITED_SECS, whole_secs)),
        },
        Refusal::Rejected { .. } => plain(
            StatusCode::BAD_GATEWAY,
            "UNAVAILABLE",
            "upstream rejects the credentials of this mirror",
        ),
        Refusal::TimedOut { .. } => plain(
            StatusCode::GATEWAY_TIMEOUT,
            "UNAVAILABLE",
            "upstream does not answer in time",
        ),
        Refusal::Unreachable { .. } => plain(
            StatusCode::BAD_GATEWAY,
            "UNAVAILABLE",
            "upstream cannot be reached",
        ),
        Refusal::Misbehaved { .. } => plain(
            StatusCode::BAD_GATEWAY,
            "UNAVAILABLE",
            "upstream sent something that cannot be right",
        ),
    }
}

fn sentence_of(refusal: route::Refusal) -> &'static str {
    match refusal {
        route::Refusal::Path => "nothing is served under this path",
        route::Refusal::Upstream => "the registry is not an upstream of this mirror",
        route::Refusal::Name => "invalid repository name",
        route::Refusal::Tag => "invalid tag",
        route::Refusal::Digest => "invalid digest",
        route::Refusal::Method => "this mirror is read-only",
    }
}

fn plain(status: StatusCode, code: &'static str, sentence: &'static str) -> Told {
    Told {
        status,
        code,
        sentence: sentence.into(),
        retry_after_secs: None,
    }
}

fn busy(sentence: &'static str) -> Told {
    Told {
        status: StatusCode::SERVICE_UNAVAILABLE,
        code: "UNAVAILABLE",
        sentence: sentence.into(),
        retry_after_secs: Some(BUSY_SECS),
    }
}

fn whole_secs(time: Duration) -> u64 {
    (time.as_secs() + u64::from(time.subsec_nanos() > 0)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    #[allow(clippy::too_many_lines, reason = "a table")]
    fn every_refusal_has_its_status() {
        let cause = || -> Cause { Arc::new(std::io::Error::other("secret detail")) };
        let rows = [
            (
                Refusal::Gone {
                    confirmed: true,
                    cause: cause(),
                },
                404,
                "MANIFEST_UNKNOWN",
                None,
            ),
            (
                Refusal::Gone {
                    confirmed: false,
                    cause: cause(),
                },
                404,
                "MANIFEST_UNKNOWN",
                None,
            ),
            (Refusal::Denied { cause: cause() }, 403, "DENIED", None),
            (
                Refusal::Rejected { cause: cause() },
                502,
                "UNAVAILABLE",
                None,
            ),
            (
                Refusal::Limited {
                    retry_after: None,
                    cause: cause(),
                },
                503,
                "TOOMANYREQUESTS",
                Some(60),
            ),
            (
                Refusal::Limited {
                    retry_after: Some(Duration::from_millis(2001)),
                    cause: cause(),
                },
                503,
                "TOOMANYREQUESTS",
                Some(3),
            ),
            (
                Refusal::TimedOut { cause: cause() },
                504,
                "UNAVAILABLE",
                None,
            ),
            (
                Refusal::Unreachable { cause: cause() },
                502,
                "UNAVAILABLE",
                None,
            ),
            (
                Refusal::Misbehaved { cause: cause() },
                502,
                "UNAVAILABLE",
                None,
            ),
        ];
        for (refusal, status, code, retry_after_secs) in rows {
            for error in [
                Stored::Refused(refusal.clone()),
                Stored::NotWhole {
                    refusal: refusal.clone(),
                },
            ] {
                let told = told(
                    &error.into(),
                    Kind::Manifest,
                    RateLimitStatus::ServiceUnavailable,
                );
                assert_eq!(
                    (told.status.as_u16(), told.code, told.retry_after_secs),
                    (status, code, retry_after_secs),
                    "{refusal:?}"
                );
                assert!(!told.sentence.contains("secret"));
            }
        }
    }

    #[test]
    fn not_found_names_what_was_asked() {
        let gone = || {
            Error::Store(
                Refusal::Gone {
                    confirmed: true,
                    cause: Arc::new(std::io::Error::other("")),
                }
                .into(),
            )
        };
        for (kind, code) in [
            (Kind::Manifest, "MANIFEST_UNKNOWN"),
            (Kind::Blob, "BLOB_UNKNOWN"),
            (Kind::Tags, "NAME_UNKNOWN"),
            (Kind::Referrers, "UNSUPPORTED"),
        ] {
            assert_eq!(
                told(&gone(), kind, RateLimitStatus::ServiceUnavailable).code,
                code
            );
        }
    }

    #[test]
    fn the_status_of_a_limit_can_be_chosen() {
        let limited = Refusal::Limited {
            retry_after: None,
            cause: Arc::new(std::io::Error::other("")),
        };
        let told = told(
            &Error::Store(limited.into()),
            Kind::Manifest,
            RateLimitStatus::TooManyRequests,
        );
        assert_eq!(told.status.as_u16(), 429);
    }
}
