//! A session with the index of a v1 registry: who it says has the images, and what it gave us to show there.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use http::{HeaderMap, HeaderValue};
use longshore_manifest::v1::ImageId;
use longshore_reference::{Digest, Hasher};
use url::Url;

use crate::{
    Error,
    auth::realm,
    http::{Failure, cookies::Cookies, same_origin},
    lookup,
    sync::lock,
};

/// What an index said of one repository.
pub(crate) struct Session {
    /// Where the repository is, in the order of the index.
    pub(crate) endpoints: Vec<Url>,
    /// The index.
    index: Url,
    login: Option<BasicLogin>,
    /// The whole `Authorization` value.
    token: Mutex<Option<HeaderValue>>,
    cookies: Mutex<Cookies>,
    /// An endpoint has taken it once: when it is refused afterwards, it has ended.
    taken: AtomicBool,
    /// What was learnt of images from the headers of their JSON.
    facts: Mutex<HashMap<ImageId, Facts>>,
    /// Credentials are configured that are of no use here.
    no_use: bool,
}

/// Credentials as they are sent to an index.
#[derive(Clone)]
pub(crate) struct BasicLogin {
    pub(crate) header: HeaderValue,
    /// They go with every request.
    pub(crate) always: bool,
    /// Tells them from others.
    pub(crate) id: Digest,
}

/// What a registry says of the layer of an image.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    /// Bytes.
    pub(crate) size: Option<u64>,
    /// Of the image's JSON, a line feed, and the layer.
    pub(crate) checksum: Option<Digest>,
    /// Has seen the JSON and the line feed.
    pub(crate) hasher: Hasher,
}

impl Session {
    /// The session with `index` before anything was asked.
    pub(super) fn new(index: &Url, login: Option<BasicLogin>) -> Self {
        Self {
            endpoints: vec![index.clone()],
            index: index.clone(),
            login,
            token: Mutex::default(),
            cookies: Mutex::default(),
            taken: AtomicBool::new(false),
            facts: Mutex::default(),
            no_use: false,
        }
    }

    /// Who we are for `url`: credentials where the index is asked for a token, and everywhere if it is the registry
    /// itself; else the token. Neither goes anywhere but to the index and the endpoints it named, and credentials not
    /// to one of another domain.
    pub(crate) fn authorization(
        &self,
        url: &Url,
        wants_token: bool,
        realms: &[String],
    ) -> Option<HeaderValue> {
        let index = &self.index;
        let is_listed = self.endpoints.iter().any(|e| same_origin(e, url));
        if !is_listed && !same_origin(index, url) {
            return None;
        }
        if let Some(login) = &self.login
            && (login.always || wants_token)
            && realm::may_have_credentials(url, index, realms)
        {
            return Some(login.header.clone());
        }
        lock(&self.token).clone()
    }

    /// Which credentials are in use.
    pub(crate) fn credential(&self) -> Option<Digest> {
        self.login.as_ref().map(|login| login.id)
    }

    /// Where the index says that the repository is; `None` if it names nothing that can be asked.
    pub(super) fn take_endpoints(&mut self, headers: &HeaderMap) -> Option<()> {
        self.endpoints = endpoints(&self.index, headers)?;
        Some(())
    }

    /// Credentials are configured that are of no use here.
    pub(super) fn without_use(self) -> Self {
        Self {
            no_use: true,
            ..self
        }
    }

    pub(crate) fn cookies(&self) -> &Mutex<Cookies> {
        &self.cookies
    }

    /// Keeps the token that came with a response of the host that was asked.
    pub(crate) fn learn(&self, headers: &HeaderMap) {
        if let Some(token) = token(headers) {
            *lock(&self.token) = Some(token);
        }
    }

    pub(crate) fn facts(&self, id: &ImageId) -> Option<Facts> {
        let facts = lock(&self.facts);
        facts.get(id).cloned()
    }

    /// What a refusal means to who asks: what is not seen without our credentials may be there for them.
    pub(crate) fn blame(&self, failure: Failure) -> Failure {
        match self.no_use {
            true => rejected(failure),
            false => failure,
        }
    }

    pub(super) fn take(&self) {
        self.taken.store(true, Ordering::Relaxed);
    }

    pub(crate) fn was_taken(&self) -> bool {
        self.taken.load(Ordering::Relaxed)
    }

    pub(crate) fn keep_facts(&self, id: &ImageId, new: Facts) {
        let mut facts = lock(&self.facts);
        if facts.len() >= FACTS_MAX {
            facts.clear();
        }
        facts.insert(id.clone(), new);
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

/// A refusal that our own credentials are to blame for.
pub(super) fn rejected(failure: Failure) -> Failure {
    let error = match failure.error {
        Error::Denied { endpoint, .. } | Error::NotFound { endpoint, .. } => Error::Rejected {
            endpoint,
            source: None,
        },
        error => error,
    };
    Failure { error, ..failure }
}

/// The `Authorization` value that shows a token: all values the index gave, after the word `Token`. Some registries put
/// that word into the value too, and then want it twice, as Docker sends it.
fn token(headers: &HeaderMap) -> Option<HeaderValue> {
    let values = headers.get_all(TOKEN).iter();
    let values: Vec<_> = values.filter_map(|v| v.to_str().ok()).collect();
    let text = values.join(",");
    if text.is_empty() || text.len() > TOKEN_BYTES_MAX {
        return None;
    }
    let mut header = HeaderValue::try_from(format!("Token {text}")).ok()?;
    header.set_sensitive(true);
    Some(header)
}

/// Where the repository is: every host the index named, asked by the scheme of the index; the index itself if it named
/// none. `None` if none of those it named is one.
fn endpoints(index: &Url, headers: &HeaderMap) -> Option<Vec<Url>> {
    if !headers.contains_key(ENDPOINTS) {
        return Some(vec![index.clone()]);
    }
    let values = headers.get_all(ENDPOINTS).iter();
    let hosts = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    let mut found = Vec::new();
    for host in hosts {
        let Some(mut url) = lookup::host(host.trim()) else {
            continue;
        };
        // `https` was only for parsing; a port that is its own must survive the change.
        if index.scheme() == "http" {
            url = Url::parse(&format!("http://{}/", host.trim())).ok()?;
        }
        url.set_path("/v1/");
        if found.len() < ENDPOINTS_MAX && !found.contains(&url) {
            found.push(url);
        }
    }
    (!found.is_empty()).then_some(found)
}

const TOKEN: &str = "x-docker-token";
pub(super) const ENDPOINTS: &str = "x-docker-endpoints";
const TOKEN_BYTES_MAX: usize = 16 << 10;
const ENDPOINTS_MAX: usize = 16;
const FACTS_MAX: usize = 4096;

#[cfg(test)]
mod tests;
