//! How an upstream is described: its endpoints, credentials, deadlines, and who observes it.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use http::HeaderMap;
use rustls::crypto::CryptoProvider;
use url::Url;

use crate::{
    Connect, Credentials, Error, Insecure, PrivateAddresses, Resolve,
    http::certificates::Client as ClientCertificate, lookup,
};

/// One registry as configured.
///
/// ```
/// use longshore_puller::{Config, Endpoint, Upstream};
/// # fn main() -> Result<(), longshore_puller::Error> {
/// let mut config = Config::new("docker.io", vec![Endpoint::parse("https://registry-1.docker.io")?]);
/// config.timeouts.idle = std::time::Duration::from_secs(60);
/// let upstream = Upstream::new(config)?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct Config {
    /// The name by which the upstream is known, such as `docker.io`; for logs only.
    pub name: String,
    /// Mirrors first, the origin last. At least one.
    pub endpoints: Vec<Endpoint>,
    /// Credentials for the origin, and for mirrors of the origin's own registrable domain. A mirror elsewhere gets
    /// only what [`Endpoint::with_credentials`] gave it.
    pub credentials: Option<Credentials>,
    /// Certificates (PEM, one or more, or one in DER) that are trusted in addition to the system's: authorities, and
    /// certificates of servers themselves.
    pub ca: Option<Vec<u8>>,
    /// Shown to the endpoints, not to hosts they point to.
    pub client_certificate: Option<ClientCertificate>,
    /// Folders with a folder `host[:port]` for an endpoint, of `*.crt`, `*.cert` and `*.key` files as Docker reads them; the
    /// first that has one counts. [`certs_dirs`] are the usual ones. Default: none.
    pub certs_dirs: Vec<PathBuf>,
    /// Non-public addresses that redirects and token endpoints may lead to. An endpoint given as a private or loopback
    /// address may lead to others of that kind.
    pub private_addresses: PrivateAddresses,
    /// In place of the system's. Not asked for what goes through a proxy of the environment.
    pub resolver: Option<Arc<dyn Resolve>>,
    /// In place of TCP.
    pub connector: Option<Arc<dyn Connect>>,
    /// The cryptography of TLS; by default what the process has installed, else aws-lc-rs.
    pub crypto_provider: Option<Arc<CryptoProvider>>,
    /// Whether user and password are exchanged for tokens by POST (OAuth 2), which gives refresh tokens, before GET is
    /// tried. Default `false`. Identity tokens are always exchanged by POST.
    pub tokens_by_post: bool,
    /// Which versions of the protocol may be used.
    pub api: Api,
    /// Hosts that may be asked without TLS, for endpoints without a scheme ([`Endpoint::of_host`]).
    pub insecure: Insecure,
    /// Headers that go with every request to the upstream's own hosts; their names begin with `X-Meta-`.
    pub meta_headers: HeaderMap,
    /// Hosts of token endpoints that may have the credentials although they are of another domain than the endpoint.
    pub realms: Vec<String>,
    /// Deadlines.
    pub timeouts: Timeouts,
    /// Is told what happens, for metrics. Called on the hot path: must be quick and must not block.
    pub observer: Observer,
}

/// Where containers/image and Docker look for certificates of registries: the user's folder, then the machine's.
#[must_use]
pub fn certs_dirs(home: Option<&Path>) -> Vec<PathBuf> {
    let of_user = home.map(|home| home.join(".config/containers/certs.d"));
    let of_machine = ["/etc/containers/certs.d", "/etc/docker/certs.d"].map(PathBuf::from);
    of_user.into_iter().chain(of_machine).collect()
}

/// One base URL of an upstream.
#[derive(Clone)]
pub struct Endpoint {
    url: Url,
    /// Given without a scheme.
    schemeless: bool,
    credentials: Option<Credentials>,
}

