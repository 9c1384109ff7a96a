//! The calls: what can be asked of an upstream.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use longshore_manifest::{Manifest, MediaType, guess};
use longshore_reference::{Canonical, Digest, Named, Reference};
use reqwest::Response;
use tokio::time::Instant;

use crate::{
    Config, Download, Endpoint, Error, Event, Kind,
    auth::{realm, token::Tokens},
    classify::Role,
    config::Observer,
    endpoint::{Contact, Distrust},
    error::Fault,
    range,
    request::{self, Ask},
    transport::{self, Failure, Transport},
    tries::Tries,
};

/// One configured registry: its endpoints and what was learnt of them. Cheap to clone; clones share everything.
#[derive(Debug, Clone)]
pub struct Upstream {
    pub(crate) inner: Arc<Inner>,
}

/// What a registry says of a manifest without sending it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Head {
    /// As the registry gave it; computed when the manifest itself had to be asked for. Several registries give none.
    pub digest: Option<Digest>,
    /// `Content-Type` without parameters, as the registry gave it.
    pub media_type: Option<String>,
    /// Bytes.
    pub size: Option<u64>,
}

/// A manifest as the registry sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fetched {
    /// The exact bytes; at most [`MANIFEST_BYTES_MAX`].
    pub bytes: Bytes,
    /// `Content-Type` without parameters, as the registry gave it.
    pub media_type: Option<String>,
    /// `Docker-Content-Digest` as the registry gave it. Where it can be compared with the bytes it was.
    pub digest: Option<Digest>,
}

/// A document that is passed on as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Passed {
    /// The document; at most [`LIST_BYTES_MAX`].
    pub bytes: Bytes,
    /// `Content-Type`, as the registry gave it.
    pub content_type: Option<String>,
    /// `Link`, as the registry gave it: its URL is the registry's own.
    pub link: Option<String>,
    /// `Warning`, `RateLimit-*`, `OCI-Filters-Applied`.
    pub headers: HeaderMap,
}

/// What everything shares.
pub(crate) struct Inner {
    pub(crate) name: String,
    /// Mirrors first, the origin last.
    pub(crate) contacts: Vec<Contact>,
    pub(crate) transport: Transport,
    pub(crate) tokens: Tokens,
    pub(crate) distrust: Distrust,
    pub(crate) realms: Vec<String>,
    observer: Observer,
}

impl Upstream {
    /// Prepares connections; asks nothing.
    ///
    /// # Errors
    /// [`Error::Config`] when there is no endpoint or the certificates cannot be used.
    pub fn new(config: Config) -> Result<Self, Error> {
        let Some(origin) = config.endpoints.last() else {
            return Err(Error::config("endpoints", "none given"));
        };
        let last = config.endpoints.len() - 1;
        let contact = |(index, endpoint): (usize, &Endpoint)| {
            let role = if index == last {
                Role::Origin
            } else {
                Role::Mirror
            };
            let trusted = realm::same_domain(endpoint.url(), origin.url())
                && (endpoint.url().scheme() == "https" || origin.url().scheme() == "http");
            let shared = config.credentials.as_ref().filter(|_| trusted);
            Contact::new(endpoint, role, endpoint.credentials().or(shared).cloned())
        };
        let contacts = config.endpoints.iter().enumerate().map(contact).collect();
        let transport = Transport::new(&config)?;
        let Config {
            name,
            realms,
            observer,
            ..
        } = config;
        let (tokens, distrust) = (Tokens::default(), Distrust::default());
        Ok(Self {
            inner: Arc::new(Inner {
                name,
                contacts,
                transport,
                tokens,
                distrust,
                realms,
                observer,
            }),
        })
    }

