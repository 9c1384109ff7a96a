//! Work in sessions with one index after the other.

use std::sync::Arc;

use longshore_reference::Named;

use super::{
    ask::Index,
    session::Session,
    sessions::{Obtained, Sessions},
};
use crate::{
    Error,
    attempt::{Rules, retry, try_each},
    calls::Calls,
    endpoint::EndpointState,
    health::Subject,
    http::Failure,
    limit::RateClass,
    lookup::Version,
};

/// A session in use.
pub(crate) struct Visit<'a> {
    pub(crate) index: Index<'a>,
    /// Of the index among the endpoints.
    pub(crate) position: usize,
    pub(crate) session: Arc<Session>,
}

/// Works in a session with one index after the other until that succeeds or the error is final. One that gives no session
/// is retried and passed over as one that fails in v2.
pub(crate) async fn visit_each<'a, T, F>(
    calls: &'a Calls,
    sessions: &'a Sessions,
    named: &Named,
    (class, object): (RateClass, &str),
    work: impl Fn(Visit<'a>) -> F,
) -> Result<T, Error>
where
    F: Future<Output = Result<T, Failure>>,
{
    let subject = Subject {
        class,
        repository: named.path().into(),
        object: object.into(),
    };
    let plan = calls.plan_of(calls.endpoints.order(Version::V1, None), subject);
    let work = &work;
    try_each(plan, Rules::ONCE, |position, endpoint| {
        visit(calls, sessions, position, endpoint, named, work)
    })
    .await
}

/// Works in a session with one index; in a new one if the one that was held, or taken before, has ended.
async fn visit<'a, T, F>(
    calls: &'a Calls,
    sessions: &'a Sessions,
    position: usize,
    endpoint: &'a EndpointState,
    named: &Named,
    work: &impl Fn(Visit<'a>) -> F,
) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    let index = Index {
        requests: &calls.requests,
        endpoint,
    };
    let mut renewed = 0;
    loop {
        let open = || sessions.obtain(index, position, named.path());
        let opened = retry(Rules::DEFAULT, endpoint.role, open, || true).await;
        let obtained: Obtained = opened.map_err(|(failure, _)| failure)?;
        let session = Arc::clone(&obtained.session);
        let failure = match work(Visit {
            index,
            position,
            session: Arc::clone(&session),
        })
        .await
        {
            Ok(value) => return Ok(value),
            Err(failure) => failure,
        };
        if matches!(failure.error, Error::Denied { .. } | Error::Rejected { .. }) {
            sessions.forget(&obtained);
            let may_have_ended = obtained.held || (session.was_taken() && renewed == 0);
            if may_have_ended && renewed < RENEWALS_MAX {
                renewed += 1;
                continue;
            }
        }
        return Err(session.blame(failure));
    }
}

/// New sessions for one piece of work.
pub(super) const RENEWALS_MAX: u32 = 3;