/// Which versions of the registry protocol an upstream is asked in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Api {
    /// v2; then, at the origin, v1, where nothing speaks for a v2 registry. Mirrors are asked in v2 only.
    #[default]
    Auto,
    /// v2 only.
    V2,
    /// v1 only, mirrors too.
    #[cfg(feature = "v1")]
    V1,
}

/// How long to wait for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timeouts {
    /// For a connection, TLS handshake included. Default 5 s.
    pub connect: Duration,
    /// For the headers of one response, connecting included. Default 10 s.
    pub headers: Duration,
    /// Between two pieces of a body. Default 30 s. There is no deadline for a whole body.
    pub idle: Duration,
}

/// Who is told what happens.
pub type Observer = Arc<dyn Fn(Event<'_>) + Send + Sync>;

/// What happened, for metrics.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// One request was answered (redirects included) or failed.
    Request {
        /// Host of the endpoint; for [`Kind::Token`] too the endpoint's, not the token server's.
        endpoint: &'a str,
        /// What was asked for.
        kind: Kind,
        /// The final status; `None` when there was no answer.
        code: Option<u16>,
        /// Seconds until the response headers or the failure.
        seconds: f64,
    },
    /// Bytes of blobs and documents arrived.
    Bytes(u64),
    /// An endpoint began or ceased to answer.
    Up {
        /// Host of the endpoint.
        endpoint: &'a str,
        /// Whether it answers.
        up: bool,
    },
    /// What `RateLimit-Remaining` said.
    RateLimit {
        /// Requests left in the window.
        remaining: u64,
    },
    /// The configured credentials were not accepted; asked anonymously instead.
    CredentialsRejected,
    /// A blob was cut or stalled and went on by a ranged request.
    Resumed,
    /// A manifest was not what its digest says. Blobs are verified by whoever keeps them.
    Mismatch,
}

/// What a request to an upstream was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A manifest.
    Manifest,
    /// A blob.
    Blob,
    /// A list of tags.
    Tags,
    /// A list of referrers.
    Referrers,
    /// A token.
    Token,
    /// `GET /v2/`, to learn the challenge.
    Ping,
}