    /// The name it was configured with.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Asks whether the manifest is there and which it is: by HEAD, which pull limits do not count. HEAD answers carry
    /// no error body, so what the origin refuses is asked again by GET; if that gives a manifest, this is a success.
    ///
    /// # Errors
    /// As [`manifest`](Self::manifest).
    pub async fn check(&self, reference: &Reference) -> Result<Head, Error> {
        let ask = manifest_ask(reference, Method::HEAD);
        let mut tries = self.tries(&ask, reference.digest());
        loop {
            let (_, contact) = tries.next().await?;
            let result = match self.inner.ask(contact, &ask).await {
                Ok(response) => Ok(head(response.headers())),
                Err(failure) if asks_for_body(&failure, contact.role) => {
                    self.check_by_get(contact, reference).await
                }
                Err(failure) => Err(failure),
            };
            match result {
                Ok(head) => {
                    tries.succeeded(contact);
                    return Ok(head);
                }
                Err(failure) => tries.failed(contact, failure),
            }
        }
    }

    /// Fetches a manifest. For a digest the bytes are verified; for a tag they are compared with the digest the
    /// registry gave, where it gave one.
    ///
    /// # Errors
    /// All but [`Error::Config`].
    pub async fn manifest(&self, reference: &Reference) -> Result<Fetched, Error> {
        let ask = manifest_ask(reference, Method::GET);
        let mut tries = self.tries(&ask, reference.digest());
        loop {
            let (_, contact) = tries.next().await?;
            match self.fetch(contact, reference).await {
                Ok(fetched) => {
                    tries.succeeded(contact);
                    return Ok(fetched);
                }
                Err(failure) => tries.failed(contact, failure),
            }
        }
    }

    /// The size of a blob in bytes, without downloading it: by HEAD, where that is refused or gives no length by a
    /// GET of one byte. `None` when the registry has the blob but does not say.
    ///
    /// # Errors
    /// As [`manifest`](Self::manifest).
    pub async fn blob_size(&self, blob: &Canonical) -> Result<Option<u64>, Error> {
        let head = blob_ask(blob, Method::HEAD, None);
        let first_byte = blob_ask(blob, Method::GET, Some("bytes=0-0".to_owned()));
        let mut tries = self.tries(&head, Some(blob.digest()));
        loop {
            let (_, contact) = tries.next().await?;
            let mut result = self
                .inner
                .ask(contact, &head)
                .await
                .map(|response| size_of(&response));
            let refused = result
                .as_ref()
                .err()
                .is_some_and(|f| asks_for_body(f, Role::Origin));
            if refused || matches!(result, Ok(None)) {
                result = self
                    .inner
                    .ask(contact, &first_byte)
                    .await
                    .map(|response| size_of(&response));
            }
            match result {
                Ok(size) => {
                    tries.succeeded(contact);
                    return Ok(size);
                }
                Err(failure) => tries.failed(contact, failure),
            }
        }
    }

    /// Opens a blob at `offset` (bytes from its start). Returns once the response headers are there and right: status,
    /// no web page, and the length that `size` (the whole blob's, where it is known) lets expect.
    ///
    /// # Errors
    /// As [`manifest`](Self::manifest).
    pub async fn blob(
        &self,
        blob: &Canonical,
        offset: u64,
        size: Option<u64>,
    ) -> Result<Download, Error> {
        Download::open(self.clone(), blob.clone(), offset, size).await
    }

    /// The tags of a repository, one page; `query` (such as `n=100&last=x`) is passed on.
    ///
    /// # Errors
    /// As [`manifest`](Self::manifest).
    pub async fn tags(&self, named: &Named, query: Option<&str>) -> Result<Passed, Error> {
        let object = "/tags/list".to_owned();
        self.pass(named, Kind::Tags, object, query, None).await
    }

    /// The manifests that refer to a digest. `None` when the registry answers anything but an index: many do not know
    /// this call, and show web pages or errors of all kinds instead.
    ///
    /// # Errors
    /// [`Error::Unreachable`] and [`Error::TimedOut`].
    pub async fn referrers(
        &self,
        subject: &Canonical,
        query: Option<&str>,
    ) -> Result<Option<Passed>, Error> {
        let object = format!("/referrers/{}", subject.digest());
        match self
            .pass(
                subject.named(),
                Kind::Referrers,
                object,
                query,
                Some(subject.digest()),
            )
            .await
        {
            Ok(passed) => Ok(Some(passed)),
            Err(error @ (Error::Unreachable { .. } | Error::TimedOut { .. })) => Err(error),
            Err(_) => Ok(None),
        }
    }

