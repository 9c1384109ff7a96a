//! What a whole and valid configuration is made of.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use longshore_store::{Amount, Pin};

use super::credentials::Credentials;
use super::value::{
    Age, Api, Endpoint, InsecureHosts, OnDeleted, OnDenied, PrivateAddresses, RateLimitStatus,
    StoreUrl, UpstreamName,
};
use crate::access::Clients;
use crate::server::tls;

/// Everything `longshore serve` needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where clients are served.
    pub listen: SocketAddr,
    /// Where metrics and health are served; with the clients' where absent.
    pub admin_listen: Option<SocketAddr>,
    /// Certificates of the listener for clients; without them it serves in plain.
    pub tls: Option<tls::Files>,
    /// Who may pull; absent: everyone.
    pub clients: Option<Clients>,
    /// Connections of clients open at the same time; more wait to be accepted.
    pub connections_max: usize,
    /// Where content is kept.
    pub store: Store,
    /// Which registries need no TLS.
    pub insecure: InsecureHosts,
    /// Every upstream that may be dialled: the configured ones, then the public ones that were not.
    pub upstreams: Vec<Upstream>,
}

/// Where content is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// The store as it was given.
    pub url: StoreUrl,
    /// The folder of the local tier: that of a `file://` store, else the one that holds `spool`.
    pub local: PathBuf,
    /// Where fills under way are written; on the file system of `local`.
    pub spool: PathBuf,
    /// How much the local tier may hold; by default half of what is free at the start, beside what it holds then.
    pub capacity: Option<Amount>,
    /// How much of the local tier's file system stays free.
    pub min_free: Amount,
    /// What is never evicted.
    pub pins: Vec<Pin>,
    /// How long a round takes in which every kept file is hashed again; zero: none is made.
    pub scrub: Duration,
    /// Fills under way at the same time.
    pub fills_max: usize,
}

/// One upstream, with everything it inherited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// Its name, as [`canonical`](crate::names::canonical) gives it; `*.` and a domain for all hosts of that domain.
    pub name: String,
    /// Mirrors first, the origin last. Empty for a wildcard: see [`endpoints_for`](Self::endpoints_for).
    pub endpoints: Vec<Endpoint>,
    /// The protocol it speaks.
    pub api: Api,
    /// What we log in with.
    pub credentials: Option<Credentials>,
    /// A PEM or DER file of certificates that are trusted beside the system's: authorities, or servers' own.
    pub ca: Option<PathBuf>,
    /// The certificate that is shown to its endpoints.
    pub client_certificate: Option<ClientCertificate>,
    /// A folder with a folder `host[:port]` of certificates for each endpoint, as docker and podman have them.
    pub certs_dir: Option<PathBuf>,
    /// `Host` names by which clients address this upstream, in lower case.
    pub hosts: Vec<String>,
    /// Hosts that may be given the credentials as token realms, beside the endpoints' own.
    pub realms: Vec<String>,
    /// Non-public addresses that redirects and token servers may have.
    pub private_addresses: PrivateAddresses,
    /// When to ask it and what to make of its answers.
    pub policy: Policy,
}

/// A client certificate: two PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate, and the chain that leads from it to an authority.
    pub chain: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// When to ask an upstream, and what to make of its answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// How long a tag is served without asking upstream again.
    pub revalidate: Age,
    /// How long past its last check a tag may be served while upstream fails.
    pub max_stale: Age,
    /// How long "not found" and "denied" are remembered.
    pub negative_ttl: Duration,
    /// How long a request may take until our headers go out.
    pub answer_within: Duration,
    /// How long a request may take while an image of an old format is converted.
    pub convert_within: Duration,
    /// What becomes of a cached tag that upstream has deleted.
    pub on_deleted: OnDeleted,
    /// What becomes of a cached tag that upstream denies us.
    pub on_denied: OnDenied,
    /// What a client is told when upstream limits us and nothing is cached.
    pub rate_limit_status: RateLimitStatus,
    /// Whether a stale tag is served only when all that it needs is cached.
    pub stale_needs_whole: bool,
}

/// What the command line says instead of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--listen`
    pub listen: Option<SocketAddr>,
    /// `--store`
    pub store: Option<StoreUrl>,
    /// `--upstream NAME=URL`, in the order given: the endpoints of each upstream named.
    pub upstreams: Vec<(UpstreamName, Endpoint)>,
}

impl Upstream {
    /// Whether the same client serves both: everything is equal but the policy and the hosts of clients.
    pub(crate) fn has_client_of(&self, other: &Self) -> bool {
        let client = |upstream: &Self| Self {
            policy: Policy::default(),
            hosts: Vec::new(),
            ..upstream.clone()
        };
        client(self) == client(other)
    }

    /// Where to ask for repositories of `domain`, which is this upstream's name or, for a wildcard, a name it stands for.
    #[must_use]
    pub fn endpoints_for(&self, domain: &str) -> Vec<Endpoint> {
        if self.endpoints.is_empty() {
            return Endpoint::parse(&format!("https://{domain}"))
                .into_iter()
                .collect();
        }
        self.endpoints.clone()
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            revalidate: Age::Within(Duration::from_secs(60)),
            max_stale: Age::Forever,
            negative_ttl: Duration::from_secs(10),
            answer_within: Duration::from_secs(10),
            convert_within: Duration::from_secs(25),
            on_deleted: OnDeleted::Forget,
            on_denied: OnDenied::Deny,
            rate_limit_status: RateLimitStatus::ServiceUnavailable,
            stale_needs_whole: true,
        }
    }
}

/// Where clients are served by default.
pub const LISTEN_DEFAULT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 5000);

/// The default of [`Config::connections_max`].
pub const CONNECTIONS_MAX_DEFAULT: usize = 4096;

/// The default of [`Store::fills_max`].
pub const FILLS_MAX_DEFAULT: usize = 64;
