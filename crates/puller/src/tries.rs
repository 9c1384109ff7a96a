//! Which endpoint is asked next: order, retries with backoff, limits and circuit breakers.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    Error, Event,
    classify::{self, Next, Role, TRIES_MAX},
    endpoint::Contact,
    error::{Fault, Reason},
    http::Failure,
    limit::Ration,
    upstream::Inner,
};

/// The tries of one call.
pub(crate) struct Tries<'a> {
    inner: &'a Inner,
    ration: Ration,
    /// Indexes of endpoints.
    order: Vec<usize>,
    at: usize,
    /// Failed tries at the endpoint whose turn it is.
    failed: u32,
    /// The endpoint that is being asked, since when.
    asking: Option<(&'a Contact, Instant)>,
    asked: bool,
    /// The last of the endpoints that rest.
    rested: Option<usize>,
    done: bool,
    error: Option<(Role, Error)>,
}

impl<'a> Tries<'a> {
    pub(crate) fn new(inner: &'a Inner, ration: Ration, order: Vec<usize>) -> Self {
        Self {
            inner,
            ration,
            order,
            at: 0,
            failed: 0,
            asking: None,
            asked: false,
            rested: None,
            done: false,
            error: None,
        }
    }

    /// The endpoint with this index is asked first.
    pub(crate) fn prefer(&mut self, index: usize) {
        self.order.sort_by_key(|&i| i != index);
    }

    /// The endpoint with this index is asked last.
    pub(crate) fn defer(&mut self, index: usize) {
        self.order.sort_by_key(|&i| i == index);
    }

    /// Index and contact of the endpoint to ask now, after the pause a retry needs.
    ///
    /// # Errors
    /// When there is none left: what the origin said if it was asked, else what the last mirror said.
    pub(crate) async fn next(&mut self) -> Result<(usize, &'a Contact), Error> {
        if self.failed > 0 && !self.done {
            tokio::time::sleep(pause(self.failed)).await;
        }
        while let (false, Some(&index)) = (self.done, self.order.get(self.at)) {
            let Some(contact) = self.inner.contacts.get(index) else {
                break;
            };
            if !contact.is_eligible(&self.inner.transport).await {
                self.pass();
                continue;
            }
            match self.admit(contact) {
                Ok(()) => {
                    self.asked = true;
                    self.asking = Some((contact, Instant::now()));
                    return Ok((index, contact));
                }
                Err(error) => {
                    if is_resting(&error) {
                        self.rested = self.rested.max(Some(index));
                    }
                    self.keep(contact.role, error);
                    self.pass();
                }
            }
        }
        self.last()
    }

    /// The endpoint answered.
    pub(crate) fn succeeded(&mut self, contact: &Contact) {
        contact.answered();
        self.count_answer(contact);
    }

    fn count_answer(&mut self, contact: &Contact) {
        self.asking = None;
        let news = contact
            .breaker
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .succeeded();
        if news {
            self.inner.observe(Event::Up {
                endpoint: contact.host(),
                up: true,
            });
        }
    }

    /// The endpoint failed.
    pub(crate) fn failed(&mut self, contact: &Contact, failure: Failure) {
        let Failure { error, own } = failure;
        self.asking = None;
        tracing::debug!(upstream = %self.inner.name, endpoint = %contact.host(), error = %error, "try failed");
        if own && !classify::is_no_answer(&error) {
            contact.answered();
        }
        if let Error::Misbehaved {
            fault: Fault::Digest,
            ..
        } = error
        {
            self.inner.observe(Event::Mismatch);
        }
        // What is not implemented fails every time at a registry that is well.
        let down = match error {
            Error::Unreachable { reason, .. } => reason != Reason::Status(501),
            Error::TimedOut { .. } => true,
            _ => false,
        };
        if !down {
            self.count_answer(contact);
        } else if own {
            self.count_failure(contact);
        }
        match classify::next(&error, contact.role) {
            Next::Retry if self.failed + 1 < TRIES_MAX => self.failed += 1,
            Next::Retry | Next::Endpoint => self.pass(),
            Next::Stop => self.done = true,
        }
        self.keep(contact.role, error);
    }