    pub(crate) fn tries(&self, ask: &Ask<'_>, digest: Option<Digest>) -> Tries<'_> {
        let count = self.inner.contacts.len();
        let order = self
            .inner
            .distrust
            .order(count, digest.as_ref(), Instant::now());
        Tries::new(&self.inner, ask.ration(), order)
    }

    async fn check_by_get(
        &self,
        contact: &Contact,
        reference: &Reference,
    ) -> Result<Head, Failure> {
        let ask = manifest_ask(reference, Method::GET);
        if let Err(wait) = contact.limits.admit(ask.ration(), Instant::now()) {
            let error = Error::Limited {
                endpoint: Arc::clone(contact.host()),
                retry_after: Some(wait),
            };
            return Err(Failure { error, own: true });
        }
        let Fetched {
            bytes,
            media_type,
            digest,
        } = self.fetch(contact, reference).await?;
        let digest =
            digest.or_else(|| Some(reference.digest().unwrap_or_else(|| Digest::sha256(&bytes))));
        Ok(Head {
            digest,
            media_type,
            size: Some(bytes.len() as u64),
        })
    }

    async fn fetch(&self, contact: &Contact, reference: &Reference) -> Result<Fetched, Failure> {
        let inner = &self.inner;
        let own = |error| Failure { error, own: true };
        let response = inner
            .ask(contact, &manifest_ask(reference, Method::GET))
            .await?;
        let Head {
            digest,
            media_type,
            size,
        } = head(response.headers());
        let idle = inner.transport.timeouts.idle;
        let body = transport::body(response, contact.host(), idle, MANIFEST_BYTES_MAX);
        let bytes = body.await.map_err(own)?;
        inner.observe(Event::Bytes(bytes.len() as u64));
        let misbehaved = |fault| Err(own(Error::misbehaved(contact.host(), fault)));
        if let Some(expected) = size.filter(|&size| size != bytes.len() as u64) {
            return misbehaved(Fault::Length {
                expected,
                found: bytes.len() as u64,
            });
        }
        if bytes.trim_ascii_start().first() != Some(&b'{') {
            let is_page = bytes.trim_ascii_start().first() == Some(&b'<');
            return misbehaved(if is_page { Fault::Html } else { Fault::Json });
        }
        match reference.digest().or(digest) {
            Some(digest) if !is_right(&bytes, &digest, reference.digest().is_some()) => {
                misbehaved(Fault::Digest)
            }
            _ => Ok(Fetched {
                bytes,
                media_type,
                digest,
            }),
        }
    }

    async fn pass(
        &self,
        named: &Named,
        kind: Kind,
        object: String,
        query: Option<&str>,
        digest: Option<Digest>,
    ) -> Result<Passed, Error> {
        let ask = Ask {
            kind,
            method: Method::GET,
            repository: named.path(),
            object,
            query,
            range: None,
        };
        let mut tries = self.tries(&ask, digest);
        loop {
            let (_, contact) = tries.next().await?;
            match self.pass_from(contact, &ask).await {
                Ok(passed) => {
                    tries.succeeded(contact);
                    return Ok(passed);
                }
                Err(failure) => tries.failed(contact, failure),
            }
        }
    }

    async fn pass_from(&self, contact: &Contact, ask: &Ask<'_>) -> Result<Passed, Failure> {
        let response = self.inner.ask(contact, ask).await?;
        let own = |error| Failure { error, own: true };
        if ask.kind == Kind::Referrers {
            let media_type = request::media_type(response.headers());
            if media_type.as_deref() != Some(MediaType::OciIndex.as_str()) {
                return Err(own(Error::misbehaved(
                    contact.host(),
                    Fault::Header("content-type"),
                )));
            }
        }
        let received = response.headers().clone();
        let idle = self.inner.transport.timeouts.idle;
        let body = transport::body(response, contact.host(), idle, LIST_BYTES_MAX);
        let bytes = body.await.map_err(own)?;
        self.inner.observe(Event::Bytes(bytes.len() as u64));
        if bytes.trim_ascii_start().first() != Some(&b'{') {
            return Err(own(Error::misbehaved(contact.host(), Fault::Json)));
        }
        let mut headers = HeaderMap::new();
        for name in &PASSED {
            for value in received.get_all(name) {
                headers.append(name, value.clone());
            }
        }
        let content_type = request::text(&received, &header::CONTENT_TYPE);
        Ok(Passed {
            bytes,
            content_type,
            link: request::text(&received, &header::LINK),
            headers,
        })
    }
}

impl Inner {
    pub(crate) fn observe(&self, event: Event<'_>) {
        (self.observer)(event);
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner")
            .field("name", &self.name)
            .field("contacts", &self.contacts)
            .finish_non_exhaustive()
    }
}

pub(crate) fn blob_ask(blob: &Canonical, method: Method, range: Option<String>) -> Ask<'_> {
    let object = format!("/blobs/{}", blob.digest());
    Ask {
        kind: Kind::Blob,
        method,
        repository: blob.named().path(),
        object,
        query: None,
        range,
    }
}

