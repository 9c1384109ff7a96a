//! The calls: what can be asked of an upstream.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use http::{Method, StatusCode};
use longshore_reference::{Canonical, Digest};
use tokio::time::Instant;

use crate::{
    Config, Download, Endpoint, Error, Event, Kind,
    auth::{realm, token::Tokens},
    classify::Role,
    config::{Api, Observer},
    endpoint::{Bare, Contact, Distrust},
    error::Fault,
    http::{self as transport, Client, Failure, Response},
    lookup::{self, Version},
    request::Ask,
    tries::Tries,
    v1::sessions::Sessions,
    wire::{fields, range},
};

/// One configured registry: its endpoints and what was learnt of them. Cheap to clone; clones share everything.
#[derive(Debug, Clone)]
pub struct Upstream {
    pub(crate) inner: Arc<Inner>,
}

/// What everything shares.
pub(crate) struct Inner {
    pub(crate) name: String,
    /// In the order in which they are asked: v2 before v1; mirrors first, the origin last.
    pub(crate) contacts: Vec<Contact>,
    pub(crate) sessions: Sessions,
    /// It was seen to be a v2 registry.
    confirmed_v2: AtomicBool,
    pub(crate) transport: Client,
    pub(crate) tokens: Tokens,
    pub(crate) distrust: Distrust,
    pub(crate) realms: Vec<String>,
    pub(crate) tokens_by_post: bool,
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
        let contacts = contacts(&config, origin);
        let transport = Client::new(&config)?;
        let Config {
            name,
            realms,
            tokens_by_post,
            observer,
            ..
        } = config;
        let (tokens, distrust) = (Tokens::default(), Distrust::default());
        Ok(Self {
            inner: Arc::new(Inner {
                name,
                contacts,
                sessions: Sessions::default(),
                confirmed_v2: AtomicBool::new(false),
                transport,
                tokens,
                distrust,
                realms,
                tokens_by_post,
                observer,
            }),
        })
    }

    /// The name it was configured with.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// The size of a blob in bytes, without downloading it: by HEAD, where that is refused or gives no length by a
    /// GET of one byte. `None` when the registry has the blob but does not say.
    ///
    /// # Errors
    /// As [`manifest`](Self::manifest).
    pub async fn blob_size(&self, blob: &Canonical) -> Result<Option<u64>, Error> {
        self.admit_digest(blob)?;
        let head = blob_ask(blob, Method::HEAD, None);
        let first_byte = blob_ask(blob, Method::GET, Some("bytes=0-0".to_owned()));
        let mut tries = self.tries(&head, Some(blob.digest()));
        loop {
            let (_, contact) = tries.next().await?;
            let result = self.inner.ask(contact, &head).await;
            let refused = |failure: &Failure| {
                asks_for_body(failure, contact.role)
                    || matches!(failure.error, Error::Denied { .. })
            };
            let again = result.as_ref().err().is_some_and(refused);
            // Some servers answer every HEAD with a length of 0.
            let mut result = result.map(|response| size_of(&response).filter(|&size| size > 0));
            if again || matches!(result, Ok(None)) {
                result = match self.inner.ask(contact, &first_byte).await {
                    Ok(response) => {
                        let size = size_of(&response);
                        transport::drain(response, self.inner.transport.timeouts.headers).await;
                        Ok(size)
                    }
                    Err(failure) => Err(failure),
                };
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
    /// no web page, and the length that `size` (the whole blob's, where it is certain) lets expect.
    ///
    /// # Errors
    /// As [`manifest`](Self::manifest); [`Error::OutOfRange`] when `offset` is past `size`.
    pub async fn blob(
        &self,
        blob: &Canonical,
        offset: u64,
        size: Option<u64>,
    ) -> Result<Download, Error> {
        self.admit_digest(blob)?;
        Download::open(self.clone(), blob.clone(), offset, None, size).await
    }

    /// Opens the bytes from `start` to `end` (exclusive) of a blob by a range request; a cut is resumed within the range.
    /// The registry may ignore the range and send the whole ([`Download::ranges`] says so): then what precedes it is
    /// downloaded and dropped, and what follows it is not read. A range that reaches past the end of the blob ends there.
    ///
    /// # Errors
    /// As [`manifest`](Self::manifest); [`Error::OutOfRange`] when `start` is past `size`.
    pub async fn blob_range(
        &self,
        blob: &Canonical,
        start: u64,
        end: Option<u64>,
        size: Option<u64>,
    ) -> Result<Download, Error> {
        self.admit_digest(blob)?;
        Download::open(self.clone(), blob.clone(), start, end, size).await
    }

    pub(crate) fn tries(&self, ask: &Ask<'_>, digest: Option<Digest>) -> Tries<'_> {
        let endpoints = self.inner.endpoints(Version::V2);
        let order = self
            .inner
            .distrust
            .order(endpoints, digest.as_ref(), Instant::now());
        Tries::new(&self.inner, ask.ration(), order)
    }
}

/// What is asked in which order, made of what was configured.
fn contacts(config: &Config, origin: &Endpoint) -> Vec<Contact> {
    let rule = Arc::new(config.insecure.clone());
    let (mut v2, mut v1) = (Vec::new(), Vec::new());
    let last = config.endpoints.len().saturating_sub(1);
    for (index, endpoint) in config.endpoints.iter().enumerate() {
        let role = match index == last {
            true => Role::Origin,
            false => Role::Mirror,
        };
        let trusted = realm::same_domain(endpoint.url(), origin.url())
            && (endpoint.url().scheme() == "https" || origin.url().scheme() == "http");
        let shared = config.credentials.as_ref().filter(|_| trusted);
        let credentials = endpoint.credentials().or(shared);
        let bare = endpoint.is_bare().then(|| {
            let url = endpoint.url().clone();
            Arc::new(Bare::new(url, Arc::clone(&rule)))
        });
        for (url, version) in lookup::urls(endpoint.url(), endpoint.is_bare()) {
            let list = match (config.api, version, role) {
                (Api::Auto | Api::V2, Version::V2, _) => &mut v2,
                (Api::Auto, Version::V1, Role::Origin) | (Api::V1, Version::V1, _) => &mut v1,
                _ => continue,
            };
            let (bare, credentials) = (bare.clone(), credentials.cloned());
            let private = &config.private_addresses;
            list.push(Contact::new(url, version, bare, role, credentials, private));
        }
    }
    v2.append(&mut v1);
    v2
}

impl Inner {
    /// The indexes of the endpoints of this version.
    pub(crate) fn endpoints(&self, version: Version) -> Vec<usize> {
        let of_version = |&(_, contact): &(usize, &Contact)| contact.version == version;
        let found = self.contacts.iter().enumerate().filter(of_version);
        found.map(|(index, _)| index).collect()
    }

    /// It is a v2 registry: protocol v1 is out of the question from now on.
    pub(crate) fn confirm_v2(&self) {
        self.confirmed_v2.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_v2(&self) -> bool {
        self.confirmed_v2.load(Ordering::Relaxed)
    }

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

/// Whether a refusal of HEAD is to be confirmed by GET: it had no body that could explain it, and some registries
/// refuse HEAD as such. A mirror's word is not final, so it needs no confirmation.
pub(crate) fn asks_for_body(failure: &Failure, role: Role) -> bool {
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

fn size_of(response: &Response) -> Option<u64> {
    let headers = response.headers();
    match response.status() {
        StatusCode::OK => fields::content_length(headers),
        _ => range::total(headers),
    }
}
