//! The clients of one upstream, and the resolver that keeps one of them outside.

use std::{net::SocketAddr, sync::Arc};

use http::{HeaderMap, HeaderName};
use reqwest::{
    Certificate, Client, ClientBuilder,
    dns::{Addrs, Name, Resolve, Resolving},
};
use url::{Host, Url};

use crate::{Config, Error, address};

/// Goes anywhere.
pub(super) fn open(config: &Config) -> Result<Client, Error> {
    client(config, None)
}

/// Does not resolve names to addresses inside.
pub(super) fn guarded(config: &Config) -> Result<Client, Error> {
    let exempt = proxy_hosts();
    client(config, Some(Arc::new(Guard { exempt })))
}

fn client(config: &Config, guard: Option<Arc<Guard>>) -> Result<Client, Error> {
    let unusable = |problem| {
        move |e: reqwest::Error| Error::Config {
            key: "ca",
            problem,
            source: Some(Arc::new(e)),
        }
    };
    let mut extra = Vec::new();
    if let Some(pem) = &config.ca_pem {
        extra = Certificate::from_pem_bundle(pem).map_err(unusable("not certificates in pem"))?;
        if extra.is_empty() {
            return Err(Error::config("ca", "no certificate in it"));
        }
    }
    let builder = || match &guard {
        Some(guard) => builder(config).dns_resolver(Arc::clone(guard)),
        None => builder(config),
    };
    match builder().tls_certs_merge(extra.clone()).build() {
        Ok(client) => Ok(client),
        // A machine without any system certificate: fine for an upstream that brings its own or needs none.
        Err(_)
            if !extra.is_empty() || config.endpoints.iter().all(|e| e.url().scheme() == "http") =>
        {
            builder()
                .tls_certs_only(extra)
                .build()
                .map_err(unusable("no tls client"))
        }
        Err(error) => Err(unusable("no certificates of the system")(error)),
    }
}

fn builder(config: &Config) -> ClientBuilder {
    Client::builder()
        .user_agent(concat!("longshore/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        // One connection of HTTP/2 is slower for blobs and its windows bind all of them together.
        .http1_only()
        .connect_timeout(config.timeouts.connect)
}

/// Takes any certificate.
pub(super) fn unverified(config: &Config) -> Result<Client, Error> {
    let client = builder(config)
        .tls_danger_accept_invalid_certs(true)
        .build();
    client.map_err(|e| Error::Config {
        key: "insecure",
        problem: "no tls client",
        source: Some(Arc::new(e)),
    })
}

/// The headers the caller gave, if their names are right.
pub(super) fn meta(config: &Config) -> Result<HeaderMap, Error> {
    let is_meta = |name: &HeaderName| name.as_str().starts_with("x-meta-");
    match config.meta_headers.keys().all(is_meta) {
        true => Ok(config.meta_headers.clone()),
        false => Err(Error::config("meta_headers", "a name without X-Meta-")),
    }
}

/// Resolves names, but not to addresses inside.
struct Guard {
    /// Proxies of the environment: they may be inside, and this resolver is asked for them too.
    exempt: Vec<String>,
}

/// A name led to an address inside.
#[derive(Debug, thiserror::Error)]
#[error("resolves to an address inside")]
pub(super) struct Inside;

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let exempt = self
            .exempt
            .iter()
            .any(|host| host.eq_ignore_ascii_case(name.as_str()));
        Box::pin(async move {
            let found: Vec<SocketAddr> =
                tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if !exempt && found.iter().any(|a| address::is_inside(a.ip())) {
                return Err(Inside.into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

fn proxy_hosts() -> Vec<String> {
    [
        "HTTP_PROXY",
        "http_proxy",
        "HTTPS_PROXY",
        "https_proxy",
        "ALL_PROXY",
        "all_proxy",
    ]
    .iter()
    .filter_map(|key| std::env::var(key).ok())
    .filter_map(|value| {
        Url::parse(&value)
            .or_else(|_| Url::parse(&format!("http://{value}")))
            .ok()
    })
    .filter_map(|url| match url.host() {
        Some(Host::Domain(host)) => Some(host.to_owned()),
        _ => None,
    })
    .collect()
}
