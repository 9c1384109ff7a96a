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
    error::Reason,
    limit::Ration,
    transport::Failure,
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
    asked: bool,
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
            asked: false,
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
            match self.admit(contact) {
                Ok(()) => {
                    self.asked = true;
                    return Ok((index, contact));
                }
                Err(error) => {
                    self.keep(contact.role, error);
                    self.pass();
                }
            }
        }
        self.last()
    }

    /// The endpoint answered.
    pub(crate) fn succeeded(&self, contact: &Contact) {
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
        tracing::debug!(upstream = %self.inner.name, endpoint = %contact.host(), error = %error, "try failed");
        let down = matches!(error, Error::Unreachable { .. } | Error::TimedOut { .. });
        if !down {
            self.succeeded(contact);
        } else if own {
            let news = contact
                .breaker
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .failed(Instant::now());
            if news {
                tracing::warn!(upstream = %self.inner.name, endpoint = %contact.host(), error = %error, "endpoint is down");
                self.inner.observe(Event::Up {
                    endpoint: contact.host(),
                    up: false,
                });
            }
        }
        match classify::next(&error, contact.role) {
            Next::Retry if self.failed + 1 < TRIES_MAX => self.failed += 1,
            Next::Retry | Next::Endpoint => self.pass(),
            Next::Stop => self.done = true,
        }
        self.keep(contact.role, error);
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
        let resting = matches!(
            error,
            Error::Unreachable {
                reason: Reason::Resting,
                ..
            }
        );
        match &self.error {
            Some((Role::Origin, _)) if role == Role::Mirror || resting => {}
            _ => self.error = Some((role, error)),
        }
    }

    /// Nothing was asked because everything rests: the origin is asked all the same, now and then.
    fn last(&mut self) -> Result<(usize, &'a Contact), Error> {
        let resting = matches!(
            self.error,
            Some((
                _,
                Error::Unreachable {
                    reason: Reason::Resting,
                    ..
                }
            ))
        );
        if !self.asked && !self.done && resting {
            self.done = true;
            let index = self.inner.contacts.len().saturating_sub(1);
            if let Some(contact) = self.inner.contacts.get(index)
                && contact
                    .breaker
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .admit_last(Instant::now())
            {
                return Ok((index, contact));
            }
        }
        Err(self
            .error
            .take()
            .map_or_else(|| Error::config("endpoints", "none"), |(_, error)| error))
    }
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
