//! The calls: what can be asked of an upstream.

use std::{fmt, sync::Arc};

use http::{Method, StatusCode};
use longshore_reference::{Canonical, Digest};
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
    request::Ask,
    transport::{self, Failure, Transport},
    tries::Tries,
};

/// One configured registry: its endpoints and what was learnt of them. Cheap to clone; clones share everything.
#[derive(Debug, Clone)]
pub struct Upstream {
    pub(crate) inner: Arc<Inner>,
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
            tokens_by_post,
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

    pub(crate) fn tries(&self, ask: &Ask<'_>, digest: Option<Digest>) -> Tries<'_> {
        let count = self.inner.contacts.len();
        let order = self
            .inner
            .distrust
            .order(count, digest.as_ref(), Instant::now());
        Tries::new(&self.inner, ask.ration(), order)
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
        StatusCode::OK => transport::content_length(headers),
        _ => range::total(headers),
    }
}