    /// The endpoint failed, and whoever asked it has tried often enough.
    pub(crate) fn gave_up(&mut self, contact: &Contact, failure: Failure) {
        self.failed = TRIES_MAX;
        self.failed(contact, failure);
    }

    fn count_failure(&self, contact: &Contact) {
        let mut breaker = contact
            .breaker
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let news = breaker.failed(Instant::now());
        drop(breaker);
        if news {
            tracing::warn!(upstream = %self.inner.name, endpoint = %contact.host(), "endpoint is down");
            self.inner.observe(Event::Up {
                endpoint: contact.host(),
                up: false,
            });
        }
    }

    fn pass(&mut self) {
        self.at += 1;
        self.failed = 0;
    }

    fn admit(&self, contact: &Contact) -> Result<(), Error> {
        let now = Instant::now();
        let endpoint = || Arc::clone(contact.host());
        contact
            .limits
            .admit(self.ration, now)
            .map_err(|wait| Error::Limited {
                endpoint: endpoint(),
                retry_after: Some(wait),
            })?;
        if contact
            .breaker
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .admit(now)
        {
            return Ok(());
        }
        Err(Error::Unreachable {
            endpoint: endpoint(),
            reason: Reason::Resting,
            source: None,
        })
    }

    /// The word of the origin stands; a mirror's only until another is heard.
    fn keep(&mut self, role: Role, error: Error) {
        // A refusal to ask again does not hide what was answered.
        let resting = is_resting(&error);
        match &self.error {
            Some((Role::Origin, _)) if role == Role::Mirror || resting => {}
            _ => self.error = Some((role, error)),
        }
    }

    /// Nothing was asked because everything rests: the origin is asked all the same, now and then.
    fn last(&mut self) -> Result<(usize, &'a Contact), Error> {
        let resting = self
            .error
            .as_ref()
            .is_some_and(|(_, error)| is_resting(error));
        if !self.asked && !self.done && resting {
            self.done = true;
            // Whatever the order became by distrust, the last one configured is the origin.
            let index = self.rested.unwrap_or_default();
            if let Some(contact) = self.inner.contacts.get(index)
                && contact
                    .breaker
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .admit_last(Instant::now())
            {
                self.asking = Some((contact, Instant::now()));
                return Ok((index, contact));
            }
        }
        Err(self
            .error
            .take()
            .map_or_else(|| Error::config("endpoints", "none"), |(_, error)| error))
    }
}

impl Drop for Tries<'_> {
    /// A caller whose patience ended before ours never tells the outcome: an endpoint that kept it waiting has failed
    /// all the same, or one that hangs would never be left alone.
    fn drop(&mut self) {
        if let Some((contact, since)) = self.asking.take()
            && since.elapsed() >= SLOW
        {
            self.count_failure(contact);
        }
    }
}

/// Whether it was left alone, as it failed too often.
pub(crate) fn is_resting(error: &Error) -> bool {
    matches!(
        error,
        Error::Unreachable {
            reason: Reason::Resting,
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
/// What an abandoned try must have lasted to count as a failure.
const SLOW: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, Endpoint, Upstream};

    #[tokio::test(start_paused = true)]
    async fn tries_that_are_given_up_count_when_they_were_slow() {
        let endpoint = Endpoint::parse("https://registry.test").unwrap();
        let upstream = Upstream::new(Config::new("registry.test", vec![endpoint])).unwrap();
        let give_up_after = async |wait| {
            let mut tries = Tries::new(&upstream.inner, Ration::Other, vec![0]);
            let asked = tries.next().await.is_ok();
            tokio::time::advance(wait).await;
            asked
        };
        for _ in 0..10 {
            assert!(give_up_after(Duration::from_millis(1900)).await);
        }
        for _ in 0..5 {
            assert!(give_up_after(SLOW).await);
        }
        assert!(give_up_after(Duration::ZERO).await, "the last resort");
        assert!(!give_up_after(Duration::ZERO).await, "left alone");
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
