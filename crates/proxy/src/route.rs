//! What a request asks for, from its method, its URL and its `Host`: every shape that clients give the URL of a mirror.
//!
//! ```text
//! /v2/<repository>/…?ns=<registry>      containerd, BuildKit
//! /v2/<registry>/<repository>/…         Podman, skopeo, crane
//! /<registry>/v2/<repository>/…         dockerd from 25 on, containerd with a path
//! /v2/<repository>/…                    dockerd; a Host name of the configuration, else the default upstream
//! ```
//! A registry in the path wins over `ns`. Every part is percent-decoded once and then has to pass the grammar of
//! `longshore-reference`; the domain of what comes out is the upstream's own name, so that an image is the same
//! [`Named`] by any of these ways.

use std::borrow::Cow;

use http::{HeaderValue, Method, StatusCode, Uri};
use longshore_reference::{Canonical, Digest, Named, Reference, Tag, Tagged};
use percent_encoding::percent_decode_str;

use crate::names::{self, Buffer, Names, UpstreamId};

#[cfg(test)]
mod tests;

/// What a GET or HEAD asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// `/v2/`: does this speak the protocol? Never depends on an upstream.
    Version,
    /// A manifest by tag or digest.
    Manifest {
        /// Where from.
        at: At,
        /// Which.
        reference: Reference,
    },
    /// A blob.
    Blob {
        /// Where from.
        at: At,
        /// Which.
        canonical: Canonical,
    },
    /// The tags of a repository.
    Tags {
        /// Where from.
        at: At,
        /// Which repository.
        named: Named,
        /// The query without `ns`, still percent-encoded.
        query: Option<String>,
    },
    /// The manifests that refer to one.
    Referrers {
        /// Where from.
        at: At,
        /// The manifest referred to.
        canonical: Canonical,
        /// The query without `ns`, still percent-encoded.
        query: Option<String>,
    },
    /// `/healthz`: the process runs.
    Health,
    /// `/readyz`: requests are welcome.
    Ready,
    /// `/metrics`.
    Metrics,
}

/// Which upstream a request is about, and how it said so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At {
    /// The upstream.
    pub upstream: UpstreamId,
    /// The `ns` of the query, for the header `OCI-Namespace` of the answer.
    pub ns: Option<HeaderValue>,
}

/// Why a request has no [`Route`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// Nothing is served under this path.
    #[error("nothing is served under this path")]
    Path,
    /// The registry is neither configured nor a public one that is known.
    #[error("the registry is not an upstream of this proxy")]
    Upstream,
    /// Not a repository name.
    #[error("invalid repository name")]
    Name,
    /// Not a tag.
    #[error("invalid tag")]
    Tag,
    /// Not a digest of a known algorithm.
    #[error("invalid digest")]
    Digest,
    /// Something else than GET and HEAD. The answer carries `Allow: GET, HEAD` ([`ALLOW`]).
    #[error("this is a read-only mirror")]
    Method,
}

/// The value of `Allow` in a 405.
pub const ALLOW: HeaderValue = HeaderValue::from_static("GET, HEAD");

impl Refusal {
    /// The status and the code of the distribution spec.
    #[must_use]
    pub fn status_and_code(self) -> (StatusCode, &'static str) {
        match self {
            Self::Path => (StatusCode::NOT_FOUND, "UNSUPPORTED"),
            Self::Upstream => (StatusCode::NOT_FOUND, "NAME_UNKNOWN"),
            Self::Name | Self::Tag => (StatusCode::BAD_REQUEST, "NAME_INVALID"),
            Self::Digest => (StatusCode::BAD_REQUEST, "DIGEST_INVALID"),
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED"),
        }
    }
}

impl Route {
    /// The repository that it is about.
    #[must_use]
    pub fn named(&self) -> Option<&Named> {
        match self {
            Self::Manifest { reference, .. } => Some(reference.named()),
            Self::Blob { canonical, .. } | Self::Referrers { canonical, .. } => {
                Some(canonical.named())
            }
            Self::Tags { named, .. } => Some(named),
            Self::Version | Self::Health | Self::Ready | Self::Metrics => None,
        }
    }

