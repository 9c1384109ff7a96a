//! The retry loop: endpoint after endpoint, each tried as often as the rules allow.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, timeout_at};

use crate::{
    Error, Event,
    classify::{self, Next, Role},
    endpoint::{EndpointState, Endpoints},
    error::{Fault, Phase, Reason},
    exchange::Exchange,
    health::{Failed, Subject},
    http::Failure,
};

/// Which endpoints one call may ask, in which order, for what, and until when.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) endpoints: &'a Endpoints,
    /// Connects, and reports.
    pub(crate) exchange: &'a Exchange,
    /// Indexes of endpoints.
    pub(crate) order: Vec<usize>,
    pub(crate) subject: Subject,
    pub(crate) deadline: Option<Instant>,
}

/// When the same endpoint is tried again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// Tries at one endpoint.
    pub(crate) tries: u32,
    pub(crate) next: fn(&Error, Role) -> Next,
    /// How long to wait after so many failed tries.
    pub(crate) pause: fn(u32) -> Duration,
}

impl Rules {
    /// What may pass is tried three times.
    pub(crate) const DEFAULT: Self = Self {
        tries: 3,
        next: classify::next,
        pause,
    };
    /// Each endpoint once: the call retries by itself.
    pub(crate) const ONCE: Self = Self {
        tries: 1,
        ..Self::DEFAULT
    };
}

/// Asks the endpoints of `plan` one after the other until one answers or its error is final.
///
/// # Errors
/// What the origin said if it was asked, else what the last mirror said. Dropping the future counts as nothing.
pub(crate) async fn try_each<'a, T, F>(
    plan: Plan<'a>,
    rules: Rules,
    call: impl Fn(usize, &'a EndpointState) -> F,
) -> Result<T, Error>
where
    F: Future<Output = Result<T, Failure>>,
{
    let mut said = Said::default();
    let mut asked = false;
    for &index in &plan.order {
        let Some(endpoint) = plan.eligible(index).await else {
            continue;
        };
        if !endpoint.health.admit(&plan.subject, Instant::now()) {
            said.skip(index, endpoint);
            continue;
        }
        asked = true;
        match plan
            .try_one(rules, endpoint, || call(index, endpoint))
            .await
        {
            Ok(value) => return Ok(value),
            Err((error, next)) => {
                said.keep(endpoint.role, error);
                if next == Next::Stop {
                    return Err(said.error(&plan));
                }
            }
        }
    }
    let skipped = said.skipped.filter(|_| !asked);
    let Some((index, endpoint)) = skipped.and_then(|index| plan.last_resort(index)) else {
        return Err(said.error(&plan));
    };
    match plan
        .try_one(Rules::ONCE, endpoint, || call(index, endpoint))
        .await
    {
        Ok(value) => Ok(value),
        Err((error, _)) => {
            said.keep(endpoint.role, error);
            Err(said.error(&plan))
        }
    }
}

/// Tries one thing as often as the rules allow, and `may_retry`. What follows from the error comes with it.
pub(crate) async fn retry<T, F>(
    rules: Rules,
    role: Role,
    call: impl Fn() -> F,
    may_retry: impl Fn() -> bool,
) -> Result<T, (Failure, Next)>
where
    F: Future<Output = Result<T, Failure>>,
{
    let mut failed = 0;
    loop {
        let failure = match call().await {
            Ok(value) => return Ok(value),
            Err(failure) => failure,
        };
        failed += 1;
        let next = (rules.next)(&failure.error, role);
        if next != Next::Retry || failed >= rules.tries || !may_retry() {
            return Err((failure, next));
        }
        sleep((rules.pause)(failed)).await;
    }
}

