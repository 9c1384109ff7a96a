//! A session with the index of a v1 registry: who it says has the images, and what it gave us to show there.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use http::{HeaderMap, HeaderValue, StatusCode};
use longshore_manifest::v1::ImageId;
use longshore_reference::{Digest, Hasher};
use tokio::time::Instant;
use url::Url;

use super::{ask::Get, ping::Ping};
use crate::{
    Error, Event, Kind,
    auth::{
        credentials::{Login, Means},
        keyring::Sought,
        realm,
    },
    classify::Role,
    endpoint::Contact,
    error::Fault,
    http::{Failure, cookies::Cookies, same_origin},
    list::LIST_BYTES_MAX,
    lookup,
    sync::lock,
    upstream::Inner,
};

/// What an index said of one repository.
pub(crate) struct Session {
    /// Where the repository is, in the order of the index.
    pub(crate) endpoints: Vec<Url>,
    /// Basic credentials, and whether they go with every request.
    login: Option<(HeaderValue, bool)>,
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

/// How we introduce ourselves to an index. Protocol v1 knows Basic alone.
enum Way {
    /// No credentials are configured.
    Anonymous,
    Password(Box<Login>, HeaderValue),
    /// Credentials that cannot be read, or that are no password.
    NoUse,
}

impl Session {
    /// The session with `contact` before anything was asked.
    pub(super) fn new(contact: &Contact, login: Option<(HeaderValue, bool)>) -> Self {
        Self {
            endpoints: vec![contact.url().clone()],
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
        contact: &Contact,
        get: &Get,
        realms: &[String],
    ) -> Option<HeaderValue> {
        let index = contact.url();
        let listed = self.endpoints.iter().any(|e| same_origin(e, &get.url));
        if !listed && !same_origin(index, &get.url) {
            return None;
        }
        if let Some((login, always)) = &self.login
            && (*always || get.wants_token)
            && realm::may_have_credentials(&get.url, index, realms)
        {
            return Some(login.clone());
        }
        lock(&self.token).clone()
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

impl Inner {
    /// The session for a repository, and whether it was held already.
    pub(crate) async fn session_v1(
        &self,
        index: usize,
        contact: &Contact,
        repository: &str,
    ) -> Result<(Arc<Session>, bool), Failure> {
        let open = self.open_v1(contact, repository);
        self.sessions.obtain(index, repository, open).await
    }

    /// Asks the index where the repository is, and for a token. A password that it does not accept is our own failure:
    /// it is looked up once more, then it is asked without, and the password left alone for a while, as some registries
    /// lock an account that keeps trying.
    async fn open_v1(&self, contact: &Contact, repository: &str) -> Result<Session, Failure> {
        let ping = self.ping_v1(contact).await?;
        let mut stale: Option<Box<Login>> = None;
        let no_use = loop {
            let (login, header) = match self.login_v1(contact, repository, stale.as_deref()).await {
                Way::Password(login, header) => (login, header),
                Way::Anonymous => break stale.is_some(),
                Way::NoUse => break true,
            };
            if stale.as_ref().is_some_and(|stale| stale.id == login.id) {
                break true;
            }
            if !contact.has_rejected(&login.id, Instant::now()) {
                let opened = self.open_v1_with(contact, repository, ping, Some(header));
                match opened.await {
                    Err(Failure {
                        error: Error::Rejected { .. },
                        ..
                    }) => {
                        contact.reject(login.id, Instant::now());
                        self.rejected(contact);
                    }
                    opened => return opened,
                }
            }
            if stale.replace(login).is_some() {
                break true;
            }
        };
        let opened = self.open_v1_with(contact, repository, ping, None).await;
        match no_use {
            true => opened
                .map(|session| Session { no_use, ..session })
                .map_err(rejected),
            false => opened,
        }
    }

    async fn open_v1_with(
        &self,
        contact: &Contact,
        repository: &str,
        ping: Ping,
        login: Option<HeaderValue>,
    ) -> Result<Session, Failure> {
        let own = |error| Failure { error, own: true };
        let mut session = Session::new(contact, login.map(|login| (login, ping.standalone)));
        let path = format!("repositories/{repository}/images");
        let mut get = Get::new(contact.url(), &path, Kind::Token);
        get.wants_token = true;
        let (headers, body) = self
            .document_once(contact, &session, &get, LIST_BYTES_MAX)
            .await?;
        // What it lists is of no use: the checksums in it were never right. But a list it is.
        if body.trim_ascii_start().first() != Some(&b'[') {
            return Err(own(Error::misbehaved(contact.host(), Fault::Json)));
        }
        contact.see_v1();
        session.endpoints = endpoints(contact.url(), &headers)
            .ok_or_else(|| own(Error::misbehaved(contact.host(), Fault::Header(ENDPOINTS))))?;
        Ok(session)
    }

    async fn ping_v1(&self, contact: &Contact) -> Result<Ping, Failure> {
        if let Some(ping) = contact.pinged() {
            return Ok(ping);
        }
        if lookup::is_docker_index(contact.url()) {
            return Ok(Ping::DOCKER);
        }
        let get = Get::new(contact.url(), "_ping", Kind::Ping);
        let (status, headers, body) = self.any_v1(contact, &get).await?;
        let ping = Ping::parse(status, &headers, &body);
        // In trouble it says nothing about itself.
        if status != StatusCode::TOO_MANY_REQUESTS && !status.is_server_error() {
            contact.see_ping(ping);
        }
        Ok(ping)
    }

    async fn login_v1(&self, contact: &Contact, repository: &str, stale: Option<&Login>) -> Way {
        let sought = Sought {
            endpoint: contact.host(),
            upstream: (contact.role == Role::Origin).then_some(self.name.as_str()),
            repository,
        };
        let Some(credentials) = &contact.credentials else {
            return Way::Anonymous;
        };
        match credentials.login(sought, stale).await {
            Ok(None) => Way::Anonymous,
            Ok(Some(login)) => match login.header.clone() {
                Some(header) if login.means() == Means::Password => {
                    Way::Password(Box::new(login), header)
                }
                _ => {
                    tracing::warn!(upstream = %self.name, endpoint = %contact.host(), "no password among the credentials, asking anonymously");
                    self.observe(Event::CredentialsRejected);
                    Way::NoUse
                }
            },
            Err(error) => {
                tracing::warn!(upstream = %self.name, endpoint = %contact.host(), %error, "credentials unreadable, asking anonymously");
                self.observe(Event::CredentialsRejected);
                Way::NoUse
            }
        }
    }
}

/// A refusal that our own credentials are to blame for.
fn rejected(failure: Failure) -> Failure {
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
const ENDPOINTS: &str = "x-docker-endpoints";
const TOKEN_BYTES_MAX: usize = 16 << 10;
const ENDPOINTS_MAX: usize = 16;
const FACTS_MAX: usize = 4096;

#[cfg(test)]
mod tests;
