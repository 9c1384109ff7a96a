//! Which clients may pull what: users of a file of passwords, and rules about repositories.

use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use longshore_reference::{Named, matches};
use moka::sync::Cache;
use tokio::sync::Semaphore;

mod htpasswd;
#[cfg(test)]
mod tests;

use htpasswd::Htpasswd;
pub use htpasswd::LineError;

/// Who may pull, as it is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clients {
    /// The file of users and hashed passwords.
    pub htpasswd: PathBuf,
    /// What clients are shown when they are asked for a password.
    pub realm: String,
    /// Repositories, with their registries, that need no password; `*` stands for any characters.
    pub anonymous: Vec<String>,
    /// What users may pull; without rules, every user may pull everything.
    pub rules: Vec<Rule>,
}

/// Repositories that some users may pull.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Patterns of user names.
    pub users: Vec<String>,
    /// Patterns of repositories with their registries.
    pub repositories: Vec<String>,
}

/// Why the file of passwords cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A line of it is not valid.
    #[error("{}, line {line}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// Why.
        #[source]
        source: LineError,
    },
}

/// Decides who may pull what.
pub(crate) struct Access {
    clients: Clients,
    users: Arc<Htpasswd>,
    /// Credentials that were right a moment ago, by a keyed hash: hashing a password takes some 100 ms.
    verified: Cache<Fingerprint, Arc<str>>,
    /// And those that were wrong.
    refused: Cache<Fingerprint, ()>,
    key: hmac::Key,
    /// Passwords that are hashed at once.
    hashing: Semaphore,
}

type Fingerprint = [u8; 32];

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Allowed,
    /// The client has to log in, or its password is wrong.
    Unauthenticated,
    /// This user may not.
    Denied,
}

impl Access {
    /// Reads the file of passwords.
    pub(crate) fn load(clients: &Clients) -> Result<Self, Error> {
        let path = || clients.htpasswd.clone();
        let text = fs::read_to_string(&clients.htpasswd).map_err(|source| Error::Read {
            path: path(),
            source,
        })?;
        let users = Htpasswd::parse(&text).map_err(|(line, source)| Error::Line {
            path: path(),
            line,
            source,
        })?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            clients: clients.clone(),
            users: Arc::new(users),
            verified: cache(VERIFIED_FOR),
            refused: cache(REFUSED_FOR),
            key: new_key(),
            hashing: Semaphore::new(cores),
        })
    }

    /// The one before, with what it remembers, where it decides the same.
    pub(crate) fn or_before(self, before: Option<&Arc<Self>>) -> Arc<Self> {
        match before {
            Some(before) if before.clients == self.clients && before.users == self.users => {
                Arc::clone(before)
            }
            _ => Arc::new(self),
        }
    }

    /// What clients are asked with: the value of `WWW-Authenticate`.
    pub(crate) fn challenge(&self) -> String {
        format!("Basic realm=\"{}\", charset=\"UTF-8\"", self.clients.realm)
    }

    /// Whether a request may be answered: about this repository, or none for `/v2/`.
    pub(crate) async fn check(&self, headers: &HeaderMap, named: Option<&Named>) -> Verdict {
        let repository = named.map(Named::to_string);
        if let Some(repository) = &repository
            && any_matches(&self.clients.anonymous, repository)
        {
            return Verdict::Allowed;
        }
        let Some(user) = self.authenticate(headers).await else {
            return Verdict::Unauthenticated;
        };
        let rules = &self.clients.rules;
        let allows = |rule: &Rule, repository: &str| {
            any_matches(&rule.users, &user) && any_matches(&rule.repositories, repository)
        };
        match repository {
            Some(repository) if !rules.is_empty() => {
                match rules.iter().any(|rule| allows(rule, &repository)) {
                    true => Verdict::Allowed,
                    false => Verdict::Denied,
                }
            }
            _ => Verdict::Allowed,
        }
    }

    /// The user whose password came with a request.
    async fn authenticate(&self, headers: &HeaderMap) -> Option<Arc<str>> {
        let value = headers.get(AUTHORIZATION)?.as_bytes();
        if value.len() > AUTHORIZATION_BYTES_MAX {
            return None;
        }
        let fingerprint = self.fingerprint(value)?;
        if let Some(user) = self.verified.get(&fingerprint) {
            return Some(user);
        }
        if self.refused.contains_key(&fingerprint) {
            return None;
        }
        let (user, password) = basic(value)?;
        // Closed never.
        let _permit = self.hashing.acquire().await.ok()?;
        if let Some(user) = self.verified.get(&fingerprint) {
            return Some(user);
        }
        let (users, name) = (Arc::clone(&self.users), user.clone());
        let verified = tokio::task::spawn_blocking(move || users.verify(&name, &password));
        if !verified.await.unwrap_or(false) {
            self.refused.insert(fingerprint, ());
            return None;
        }
        let user: Arc<str> = user.into();
        self.verified.insert(fingerprint, Arc::clone(&user));
        Some(user)
    }

    fn fingerprint(&self, value: &[u8]) -> Option<Fingerprint> {
        hmac::sign(&self.key, value).as_ref().try_into().ok()
    }
}

/// User and password of `Basic` credentials (RFC 7617 §2).
fn basic(value: &[u8]) -> Option<(String, Vec<u8>)> {
    let (scheme, token) = value.split_at_checked(BASIC.len())?;
    if !scheme.eq_ignore_ascii_case(BASIC) {
        return None;
    }
    let decoded = STANDARD.decode(token.trim_ascii()).ok()?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    let (user, password) = decoded.split_at_checked(colon)?;
    let user = std::str::from_utf8(user).ok()?;
    Some((user.to_owned(), password.get(1..)?.to_vec()))
}

fn any_matches(patterns: &[String], text: &str) -> bool {
    patterns.iter().any(|pattern| matches(pattern, text))
}

fn cache<T: Clone + Send + Sync + 'static>(time: Duration) -> Cache<Fingerprint, T> {
    Cache::builder()
        .max_capacity(REMEMBERED_MAX)
        .time_to_live(time)
        .build()
}

fn new_key() -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, &rand::random::<[u8; 32]>())
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("clients", &self.clients)
            .finish_non_exhaustive()
    }
}

/// How long a password that was right is not hashed again.
const VERIFIED_FOR: Duration = Duration::from_secs(300);
/// How long one that was wrong is refused without hashing it.
const REFUSED_FOR: Duration = Duration::from_secs(10);
const REMEMBERED_MAX: u64 = 10_000;
/// A user and a password of 72 bytes, which is what bcrypt takes, need much less.
const AUTHORIZATION_BYTES_MAX: usize = 4096;
const BASIC: &[u8] = b"basic ";
