//! The closed world of upstreams: which one a name in a request means.

use std::collections::HashMap;

use http::HeaderValue;

#[cfg(test)]
mod tests;

/// What a request means that names no registry.
pub const DEFAULT_UPSTREAM: &str = "docker.io";

/// Other names of [`DEFAULT_UPSTREAM`] that clients use.
pub const DEFAULT_ALIASES: [&str; 2] = ["registry-1.docker.io", "index.docker.io"];

/// The public registries that are dialled without configuration, with the endpoint of each. A name `*.…` stands for
/// every name with one more label; its endpoint is that name itself.
pub const PUBLIC: [(&str, Option<&str>); 12] = [
    (DEFAULT_UPSTREAM, Some("https://registry-1.docker.io")),
    ("ghcr.io", Some("https://ghcr.io")),
    ("quay.io", Some("https://quay.io")),
    ("registry.k8s.io", Some("https://registry.k8s.io")),
    ("gcr.io", Some("https://gcr.io")),
    ("*.pkg.dev", None),
    ("mcr.microsoft.com", Some("https://mcr.microsoft.com")),
    ("public.ecr.aws", Some("https://public.ecr.aws")),
    ("registry.gitlab.com", Some("https://registry.gitlab.com")),
    ("nvcr.io", Some("https://nvcr.io")),
    ("lscr.io", Some("https://lscr.io")),
    ("docker.elastic.co", Some("https://docker.elastic.co")),
];

/// An upstream by its place in the configuration, which is also its place in the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UpstreamId(usize);

impl UpstreamId {
    /// Counted from 0, without gaps, in the order of [`Names::new`].
    #[must_use]
    pub fn index(self) -> usize {
        self.0
    }
}

/// Every name that a request may use for an upstream.
#[derive(Debug, Clone)]
pub struct Names {
    by_name: HashMap<Box<str>, UpstreamId>,
    by_host: HashMap<Box<str>, UpstreamId>,
    /// What follows the one free label, with its dot.
    wildcards: Vec<(Box<str>, UpstreamId)>,
    /// By [`UpstreamId`]: the name, ready for the header `OCI-Namespace`.
    values: Vec<Option<HeaderValue>>,
    names: Vec<Box<str>>,
    default: UpstreamId,
}

/// Room for one name in lower case, so that looking it up takes no memory from the heap.
#[derive(Debug)]
pub struct Buffer([u8; NAME_BYTES_MAX]);

impl Default for Buffer {
    fn default() -> Self {
        Self([0; NAME_BYTES_MAX])
    }
}

impl Names {
    /// Takes the upstreams in their order: the name of each, as [`canonical`] gives it, and the `Host` names by which
    /// clients may address it. Of two equal names the first one counts. [`DEFAULT_UPSTREAM`] should be among them;
    /// where it is not, the first upstream stands in for it.
    pub fn new<'a>(upstreams: impl IntoIterator<Item = (&'a str, &'a [String])>) -> Self {
        let mut new = Self {
            by_name: HashMap::new(),
            by_host: HashMap::new(),
            wildcards: Vec::new(),
            values: Vec::new(),
            names: Vec::new(),
            default: UpstreamId(0),
        };
        for (index, (name, hosts)) in upstreams.into_iter().enumerate() {
            let id = UpstreamId(index);
            let name = name.to_ascii_lowercase();
            if let Some(suffix) = name.strip_prefix('*') {
                new.wildcards.push((suffix.into(), id));
            } else {
                new.by_name.entry(name.as_str().into()).or_insert(id);
            }
            if name == DEFAULT_UPSTREAM {
                new.default = id;
                for alias in DEFAULT_ALIASES {
                    new.by_name.entry(alias.into()).or_insert(id);
                }
            }
            for host in hosts {
                let host = host.to_ascii_lowercase();
                new.by_host.entry(host.into()).or_insert(id);
            }
            new.values.push(HeaderValue::from_str(&name).ok());
            new.names.push(name.into());
        }
        new
    }

    /// The upstream of this name, in any case, by an alias, or with the port that https has anyway; and its domain, the
    /// one text for all of these. `None` for a registry that must not be dialled.
    #[must_use]
    pub fn find<'a>(&'a self, name: &str, buffer: &'a mut Buffer) -> Option<(UpstreamId, &'a str)> {
        let name = buffer.lower(name)?;
        let without_port = name.strip_suffix(":443").unwrap_or(name);
        for name in [name, without_port] {
            if let Some(id) = self.by_name.get(name) {
                return Some((*id, self.name(*id)));
            }
        }
        self.wildcards
            .iter()
            .find(|(suffix, _)| without_port.strip_suffix(&**suffix).is_some_and(is_label))
            .map(|(_, id)| (*id, without_port))
    }

    /// The upstream that the configuration gives to this `Host`, with or without its port.
    #[must_use]
    pub fn by_host(&self, host: &str, buffer: &mut Buffer) -> Option<UpstreamId> {
        if self.by_host.is_empty() {
            return None;
        }
        let host = buffer.lower(host)?;
        let name = host.rsplit_once(':').map_or(host, |(name, _port)| name);
        self.by_host
            .get(host)
            .or_else(|| self.by_host.get(name))
            .copied()
    }

    /// What a request means that names no registry.
    #[must_use]
    pub fn default_upstream(&self) -> UpstreamId {
        self.default
    }

    /// The name of an upstream as it is configured, in lower case: its label in metrics. A wildcard stays one.
    #[must_use]
    pub fn name(&self, id: UpstreamId) -> &str {
        self.names.get(id.0).map_or("", |name| name)
    }

    /// All upstreams, in the order of their ids.
    pub fn ids(&self) -> impl Iterator<Item = UpstreamId> + use<> {
        (0..self.names.len()).map(UpstreamId)
    }

    /// [`name`](Self::name) as a header value, without a copy.
    #[must_use]
    pub fn header_value(&self, id: UpstreamId) -> Option<HeaderValue> {
        self.values.get(id.0)?.clone()
    }
}

impl Buffer {
    fn lower(&mut self, name: &str) -> Option<&str> {
        let room = self.0.get_mut(..name.len())?;
        room.copy_from_slice(name.as_bytes());
        room.make_ascii_lowercase();
        std::str::from_utf8(room).ok()
    }
}

/// The one spelling of an upstream's name: lower case, without aliases.
#[must_use]
pub fn canonical(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    if DEFAULT_ALIASES.contains(&name.as_str()) {
        return DEFAULT_UPSTREAM.to_owned();
    }
    name
}

/// Whether the first component of a path can only be meant as a registry: it has a dot or a port.
#[must_use]
pub fn looks_like_host(component: &str) -> bool {
    component.contains(['.', ':'])
}

fn is_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    is_end(bytes.first())
        && is_end(bytes.last())
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
}

/// A DNS name has at most 253 bytes, a port adds six.
const NAME_BYTES_MAX: usize = 259;