    /// Reads method, path and query of `uri`, and the `Host` header.
    ///
    /// # Errors
    /// The [`Refusal`] that tells the client what is wrong with its request.
    pub fn parse(
        method: &Method,
        uri: &Uri,
        host: Option<&str>,
        names: &Names,
    ) -> Result<Self, Refusal> {
        let path = uri.path();
        let (prefix, rest) = match path {
            "/healthz" => return only_read(method).map(|()| Self::Health),
            "/readyz" => return only_read(method).map(|()| Self::Ready),
            "/metrics" => return only_read(method).map(|()| Self::Metrics),
            _ => split_api(path).ok_or(Refusal::Path)?,
        };
        only_read(method)?;
        if rest.is_empty() {
            return match prefix {
                Some(prefix) => find_registry(prefix, names).map(|()| Self::Version),
                None => Ok(Self::Version),
            };
        }
        let (name, kind, last) = split_object(rest).ok_or(Refusal::Path)?;
        if kind == Kind::Other {
            return Err(Refusal::Path);
        }
        let last = decode(last);
        let (at, named) = Place {
            prefix,
            query: uri.query(),
            host,
            names,
        }
        .locate(name)?;
        let query = || uri.query().and_then(query_without_ns);
        Ok(match kind {
            Kind::Manifest => Self::Manifest {
                at,
                reference: parse_reference(named, &last?)?,
            },
            Kind::Blob => Self::Blob {
                at,
                canonical: parse_canonical(named, &last?)?,
            },
            Kind::Referrers => Self::Referrers {
                at,
                canonical: parse_canonical(named, &last?)?,
                query: query(),
            },
            Kind::Tags => Self::Tags {
                at,
                named,
                query: query(),
            },
            Kind::Other => return Err(Refusal::Path),
        })
    }
}

/// The parts of the API: what metrics and logs tell requests apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Manifests.
    Manifest,
    /// Blobs.
    Blob,
    /// Lists of tags.
    Tags,
    /// Lists of referrers.
    Referrers,
    /// Everything else: `/v2/`, and what is not served.
    Other,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Manifest,
        Self::Blob,
        Self::Tags,
        Self::Referrers,
        Self::Other,
    ];

    /// The word for metrics and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Manifest => "manifest",
            Self::Blob => "blob",
            Self::Tags => "tags",
            Self::Referrers => "referrers",
            Self::Other => "other",
        }
    }

    /// What a path asks for, even if the rest of it makes no [`Route`].
    #[must_use]
    pub fn of_path(path: &str) -> Self {
        split_api(path)
            .and_then(|(_, rest)| split_object(rest))
            .map_or(Self::Other, |(_, kind, _)| kind)
    }

    fn parse(component: &str, last: &str) -> Self {
        match component {
            "manifests" => Self::Manifest,
            "blobs" => Self::Blob,
            "referrers" => Self::Referrers,
            "tags" if last == "list" => Self::Tags,
            _ => Self::Other,
        }
    }
}

/// Everything but the name that says where a name belongs.
#[derive(Clone, Copy)]
struct Place<'a> {
    prefix: Option<&'a str>,
    query: Option<&'a str>,
    host: Option<&'a str>,
    names: &'a Names,
}

impl Place<'_> {
    fn locate(self, name: &str) -> Result<(At, Named), Refusal> {
        let name = decode_name(name)?;
        let names = self.names;
        let ns = match self.query.and_then(raw_ns) {
            Some(ns) => Some(decode(ns).map_err(|_| Refusal::Upstream)?),
            None => None,
        };
        let mut buffer = Buffer::default();
        let host = self.host.and_then(|host| names.by_host(host, &mut buffer));

        let mut buffer = Buffer::default();
        let first = name.split_once('/');
        let mut in_path = Buffer::default();
        let (upstream, domain, path) = if let Some(prefix) = self.prefix {
            let prefix = decode(prefix).map_err(|_| Refusal::Upstream)?;
            let found = names.find(&prefix, &mut buffer);
            let (upstream, domain) = found.ok_or(Refusal::Upstream)?;
            (upstream, domain, &*name)
        } else if let Some((first, rest)) = first
            && let Some((upstream, domain)) = names.find(first, &mut in_path)
        {
            (upstream, domain, rest)
        } else if let Some(ns) = &ns {
            let found = names.find(ns, &mut buffer);
            let (upstream, domain) = found.ok_or(Refusal::Upstream)?;
            (upstream, domain, &*name)
        } else if let Some(upstream) = host {
            (upstream, names.name(upstream), &*name)
        } else if first.is_some_and(|(first, _)| names::looks_like_host(first)) {
            return Err(Refusal::Upstream);
        } else {
            let upstream = names.default_upstream();
            (upstream, names.name(upstream), &*name)
        };
        let named = Named::new(domain, path).map_err(|_| Refusal::Name)?;
        let ns = ns.and_then(|ns| {
            if ns == names.name(upstream) {
                names.header_value(upstream)
            } else {
                HeaderValue::from_str(&ns).ok()
            }
        });
        Ok((At { upstream, ns }, named))
    }
}

