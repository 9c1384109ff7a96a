//! Tokens: kept per (credential, realm, service, scope) until shortly before their end, one exchange in flight.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use http::HeaderValue;
use longshore_reference::Digest;
use serde::Deserialize;
use tokio::time::Instant;

use crate::{
    Error,
    single_flight::{Shared, SingleFlight},
    sync::lock,
};

/// What a token is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    /// Which credentials asked; `None` for the anonymous client.
    pub(crate) login: Option<Digest>,
    pub(crate) realm: String,
    pub(crate) service: Option<String>,
    pub(crate) scope: String,
}

impl Key {
    fn without_scope(&self) -> Self {
        Self {
            scope: String::new(),
            ..self.clone()
        }
    }
}

/// What an exchange came to.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    pub(crate) result: Result<HeaderValue, Refusal>,
    /// Until when it holds. An error that is not kept holds until the moment it was made: those who joined the
    /// exchange see it, those who come later ask again.
    pub(crate) until: Instant,
}

/// Why there is no token.
#[derive(Debug, Clone)]
pub(crate) enum Refusal {
    /// The token endpoint answered 401 or 403.
    Refused,
    /// It could not be asked, or answered nonsense.
    Failed(Error),
}

/// A token in the hand.
pub(crate) struct Grant {
    key: Key,
    shared: Shared<Outcome>,
}

impl Grant {
    pub(crate) fn result(&self) -> &Result<HeaderValue, Refusal> {
        &self.shared.value.result
    }

    /// It was there already, so it may have ended early.
    pub(crate) fn cached(&self) -> bool {
        !self.shared.made
    }
}

/// The cache.
pub(crate) struct Tokens {
    outcomes: SingleFlight<Key, Outcome>,
    /// Refresh tokens that token endpoints gave, each for those credentials at that endpoint. They live here only.
    refresh: Mutex<HashMap<Key, Arc<str>>>,
    /// How long exchanges wait that were answered with 429, and until when.
    backoffs: Mutex<HashMap<Key, (Duration, Instant)>>,
}

/// What a token endpoint gave.
pub(crate) struct Answer {
    /// The whole `Authorization` value.
    pub(crate) header: HeaderValue,
    /// How long to use it.
    pub(crate) life: Duration,
    /// What to ask with next time.
    pub(crate) refresh: Option<Arc<str>>,
}

impl Tokens {
    /// The token for `key`; asked for by `exchange` unless it is held or on its way.
    pub(crate) async fn obtain(&self, key: Key, exchange: impl Future<Output = Outcome>) -> Grant {
        let now = Instant::now();
        let holds = |outcome: &Outcome| outcome.until > now;
        let shared = self.outcomes.obtain(&key, holds, |_| exchange).await;
        if shared.made && shared.value.result.is_ok() {
            lock(&self.backoffs).remove(&key);
        }
        Grant { key, shared }
    }

    /// Drops a token that was not accepted, unless another has replaced it already.
    pub(crate) fn forget(&self, grant: &Grant) {
        self.outcomes.forget(&grant.key, &grant.shared);
    }

    /// The refresh token that the token endpoint gave last for these credentials.
    pub(crate) fn refresh(&self, key: &Key) -> Option<Arc<str>> {
        self.lock_refresh().get(&key.without_scope()).cloned()
    }

    /// Keeps a refresh token instead of the one before it.
    pub(crate) fn keep_refresh(&self, key: &Key, token: Arc<str>) {
        let mut kept = self.lock_refresh();
        if kept.len() >= TOKENS_MAX {
            kept.clear();
        }
        kept.insert(key.without_scope(), token);
    }

    /// Drops a refresh token that was not accepted, unless another has replaced it already.
    pub(crate) fn forget_refresh(&self, key: &Key, token: &str) {
        let (mut kept, key) = (self.lock_refresh(), key.without_scope());
        if kept.get(&key).is_some_and(|held| **held == *token) {
            kept.remove(&key);
        }
    }

    /// How long to wait after a 429 that stated no time: 1 s, and twice as long each time, to a minute, until a token
    /// comes or it is long past.
    pub(crate) fn backoff(&self, key: &Key, now: Instant) -> Duration {
        let mut backoffs = lock(&self.backoffs);
        if backoffs.len() >= TOKENS_MAX {
            backoffs.clear();
        }
        let held = backoffs
            .get(key)
            .filter(|(_, until)| now < *until + BACKOFF_MAX);
        let wait = held.map_or(BACKOFF_MIN, |(wait, _)| (*wait * 2).min(BACKOFF_MAX));
        backoffs.insert(key.clone(), (wait, now + wait));
        wait
    }

    fn lock_refresh(&self) -> MutexGuard<'_, HashMap<Key, Arc<str>>> {
        lock(&self.refresh)
    }
}

impl Default for Tokens {
    fn default() -> Self {
        Self {
            outcomes: SingleFlight::new(TOKENS_MAX),
            refresh: Mutex::default(),
            backoffs: Mutex::default(),
        }
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens")
            .field("len", &self.outcomes.len())
            .finish()
    }
}

/// The answer of a token endpoint (distribution's token specification; `access_token` is OAuth 2's).
#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
    #[serde(default)]
    expires_in: Option<serde_json::Value>,
    #[serde(default)]
    refresh_token: Option<String>,
}

/// Reads the answer of a token endpoint; `None` when there is no usable token in it.
pub(crate) fn parse_answer(body: &[u8]) -> Option<Answer> {
    let document: Document = serde_json::from_slice(body).ok()?;
    let token = [document.access_token, document.token]
        .into_iter()
        .flatten()
        .find(|t| !t.is_empty())?;
    let mut header = HeaderValue::try_from(format!("Bearer {token}")).ok()?;
    header.set_sensitive(true);
    let secs = match document.expires_in {
        Some(serde_json::Value::Number(n)) => n.as_f64().unwrap_or(0.0),
        Some(serde_json::Value::String(s)) => s.trim().parse().unwrap_or(0.0),
        _ => 0.0,
    };
    let secs = if secs.is_nan() { LIFE_SECS_MIN } else { secs };
    let life = Duration::from_secs(secs.clamp(LIFE_SECS_MIN, LIFE_SECS_MAX) as u64);
    let refresh = document.refresh_token.filter(|token| !token.is_empty());
    Some(Answer {
        header,
        // A little before the end, so that a token does not end on its way.
        life: life - (life / 10).min(MARGIN_MAX),
        refresh: refresh.map(Into::into),
    })
}

/// Scopes in one order, each once: the same set is the same token.
pub(crate) fn scopes(text: &str) -> String {
    let mut scopes: Vec<&str> = text.split_ascii_whitespace().collect();
    scopes.sort_unstable();
    scopes.dedup();
    scopes.join(" ")
}

/// What a missing or shorter `expires_in` means (distribution's token specification).
const LIFE_SECS_MIN: f64 = 60.0;
const LIFE_SECS_MAX: f64 = 86_400.0;
const BACKOFF_MIN: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(60);
const MARGIN_MAX: Duration = Duration::from_secs(30);
/// Scopes are repositories: this many tokens of a few KiB at most.
const TOKENS_MAX: usize = 4096;

#[cfg(test)]
mod tests;
