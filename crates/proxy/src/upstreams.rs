//! The upstreams at run time: by which rules each is asked, and the client that asks it.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use longshore_puller::{Insecure, Upstream as Puller};
use longshore_reference::Named;
use longshore_store::Policy;
use moka::sync::Cache;

use crate::config::{self, Config, InsecureHosts, RateLimitStatus};
use crate::error::Error;
use crate::metrics::Metrics;
use crate::names::UpstreamId;

mod make;
pub(crate) mod remote;

pub(crate) use make::puller_config;
use make::{policy, puller};

/// Hosts of one wildcard upstream that are kept ready.
const WILDCARD_HOSTS_MAX: u64 = 256;

/// Every upstream that may be dialled, by its id.
pub(crate) struct Upstreams {
    all: Vec<Upstream>,
    insecure: InsecureHosts,
}

/// An upstream of the configuration: one registry, or all hosts of a domain. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Upstream(Arc<Entry>);

struct Entry {
    id: UpstreamId,
    configured: config::Upstream,
    policy: Arc<Policy>,
    insecure: Insecure,
    metrics: Arc<Metrics>,
    /// Shared with the snapshots of the configuration that have the same clients.
    known: Arc<Known>,
}

enum Known {
    /// Made when it is first asked for.
    One(OnceLock<Puller>),
    /// Those of a wildcard, each made when it is first asked for.
    Hosts(Cache<Box<str>, Puller>),
}

impl Upstreams {
    /// The upstreams of a configuration. Those of `before` whose clients would be made alike keep their clients.
    pub(crate) fn new(
        config: &Config,
        metrics: &Arc<Metrics>,
        before: Option<&Self>,
    ) -> Result<Self, Error> {
        let insecure = Insecure::parse(config.insecure.iter());
        let insecure = insecure.map_err(|source| Error::Upstream {
            name: "insecure".to_owned(),
            source,
        })?;
        let before = before.filter(|before| before.insecure == config.insecure);
        let entry = |(configured, id): (&config::Upstream, UpstreamId)| {
            let alike = |other: &&Upstream| other.0.configured.has_client_of(configured);
            let known = match before.and_then(|before| before.iter().find(alike)) {
                Some(other) => Arc::clone(&other.0.known),
                None => Arc::new(known(configured, id, &insecure, metrics)?),
            };
            Ok(Upstream(Arc::new(Entry {
                id,
                configured: configured.clone(),
                policy: Arc::new(policy(&configured.policy)),
                insecure: insecure.clone(),
                metrics: Arc::clone(metrics),
                known,
            })))
        };
        let all = config.upstreams.iter().zip(config.names().ids());
        Ok(Self {
            all: all.map(entry).collect::<Result<_, Error>>()?,
            insecure: config.insecure.clone(),
        })
    }

    /// The upstream that a route leads to.
    pub(crate) fn of(&self, id: UpstreamId) -> Result<&Upstream, Error> {
        let upstream = self.all.get(id.index());
        upstream
            .filter(|upstream| upstream.0.id == id)
            .ok_or(Error::Refused(crate::route::Refusal::Upstream))
    }

    /// The address of the clients of an upstream, which tells whether they are the same ones.
    #[cfg(test)]
    pub(crate) fn client_of(&self, name: &str) -> Option<usize> {
        let found = self
            .iter()
            .find(|upstream| upstream.0.configured.name == name);
        found.map(|upstream| Arc::as_ptr(&upstream.0.known).addr())
    }

    /// All of them, in the order of their ids.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Upstream> {
        self.all.iter()
    }
}

/// The clients of an upstream. Reading the system's certificates takes time: only what may be configured wrongly is made
/// at once.
fn known(
    configured: &config::Upstream,
    id: UpstreamId,
    insecure: &Insecure,
    metrics: &Arc<Metrics>,
) -> Result<Known, Error> {
    if configured.endpoints.is_empty() {
        return Ok(Known::Hosts(Cache::new(WILDCARD_HOSTS_MAX)));
    }
    let one = OnceLock::new();
    if configured.credentials.is_some() || configured.ca.is_some() {
        let made = puller(configured, &configured.name, id, insecure, metrics)?;
        one.get_or_init(|| made);
    }
    Ok(Known::One(one))
}

impl Upstream {
    /// How its content is kept and served.
    pub(crate) fn policy(&self) -> &Arc<Policy> {
        &self.0.policy
    }

    /// How long a request may take while an image is converted.
    pub(crate) fn convert_within(&self) -> Duration {
        self.0.configured.policy.convert_within
    }

    /// What a client is told when the upstream limits us.
    pub(crate) fn rate_limit_status(&self) -> RateLimitStatus {
        self.0.configured.policy.rate_limit_status
    }

    /// The client of a repository's registry, made when it is first needed.
    pub(crate) async fn puller(&self, named: &Named) -> Result<Puller, Error> {
        let ready = match &*self.0.known {
            Known::One(one) => one.get().cloned(),
            Known::Hosts(hosts) => hosts.get(named.domain()),
        };
        if let Some(ready) = ready {
            return Ok(ready);
        }
        // It reads certificates.
        let (upstream, domain) = (self.clone(), named.domain().to_owned());
        let made = tokio::task::spawn_blocking(move || upstream.make(&domain));
        made.await.map_err(|cause| Error::Read {
            path: "certificates".to_owned(),
            source: std::io::Error::other(cause),
        })?
    }

    /// Of two that are made at once, both requests take the same one.
    fn make(&self, domain: &str) -> Result<Puller, Error> {
        let Entry {
            id,
            configured,
            insecure,
            metrics,
            known,
            ..
        } = &*self.0;
        let made = puller(configured, domain, *id, insecure, metrics)?;
        Ok(match &**known {
            Known::One(one) => one.get_or_init(|| made).clone(),
            Known::Hosts(hosts) => hosts.get_with(domain.into(), || made),
        })
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Upstream")
            .field(&self.0.configured.name)
            .finish()
    }
}
