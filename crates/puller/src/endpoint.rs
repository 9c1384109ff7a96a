//! An endpoint in use: what we learnt of it, and in which order endpoints are asked.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use longshore_reference::Digest;
use tokio::time::Instant;
use url::Url;

use crate::{
    Credentials, Endpoint, address, auth::challenge::Challenge, breaker::Breaker, classify::Role,
    limit::Limits, transport::same_origin,
};

/// An endpoint with what we learnt of it.
#[derive(Debug)]
pub(crate) struct Contact {
    url: Url,
    host: Arc<str>,
    pub(crate) role: Role,
    pub(crate) credentials: Option<Credentials>,
    pub(crate) breaker: Mutex<Breaker>,
    pub(crate) limits: Limits,
    challenge: Mutex<Option<Challenge>>,
    rejected: Mutex<Option<(Digest, Instant)>>,
    inside: Mutex<Option<(bool, Instant)>>,
}

impl Contact {
    pub(crate) fn new(endpoint: &Endpoint, role: Role, credentials: Option<Credentials>) -> Self {
        let url = endpoint.url().clone();
        let name = url.host_str().unwrap_or_default();
        let host = url
            .port()
            .map_or_else(|| name.into(), |port| format!("{name}:{port}").into());
        Self {
            url,
            host,
            role,
            credentials,
            breaker: Mutex::default(),
            limits: Limits::default(),
            challenge: Mutex::default(),
            rejected: Mutex::default(),
            inside: Mutex::default(),
        }
    }

    /// Host and, unless it is the scheme's own, port: how logs, metrics and errors call it.
    pub(crate) fn host(&self) -> &Arc<str> {
        &self.host
    }

    /// `GET /v2/`.
    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    pub(crate) fn is_own(&self, url: &Url) -> bool {
        same_origin(&self.url, url)
    }

    /// The name a repository has there: what follows `v2/` in the base URL comes first.
    pub(crate) fn repository(&self, path: &str) -> String {
        let base = self.url.path();
        let prefix = base
            .rfind("/v2/")
            .and_then(|at| base.get(at + 4..))
            .unwrap_or_default();
        format!("{prefix}{path}")
    }

    /// The challenge it answered last.
    pub(crate) fn challenge(&self) -> Option<Challenge> {
        self.challenge
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn remember(&self, challenge: &Challenge) {
        *self
            .challenge
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(challenge.clone());
    }

    /// Whether these credentials were rejected a short while ago: some registries lock an account that keeps trying.
    pub(crate) fn has_rejected(&self, login: &Digest, now: Instant) -> bool {
        let rejected = self.rejected.lock().unwrap_or_else(PoisonError::into_inner);
        rejected
            .as_ref()
            .is_some_and(|(id, until)| id == login && now < *until)
    }

    pub(crate) fn reject(&self, login: Digest, now: Instant) {
        *self.rejected.lock().unwrap_or_else(PoisonError::into_inner) =
            Some((login, now + REJECTED_FOR));
    }

    /// Whether it has an address inside itself; then it may point to addresses inside.
    pub(crate) async fn is_inside(&self) -> bool {
        if let Some(address) = address::literal(&self.url) {
            return self
                .inside_seen()
                .unwrap_or_else(|| address::is_inside(address));
        }
        if let Some(inside) = self.inside_seen() {
            return inside;
        }
        let name = self.url.host_str().unwrap_or_default();
        let found = tokio::net::lookup_host((name, 0)).await;
        let inside = found.is_ok_and(|mut found| found.any(|a| address::is_inside(a.ip())));
        self.see_inside(inside);
        inside
    }

    fn inside_seen(&self) -> Option<bool> {
        let seen = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        seen.filter(|(_, until)| Instant::now() < *until)
            .map(|(inside, _)| inside)
    }

    pub(crate) fn see_inside(&self, inside: bool) {
        let until = Instant::now() + INSIDE_FOR;
        *self.inside.lock().unwrap_or_else(PoisonError::into_inner) = Some((inside, until));
    }
}

/// Endpoints that served wrong bytes for a digest: asked last for it for a while.
#[derive(Debug, Default)]
pub(crate) struct Distrust {
    until: Mutex<HashMap<(usize, Digest), Instant>>,
}

impl Distrust {
    pub(crate) fn add(&self, contact: usize, digest: Digest, now: Instant) {
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        if until.len() >= DISTRUSTED_MAX {
            until.retain(|_, until| now < *until);
        }
        if until.len() >= DISTRUSTED_MAX {
            until.clear();
        }
        until.insert((contact, digest), now + DISTRUSTED_FOR);
    }

    /// The order in which `count` endpoints are asked for `digest`.
    pub(crate) fn order(&self, count: usize, digest: Option<&Digest>, now: Instant) -> Vec<usize> {
        let mut order: Vec<usize> = (0..count).collect();
        if let Some(digest) = digest {
            let until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
            order.sort_by_key(|&index| {
                until
                    .get(&(index, *digest))
                    .is_some_and(|until| now < *until)
            });
        }
        order
    }
}

const REJECTED_FOR: Duration = Duration::from_secs(60);
const INSIDE_FOR: Duration = Duration::from_secs(60);
const DISTRUSTED_FOR: Duration = Duration::from_secs(300);
const DISTRUSTED_MAX: usize = 4096;