/// Cuts `/v2/…` or `/<registry>/v2/…` into the registry and what follows the API's root.
fn split_api(path: &str) -> Option<(Option<&str>, &str)> {
    let path = path.strip_prefix('/')?;
    if let Some(rest) = after_root(path) {
        return Some((None, rest));
    }
    let (prefix, rest) = path.split_once('/')?;
    Some((Some(prefix), after_root(rest)?))
}

/// Cuts the part of a path behind the API's root into repository, kind and tag or digest. From the right: a repository
/// may have components like "manifests" and "blobs".
fn split_object(rest: &str) -> Option<(&str, Kind, &str)> {
    let (rest, last) = rest.rsplit_once('/')?;
    let (name, component) = rest.rsplit_once('/')?;
    Some((name, Kind::parse(component, last), last))
}

fn after_root(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("v2")?;
    if rest.is_empty() {
        return Some(rest);
    }
    rest.strip_prefix('/')
}

fn only_read(method: &Method) -> Result<(), Refusal> {
    if method == Method::GET || method == Method::HEAD {
        Ok(())
    } else {
        Err(Refusal::Method)
    }
}

fn find_registry(prefix: &str, names: &Names) -> Result<(), Refusal> {
    let prefix = decode(prefix).map_err(|_| Refusal::Upstream)?;
    match names.find(&prefix, &mut Buffer::default()) {
        Some(_) => Ok(()),
        None => Err(Refusal::Upstream),
    }
}

fn parse_reference(named: Named, text: &str) -> Result<Reference, Refusal> {
    if text.contains(':') {
        return parse_canonical(named, text).map(Reference::Canonical);
    }
    let tag = Tag::parse(text).map_err(|_| Refusal::Tag)?;
    Ok(Reference::Tagged(Tagged::new(named, tag)))
}

fn parse_canonical(named: Named, text: &str) -> Result<Canonical, Refusal> {
    let digest = Digest::parse(text).map_err(|_| Refusal::Digest)?;
    Ok(Canonical::new(named, digest))
}

/// Decodes a repository name; a slash that was encoded is no separator and nothing else that a name may hold.
fn decode_name(name: &str) -> Result<Cow<'_, str>, Refusal> {
    let decoded = decode(name)?;
    let slashes = |text: &str| text.bytes().filter(|byte| *byte == b'/').count();
    if matches!(decoded, Cow::Owned(_)) && slashes(&decoded) != slashes(name) {
        return Err(Refusal::Name);
    }
    Ok(decoded)
}

/// Percent-decodes once.
fn decode(text: &str) -> Result<Cow<'_, str>, Refusal> {
    percent_decode_str(text)
        .decode_utf8()
        .map_err(|_| Refusal::Name)
}

/// The first `ns` of a query that says something.
fn raw_ns(query: &str) -> Option<&str> {
    query
        .split('&')
        .find_map(|pair| pair.strip_prefix("ns=").filter(|ns| !ns.is_empty()))
}

/// The query as upstream may see it.
fn query_without_ns(query: &str) -> Option<String> {
    let is_ns = |pair: &str| pair == "ns" || pair.starts_with("ns=");
    let pairs = query
        .split('&')
        .filter(|pair| !pair.is_empty() && !is_ns(pair));
    let rest = pairs.collect::<Vec<_>>().join("&");
    (!rest.is_empty()).then_some(rest)
}