impl<'a> Plan<'a> {
    async fn eligible(&self, index: usize) -> Option<&'a EndpointState> {
        let endpoint = self.endpoints.get(index)?;
        let is_eligible = endpoint.is_eligible(self.exchange.client()).await;
        is_eligible.then_some(endpoint)
    }

    async fn try_one<T, F>(
        &self,
        rules: Rules,
        endpoint: &'a EndpointState,
        call: impl Fn() -> F,
    ) -> Result<T, (Error, Next)>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let recorded = || async {
            // Boxed: it holds all of an exchange, and this loop moves it about.
            let call = Box::pin(call());
            let result = self.within_deadline(endpoint, call).await;
            match &result {
                Ok(_) => self.answered(endpoint),
                Err(failure) => self.failed(endpoint, failure),
            }
            result
        };
        let health = &endpoint.health;
        let may_retry = || health.may_retry(&self.subject, Instant::now());
        let result = retry(rules, endpoint.role, recorded, may_retry).await;
        result.map_err(|(failure, next)| match self.deadline {
            Some(deadline) if deadline <= Instant::now() => (failure.error, Next::Stop),
            _ => (failure.error, next),
        })
    }

    async fn within_deadline<T>(
        &self,
        endpoint: &EndpointState,
        call: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let Some(deadline) = self.deadline else {
            return call.await;
        };
        let late = |_| Failure {
            error: Error::timed_out(endpoint.host(), Phase::Headers),
            own: true,
        };
        timeout_at(deadline, call).await.map_err(late)?
    }

    fn answered(&self, endpoint: &EndpointState) {
        endpoint.answered();
        self.count_answer(endpoint);
    }

    fn failed(&self, endpoint: &EndpointState, failure: &Failure) {
        let Failure { error, own } = failure;
        let (upstream, host) = (self.exchange.name(), endpoint.host());
        tracing::debug!(upstream, endpoint = %host, %error, "try failed");
        if let Error::Misbehaved {
            fault: Fault::Digest,
            ..
        } = error
        {
            self.exchange.observe(Event::Mismatch);
        }
        // A rate limit, which may be known without asking, says nothing of whether the endpoint is well.
        if !own || matches!(error, Error::Limited { .. }) {
            return;
        }
        if !classify::is_no_answer(error) {
            endpoint.answered();
        }
        match failed(error) {
            None => self.count_answer(endpoint),
            Some(what) => {
                if endpoint.health.failed(&self.subject, what, Instant::now()) {
                    tracing::warn!(upstream, endpoint = %host, "endpoint is down");
                    self.report(endpoint, false);
                }
            }
        }
    }

    fn count_answer(&self, endpoint: &EndpointState) {
        if endpoint.health.succeeded(&self.subject) {
            self.report(endpoint, true);
        }
    }

    fn report(&self, endpoint: &EndpointState, up: bool) {
        let endpoint = endpoint.host();
        self.exchange.observe(Event::Up { endpoint, up });
    }

    /// Everything was skipped: the origin is asked all the same, now and then. Whatever the order became by distrust,
    /// the last one configured is the origin.
    fn last_resort(&self, index: usize) -> Option<(usize, &'a EndpointState)> {
        let endpoint = self.endpoints.get(index)?;
        let admitted = endpoint.health.admit_last(&self.subject, Instant::now());
        admitted.then_some((index, endpoint))
    }
}

/// What the endpoints said so far.
#[derive(Debug, Default)]
struct Said {
    error: Option<(Role, Error)>,
    /// The last of the endpoints whose circuit is open.
    skipped: Option<usize>,
}

impl Said {
    /// The origin's error stands; a mirror's only until another comes.
    fn keep(&mut self, role: Role, error: Error) {
        // A skipped endpoint does not hide what was answered.
        let skipped = is_circuit_open(&error);
        match &self.error {
            Some((Role::Origin, _)) if role == Role::Mirror || skipped => {}
            _ => self.error = Some((role, error)),
        }
    }

    fn skip(&mut self, index: usize, endpoint: &EndpointState) {
        self.skipped = self.skipped.max(Some(index));
        let error = Error::Unreachable {
            endpoint: Arc::clone(endpoint.host()),
            reason: Reason::CircuitOpen,
            source: None,
        };
        self.keep(endpoint.role, error);
    }

    fn error(self, plan: &Plan<'_>) -> Error {
        let none = || Error::NoEndpoints {
            reference: Arc::clone(&plan.subject.repository),
        };
        self.error.map_or_else(none, |(_, error)| error)
    }
}

