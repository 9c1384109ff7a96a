//! A session with the index of a v1 registry: who it says has the images, and what it gave us to show there.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::{HeaderMap, HeaderValue};
use longshore_manifest::v1::ImageId;
use longshore_reference::{Digest, Hasher};
use tokio::time::Instant;
use url::Url;

use super::{ask::Get, cookies::Cookies, ping::Ping};
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
    list::LIST_BYTES_MAX,
    lookup,
    transport::{Failure, same_origin},
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

/// The sessions of an upstream, each for a few minutes.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    kept: Mutex<HashMap<Key, Kept>>,
}

/// Index of the endpoint, and the repository.
type Key = (usize, String);

#[derive(Debug)]
struct Kept {
    session: Arc<Session>,
    until: Instant,
}

impl Sessions {
    fn find(&self, index: usize, repository: &str) -> Option<Arc<Session>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = kept.get(&(index, repository.to_owned()))?;
        (Instant::now() < kept.until).then(|| Arc::clone(&kept.session))
    }

    fn keep(&self, index: usize, repository: &str, session: &Arc<Session>) {
        let now = Instant::now();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= SESSIONS_MAX {
            kept.retain(|_, kept| now < kept.until);
        }
        if kept.len() >= SESSIONS_MAX {
            kept.clear();
        }
        let (session, until) = (Arc::clone(session), now + KEPT_FOR);
        kept.insert((index, repository.to_owned()), Kept { session, until });
    }

    pub(crate) fn forget(&self, index: usize, repository: &str) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.remove(&(index, repository.to_owned()));
    }
}

impl Session {
    /// The session with `contact` before anything was asked.
    fn new(contact: &Contact, login: Option<(HeaderValue, bool)>) -> Self {
        Self {
            endpoints: vec![contact.url().clone()],
            login,
            token: Mutex::default(),
            cookies: Mutex::default(),
            taken: AtomicBool::new(false),
            facts: Mutex::default(),
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
        self.token
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn cookie(&self, url: &Url) -> Option<HeaderValue> {
        let cookies = self.cookies.lock().unwrap_or_else(PoisonError::into_inner);
        cookies.header(url)
    }

    /// Takes over cookies and a token from what `url` itself answered.
    pub(crate) fn learn(&self, url: &Url, headers: &HeaderMap) {
        let mut cookies = self.cookies.lock().unwrap_or_else(PoisonError::into_inner);
        cookies.keep(url, headers);
        drop(cookies);
        if let Some(token) = token(headers) {
            *self.token.lock().unwrap_or_else(PoisonError::into_inner) = Some(token);
        }
    }

    pub(crate) fn facts(&self, id: &ImageId) -> Option<Facts> {
        let facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
        facts.get(id).cloned()
    }

    pub(super) fn take(&self) {
        self.taken.store(true, Ordering::Relaxed);
    }

    pub(crate) fn was_taken(&self) -> bool {
        self.taken.load(Ordering::Relaxed)
    }

    pub(crate) fn keep_facts(&self, id: &ImageId, new: Facts) {
        let mut facts = self.facts.lock().unwrap_or_else(PoisonError::into_inner);
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
        if let Some(session) = self.sessions.find(index, repository) {
            return Ok((session, true));
        }
        let session = Arc::new(self.open_v1(contact, repository).await?);
        self.sessions.keep(index, repository, &session);
        Ok((session, false))
    }

    /// Asks the index where the repository is, and for a token. A password that it does not accept is our own failure:
    /// it is asked without, and the password left alone for a while, as some registries lock an account that keeps trying.
    async fn open_v1(&self, contact: &Contact, repository: &str) -> Result<Session, Failure> {
        let ping = self.ping_v1(contact).await?;
        let login = self.login_v1(contact, repository).await;
        let Some((login, header)) = login.and_then(|login| Some((login.id, login.header?))) else {
            return self.open_v1_with(contact, repository, ping, None).await;
        };
        if !contact.has_rejected(&login, Instant::now()) {
            match self
                .open_v1_with(contact, repository, ping, Some(header))
                .await
            {
                Err(Failure {
                    error: Error::Rejected { .. },
                    ..
                }) => {
                    contact.reject(login, Instant::now());
                    self.rejected(contact);
                }
                opened => return opened,
            }
        }
        let opened = self.open_v1_with(contact, repository, ping, None).await;
        opened.map_err(|failure| match failure.error {
            Error::Denied { endpoint, .. } | Error::Unknown { endpoint, .. } => Failure {
                error: Error::Rejected {
                    endpoint,
                    source: None,
                },
                own: failure.own,
            },
            error => Failure { error, ..failure },
        })
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
        contact.see_ping(Ping {
            speaks: true,
            ..ping
        });
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
        contact.see_ping(ping);
        Ok(ping)
    }

    /// Protocol v1 knows Basic alone, and a token for a token endpoint is no password.
    async fn login_v1(&self, contact: &Contact, repository: &str) -> Option<Login> {
        let sought = Sought {
            endpoint: contact.host(),
            upstream: (contact.role == Role::Origin).then_some(self.name.as_str()),
            repository,
        };
        match contact.credentials.as_ref()?.login(sought, None).await {
            Ok(login) => login.filter(|login| login.means() == Means::Password),
            Err(error) => {
                tracing::warn!(upstream = %self.name, endpoint = %contact.host(), %error, "credentials unreadable, asking anonymously");
                self.observe(Event::CredentialsRejected);
                None
            }
        }
    }
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
const SESSIONS_MAX: usize = 256;
const FACTS_MAX: usize = 4096;
const KEPT_FOR: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests;