fn manifest_ask(reference: &Reference, method: Method) -> Ask<'_> {
    let object = match reference {
        Reference::Tagged(tagged) => format!("/manifests/{}", tagged.tag()),
        Reference::Canonical(canonical) => format!("/manifests/{}", canonical.digest()),
    };
    Ask {
        kind: Kind::Manifest,
        method,
        repository: reference.named().path(),
        object,
        query: None,
        range: None,
    }
}

/// Whether a refusal of HEAD is to be confirmed by GET: it had no body that could explain it, and some registries
/// refuse HEAD as such. A mirror's word is not final, so it needs no confirmation.
fn asks_for_body(failure: &Failure, role: Role) -> bool {
    match &failure.error {
        Error::Misbehaved {
            fault: Fault::Status(status),
            ..
        } => matches!(status, 400 | 405 | 501) || (role == Role::Origin && *status < 500),
        Error::Unknown { .. } | Error::Denied { .. } => role == Role::Origin,
        Error::Unreachable {
            reason: crate::Reason::Status(501),
            ..
        } => true,
        _ => false,
    }
}

/// Whether a manifest is the digest's. A signed schema 1 manifest is known by the digest of its payload; what a registry
/// says of one that was asked for by tag is not held against it.
fn is_right(bytes: &Bytes, digest: &Digest, asked: bool) -> bool {
    if Digest::of(digest.algorithm(), bytes) == *digest {
        return true;
    }
    if guess(bytes) != Some(MediaType::Schema1Signed) {
        return false;
    }
    !asked
        || Manifest::decode(None, bytes.clone()).is_ok_and(|manifest| manifest.digest() == *digest)
}

fn head(headers: &HeaderMap) -> Head {
    let digest = headers
        .get(DOCKER_CONTENT_DIGEST)
        .and_then(|value: &HeaderValue| value.to_str().ok());
    Head {
        digest: digest.and_then(|text| Digest::parse(text.trim()).ok()),
        media_type: request::media_type(headers),
        size: transport::content_length(headers),
    }
}

fn size_of(response: &Response) -> Option<u64> {
    let headers = response.headers();
    match response.status() {
        StatusCode::OK => transport::content_length(headers),
        _ => range::total(headers),
    }
}

/// The largest manifest that is taken; bytes. Registries refuse to store larger ones.
pub const MANIFEST_BYTES_MAX: u64 = 4 << 20;
/// The largest list of tags or referrers that is taken; bytes.
pub const LIST_BYTES_MAX: u64 = 16 << 20;
const DOCKER_CONTENT_DIGEST: &str = "docker-content-digest";
static PASSED: [HeaderName; 8] = [
    header::WARNING,
    HeaderName::from_static("oci-filters-applied"),
    HeaderName::from_static("ratelimit-limit"),
    HeaderName::from_static("ratelimit-remaining"),
    HeaderName::from_static("ratelimit-reset"),
    HeaderName::from_static("ratelimit-policy"),
    HeaderName::from_static("docker-ratelimit-source"),
    HeaderName::from_static("ratelimit"),
];