/// What failed, if the endpoint did: every other error is an answer.
fn failed(error: &Error) -> Option<Failed> {
    match error {
        Error::Unreachable { reason, .. } => match reason {
            Reason::Connect | Reason::Tls => Some(Failed::Connection),
            // What is not implemented fails every time at a registry that is well.
            Reason::Status(501) => None,
            Reason::Lost | Reason::Status(_) | Reason::CircuitOpen => Some(Failed::Object),
        },
        Error::TimedOut { phase, .. } => match phase {
            Phase::Connect => Some(Failed::Connection),
            Phase::Headers | Phase::Body => Some(Failed::Object),
        },
        _ => None,
    }
}

/// Whether an endpoint was skipped because its circuit is open.
pub(crate) fn is_circuit_open(error: &Error) -> bool {
    matches!(
        error,
        Error::Unreachable {
            reason: Reason::CircuitOpen,
            ..
        }
    )
}

/// Exponential, with full jitter.
pub(crate) fn pause(failed: u32) -> Duration {
    let cap = PAUSE_MIN
        .saturating_mul(1 << failed.saturating_sub(1).min(10))
        .min(PAUSE_MAX);
    cap.mul_f64(rand::random::<f64>())
}

const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, Endpoint, limit::RateClass};

    type Upstream = (Endpoints, Exchange);

    fn upstream() -> Upstream {
        let origin = Endpoint::parse("https://registry.test").unwrap();
        let config = Config::new("registry.test", vec![origin.clone()]);
        let endpoints = Endpoints::new(&config, &origin);
        (endpoints, Exchange::new(&config).unwrap())
    }

    fn plan<'a>(upstream: &'a Upstream, object: &str, deadline: Option<Instant>) -> Plan<'a> {
        Plan {
            endpoints: &upstream.0,
            exchange: &upstream.1,
            order: vec![0],
            subject: Subject {
                class: RateClass::Tags,
                repository: object.into(),
                object: object.into(),
            },
            deadline,
        }
    }

    /// Clients that leave do not open the circuit for everyone.
    #[tokio::test(start_paused = true)]
    async fn calls_that_clients_drop_never_count() {
        let upstream = upstream();
        for n in 0..100 {
            let plan = plan(&upstream, &n.to_string(), None);
            let hangs = |_, _| std::future::pending::<Result<(), Failure>>();
            let call = try_each(plan, Rules::DEFAULT, hangs);
            let dropped = tokio::time::timeout(Duration::from_secs(9), call).await;
            assert!(dropped.is_err(), "{n}: it was not asked");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_of_the_call_is_a_time_out_that_counts() {
        let upstream = upstream();
        let start = Instant::now();
        let call = || {
            let deadline = Some(Instant::now() + Duration::from_secs(3));
            let hangs = |_, _| std::future::pending::<Result<(), Failure>>();
            try_each(plan(&upstream, "a", deadline), Rules::DEFAULT, hangs)
        };
        for _ in 0..5 {
            let error = call().await.unwrap_err();
            assert!(matches!(error, Error::TimedOut { .. }), "{error:?}");
        }
        assert_eq!(start.elapsed(), Duration::from_secs(15));
        // The last resort, then nothing for a second.
        assert!(matches!(call().await, Err(Error::TimedOut { .. })));
        let other = plan(&upstream, "b", None);
        try_each(other, Rules::DEFAULT, |_, _| async { Ok(()) })
            .await
            .unwrap();
    }

    #[test]
    fn pauses_grow_and_stay_below_their_cap() {
        for (failed, cap_millis) in [
            (1, 100),
            (2, 200),
            (3, 400),
            (5, 1600),
            (6, 2000),
            (40, 2000),
        ] {
            for _ in 0..200 {
                assert!(pause(failed) <= Duration::from_millis(cap_millis));
            }
        }
        let longest = (0..200).map(|_| pause(6)).max();
        assert!(longest > Some(Duration::from_secs(1)));
    }
}
