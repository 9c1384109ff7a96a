//! Endpoint lookup: which URLs stand for a host, in which order, and which hosts may be asked without TLS (pure).

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::{IpNet, Ipv4Net};
use url::Url;

use crate::Error;

/// A version of the registry protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Version {
    V2,
    V1,
}

/// Hosts that may be asked over TLS without a look at their certificate and, where TLS does not answer, in plain.
///
/// ```
/// use longshore_puller::Insecure;
///
/// let insecure = Insecure::parse(["10.0.0.0/8", "registry.corp.example:5000"])?;
/// # Ok::<(), longshore_puller::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Insecure {
    /// `host` or `host:port`, lower case.
    names: Vec<String>,
    networks: Vec<IpNet>,
}

/// The URLs of the endpoint whose v2 URL is `url`, in the order in which they are asked: TLS before plain, v2 before
/// v1. `schemeless` is for a host that was given without a scheme: then there are plain ones, to be asked only if the host is
/// insecure. Below a prefix that itself contains `v2` there is no v1.
pub(crate) fn urls(url: &Url, schemeless: bool) -> Vec<(Url, Version)> {
    let mut found = Vec::new();
    for version in [Version::V2, Version::V1] {
        let Some(url) = versioned(url, version) else {
            continue;
        };
        let mut plain = url.clone();
        let has_plain = schemeless && plain.set_scheme("http").is_ok();
        found.push((url, version));
        if has_plain {
            found.push((plain, version));
        }
    }
    found
}

fn versioned(url: &Url, version: Version) -> Option<Url> {
    if version == Version::V2 {
        return Some(url.clone());
    }
    let prefix = url.path().strip_suffix("/v2/")?;
    let mut url = url.clone();
    url.set_path(&format!("{prefix}/v1/"));
    // Docker's index of v1 is another host than its registry of v2.
    if url.host_str() == Some(DOCKER_V2) {
        url.set_host(Some(DOCKER_V1)).ok()?;
    }
    Some(url)
}

/// The host of the v2 registry for a `host[:port]` without a scheme; Docker's own names stand for another.
pub(crate) fn canonical(host: &str) -> &str {
    match host {
        "docker.io" | DOCKER_V1 => DOCKER_V2,
        other => other,
    }
}

/// Whether this is one of Docker's own hosts.
pub(crate) fn is_docker(url: &Url) -> bool {
    matches!(url.host_str(), Some(DOCKER_V1 | DOCKER_V2))
}

/// Whether this is Docker's index, whose protocol v1 is known and never pinged.
pub(crate) fn is_docker_index(url: &Url) -> bool {
    url.scheme() == "https" && url.host_str() == Some(DOCKER_V1)
}

impl Insecure {
    /// Reads a list of networks (`10.0.0.0/8`) and hosts (`host`, `host:port`; a port that is not the scheme's own is
    /// part of the name). `127.0.0.0/8` and `localhost` are always in it. A scheme in front of a host is dropped with a
    /// warning.
    ///
    /// # Errors
    /// [`Error::Config`] for anything else.
    pub fn parse<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<Self, Error> {
        let mut list = Self::default();
        for entry in entries {
            let schemeless = entry.split_once("://").and_then(|(scheme, rest)| {
                let is_http = ["http", "https"]
                    .iter()
                    .any(|http| scheme.eq_ignore_ascii_case(http));
                is_http.then_some(rest)
            });
            if schemeless.is_some() {
                tracing::warn!(entry, "an insecure registry has no scheme, dropped");
            }
            let entry = schemeless.unwrap_or(entry);
            if entry.contains("://") {
                return Err(Error::config(
                    "insecure",
                    "a scheme other than http or https",
                ));
            }
            match entry.parse() {
                Ok(network) => list.networks.push(network),
                Err(_) => list.names.push(name(entry)?),
            }
        }
        Ok(list)
    }

    /// Whether the host of `url` with these addresses is insecure. Docker's own registry never is.
    pub(crate) fn covers(&self, url: &Url, addresses: &[IpAddr]) -> bool {
        let Some(host) = url.host_str() else {
            return false;
        };
        if is_docker(url) {
            return false;
        }
        let name = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        host == "localhost"
            || self.names.contains(&name)
            || addresses.iter().any(|address| {
                let address = address.to_canonical();
                self.networks
                    .iter()
                    .any(|network| network.contains(&address))
            })
    }
}

impl Default for Insecure {
    /// The machine itself.
    fn default() -> Self {
        let loopback = IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8));
        Self {
            names: Vec::new(),
            networks: vec![loopback],
        }
    }
}

/// A `host[:port]` as URLs have it.
fn name(entry: &str) -> Result<String, Error> {
    let bad = |problem| Err(Error::config("insecure", problem));
    if let Ok(v6) = entry.parse::<Ipv6Addr>() {
        return Ok(format!("[{v6}]"));
    }
    match host(entry) {
        Some(url) => Ok(match (url.host(), url.port()) {
            (Some(host), Some(port)) => format!("{host}:{port}"),
            (Some(host), None) => host.to_string(),
            (None, _) => return bad("no host"),
        }),
        None => bad("neither a network nor a host with an optional port"),
    }
}

/// `https://<entry>/` if that is a host, an optional port, and nothing else.
pub(crate) fn host(entry: &str) -> Option<Url> {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
    if entry.is_empty() || entry.ends_with(':') || !entry.bytes().all(is_plain) {
        return None;
    }
    let url = Url::parse(&format!("https://{entry}/")).ok()?;
    let host = url.host_str().filter(|host| !host.is_empty())?;
    let is_label = |label: &str| !label.starts_with('-') && !label.ends_with('-');
    let is_host = host.split('.').all(is_label);
    is_host.then_some(url)
}

impl Version {
    /// Its part of a path.
    pub(crate) fn segment(self) -> &'static str {
        match self {
            Self::V2 => "/v2/",
            Self::V1 => "/v1/",
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V2 => "v2",
            Self::V1 => "v1",
        })
    }
}

const DOCKER_V2: &str = "registry-1.docker.io";
const DOCKER_V1: &str = "index.docker.io";

#[cfg(test)]
mod tests;