impl Config {
    /// A configuration with defaults for everything but the name and the endpoints (mirrors first, the origin last).
    #[must_use]
    pub fn new(name: impl Into<String>, endpoints: Vec<Endpoint>) -> Self {
        Self {
            name: name.into(),
            endpoints,
            credentials: None,
            ca: None,
            client_certificate: None,
            certs_dirs: Vec::new(),
            private_addresses: PrivateAddresses::default(),
            resolver: None,
            connector: None,
            crypto_provider: None,
            tokens_by_post: false,
            api: Api::default(),
            insecure: Insecure::default(),
            meta_headers: HeaderMap::new(),
            realms: Vec::new(),
            timeouts: Timeouts::default(),
            observer: Arc::new(|_| ()),
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("name", &self.name)
            .field("endpoints", &self.endpoints)
            .field("credentials", &self.credentials)
            .field("ca", &self.ca.as_ref().map(Vec::len))
            .field("client_certificate", &self.client_certificate)
            .field("certs_dirs", &self.certs_dirs)
            .field("private_addresses", &self.private_addresses)
            .field("tokens_by_post", &self.tokens_by_post)
            .field("api", &self.api)
            .field("insecure", &self.insecure)
            .field("realms", &self.realms)
            .field("timeouts", &self.timeouts)
            .finish_non_exhaustive()
    }
}

impl Endpoint {
    /// An endpoint from its base URL: `https://registry.example`, `http://127.0.0.1:5000`. A path is a prefix; `v2` is
    /// added after it unless it has such a part already (`https://harbor.example/v2/hub-proxy`).
    ///
    /// # Errors
    /// [`Error::Config`] when it is no http or https URL with a host, or has a user, a query or a fragment.
    pub fn parse(url: &str) -> Result<Self, Error> {
        let bad = |problem| Error::config("endpoint", problem);
        let mut url = Url::parse(url).map_err(|_| bad("not a url"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(bad("neither http nor https"));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(bad("no host"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(bad("credentials do not belong into the url"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(bad("a query or a fragment"));
        }
        let prefix = url.path().trim_end_matches('/');
        let has_version = prefix.split('/').any(|part| part == "v2");
        let path = if has_version {
            format!("{prefix}/")
        } else {
            format!("{prefix}/v2/")
        };
        url.set_path(&path);
        Ok(Self {
            url,
            schemeless: false,
            credentials: None,
        })
    }

    /// An endpoint from a host without scheme: `registry.example`, `localhost:5000`. It is asked over TLS; if its host is
    /// [`Insecure`], without a look at its certificate and, where TLS does not answer, in plain. `docker.io` stands for
    /// Docker's registry.
    ///
    /// # Errors
    /// [`Error::Config`] when it is anything but a host and an optional port.
    pub fn of_host(host: &str) -> Result<Self, Error> {
        let bad = || Error::config("endpoint", "not a host with an optional port");
        let mut url = lookup::host(lookup::canonical(host)).ok_or_else(bad)?;
        url.set_path("/v2/");
        Ok(Self {
            schemeless: !lookup::is_docker(&url),
            url,
            credentials: None,
        })
    }

    /// Credentials for this endpoint alone, before those of the upstream.
    #[must_use]
    pub fn with_credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = Some(credentials);
        self
    }

    /// The URL of `GET /v2/`, with a slash at the end.
    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// Whether it was given without a scheme.
    pub(crate) fn is_schemeless(&self) -> bool {
        self.schemeless
    }

    pub(crate) fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_ref()
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("url", &self.url.as_str())
            .field("credentials", &self.credentials)
            .finish()
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            headers: Duration::from_secs(10),
            idle: Duration::from_secs(30),
        }
    }
}

impl Kind {
    /// The word for metrics and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Manifest => "manifest",
            Self::Blob => "blob",
            Self::Tags => "tags",
            Self::Referrers => "referrers",
            Self::Token => "token",
            Self::Ping => "ping",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints() {
        for (given, base) in [
            (
                "https://registry-1.docker.io",
                "https://registry-1.docker.io/v2/",
            ),
            (
                "https://registry-1.docker.io/",
                "https://registry-1.docker.io/v2/",
            ),
            ("http://127.0.0.1:5000", "http://127.0.0.1:5000/v2/"),
            ("https://h.example/prefix", "https://h.example/prefix/v2/"),
            ("https://h.example/v2/hub", "https://h.example/v2/hub/"),
            ("https://h.example/v2/", "https://h.example/v2/"),
            ("http://[::1]:5000", "http://[::1]:5000/v2/"),
        ] {
            assert_eq!(Endpoint::parse(given).unwrap().url().as_str(), base);
        }
        for (given, base, schemeless) in [
            ("r.example", "https://r.example/v2/", true),
            ("R.example:5000", "https://r.example:5000/v2/", true),
            ("[::1]:5000", "https://[::1]:5000/v2/", true),
            ("docker.io", "https://registry-1.docker.io/v2/", false),
            ("index.docker.io", "https://registry-1.docker.io/v2/", false),
        ] {
            let endpoint = Endpoint::of_host(given).unwrap();
            assert_eq!(
                (endpoint.url().as_str(), endpoint.schemeless),
                (base, schemeless)
            );
        }
        for bad in [
            "",
            "r.example/x",
            "https://r.example",
            "u@r.example",
            "-r",
            "r:99999",
        ] {
            assert!(
                matches!(Endpoint::of_host(bad), Err(Error::Config { .. })),
                "{bad}"
            );
        }
        for bad in [
            "",
            "registry.example",
            "ftp://h",
            "https://",
            "https://u:p@h",
            "https://h/?a=b",
            "https://h/#f",
        ] {
            assert!(
                matches!(Endpoint::parse(bad), Err(Error::Config { .. })),
                "{bad}"
            );
        }
    }
}
