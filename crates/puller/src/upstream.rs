//! The calls: what can be asked of an upstream.

use std::{fmt, sync::Arc, time::Duration};

use longshore_reference::Digest;
use tokio::time::Instant;

use crate::{
    Config, Endpoint, Error, Event,
    attempt::Plan,
    auth::{realm, token::Tokens},
    classify::Role,
    config::{Api, Observer},
    endpoint::{Bare, Contact, Distrust},
    health::Subject,
    http::Client,
    lookup::{self, Version},
    request::Ask,
    v1::sessions::Sessions,
};

/// One configured registry: its endpoints and what was learnt of them. Cheap to clone; clones share everything but the
/// deadline of [`within`](Self::within).
#[derive(Debug, Clone)]
pub struct Upstream {
    pub(crate) inner: Arc<Inner>,
    deadline: Option<Instant>,
}

/// What everything shares.
pub(crate) struct Inner {
    pub(crate) name: String,
    /// In the order in which they are asked: v2 before v1; mirrors first, the origin last.
    pub(crate) contacts: Vec<Contact>,
    pub(crate) sessions: Sessions,
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
                transport,
                tokens,
                distrust,
                realms,
                tokens_by_post,
                observer,
            }),
            deadline: None,
        })
    }

    /// The same upstream, whose calls end within `total` from now, tokens, redirects, retries and all endpoints
    /// included. A call that does not is [`Error::TimedOut`] and counts against the endpoint that was asked last, which
    /// a call that is dropped does not. A [`Download`](crate::Download) has to be opened by then; its body takes as long as it takes.
    #[must_use]
    pub fn within(&self, total: Duration) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            deadline: Some(Instant::now() + total),
        }
    }

    pub(crate) fn without_deadline(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            deadline: None,
        }
    }

    /// The name it was configured with.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// The endpoints of v2 in the order in which they are asked.
    pub(crate) fn plan(&self, ask: &Ask<'_>, digest: Option<Digest>) -> Plan<'_> {
        let endpoints = self.inner.endpoints(Version::V2);
        let distrust = &self.inner.distrust;
        let order = distrust.order(endpoints, digest.as_ref(), Instant::now());
        self.plan_of(order, ask.subject())
    }

    pub(crate) fn plan_of(&self, order: Vec<usize>, subject: Subject) -> Plan<'_> {
        Plan {
            inner: &self.inner,
            order,
            subject,
            deadline: self.deadline,
        }
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
