//! The values of the configuration: each parsed where it stands, so that an error has its line.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use http::Uri;
use longshore_reference::Named;
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

use crate::names;

/// A span of time, or no end to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    /// Up to this long.
    Within(Duration),
    /// Without end.
    Forever,
}

impl Age {
    /// Whether something of this age is still within.
    #[must_use]
    pub fn allows(self, age: Duration) -> bool {
        match self {
            Self::Within(most) => age <= most,
            Self::Forever => true,
        }
    }
}

/// What becomes of a cached tag that upstream has deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnDeleted {
    /// It is forgotten: 404.
    Forget,
    /// It is served as before.
    Serve,
}

/// What becomes of a cached tag that upstream denies us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnDenied {
    /// So do we: 403.
    Deny,
    /// It is served as before.
    Serve,
}

/// The protocol that a registry speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Api {
    /// v2; where that is not spoken, v1.
    #[default]
    Auto,
    /// v2 alone.
    V2,
    /// v1 alone.
    V1,
}

/// What a client is told when upstream limits us and nothing is cached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateLimitStatus {
    /// 503, after which every client goes to its next host at once.
    ServiceUnavailable,
    /// 429, after which most clients wait and ask us again.
    TooManyRequests,
}

/// The base URL of a registry: http or https, without query and without a slash at its end; or a host with an optional
/// port, which is asked over TLS, and if it is insecure in plain too.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint(String);

impl Endpoint {
    /// Reads a base URL.
    ///
    /// # Errors
    /// For anything that is not a plain http or https URL with a host.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        let fail = |why| Err(ValueError { expected: why });
        if !text.contains("://") {
            let is_named = text.contains(['.', ':']) || text == "localhost";
            return match longshore_puller::Endpoint::of_host(text) {
                Ok(_) if is_named => Ok(Self(text.to_ascii_lowercase())),
                _ => fail(
                    "an endpoint is a URL like \"https://registry.example\", or a host like \"registry.example:5000\"",
                ),
            };
        }
        let Ok(uri) = text.parse::<Uri>() else {
            return fail("an endpoint is a URL like \"https://registry.example\"");
        };
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return fail("an endpoint starts with https:// or http://");
        };
        if scheme != "https" && scheme != "http" {
            return fail("an endpoint starts with https:// or http://");
        }
        if authority.host().is_empty() || authority.as_str().ends_with(':') {
            return fail("an endpoint has a host");
        }
        if authority.as_str().contains('@') {
            return fail("user name and password go into `credentials`, not into the URL");
        }
        if uri.query().is_some() || text.contains('#') {
            return fail("an endpoint has no query and no fragment");
        }
        let path = uri.path().trim_end_matches('/');
        if path == "/v2" || path == "/v1" {
            return fail("an endpoint is given without the /v2 of the API");
        }
        Ok(Self(format!("{scheme}://{authority}{path}")))
    }

    /// The URL.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Networks and hosts whose registries may be asked without a certificate that can be verified, or without TLS, where an
/// endpoint is given as a host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub struct InsecureHosts(Vec<String>);

impl InsecureHosts {
    /// As the puller takes them.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl TryFrom<Vec<String>> for InsecureHosts {
    type Error = ValueError;

    fn try_from(hosts: Vec<String>) -> Result<Self, Self::Error> {
        match longshore_puller::Insecure::parse(hosts.iter().map(String::as_str)) {
            Ok(_) => Ok(Self(hosts)),
            Err(_) => Err(ValueError {
                expected: "insecure registries are networks like \"10.0.0.0/8\" and hosts like \"registry.example:5000\"",
            }),
        }
    }
}

/// Non-public addresses that an upstream may point to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub struct PrivateAddresses(longshore_puller::PrivateAddresses);

impl PrivateAddresses {
    /// As the puller takes them.
    pub fn get(&self) -> &longshore_puller::PrivateAddresses {
        &self.0
    }
}

impl TryFrom<Vec<String>> for PrivateAddresses {
    type Error = ValueError;

    fn try_from(entries: Vec<String>) -> Result<Self, Self::Error> {
        match longshore_puller::PrivateAddresses::parse(entries.iter().map(String::as_str)) {
            Ok(parsed) => Ok(Self(parsed)),
            Err(_) => Err(ValueError {
                expected: "private addresses are networks like \"10.0.0.0/8\" and hosts like \"storage.corp.example\"",
            }),
        }
    }
}

/// The name of an upstream as images carry it, in its one spelling.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UpstreamName(String);

impl UpstreamName {
    /// Reads a host name with an optional port, or `*.` and a domain.
    ///
    /// # Errors
    /// For a name that no image can carry.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        let name = names::canonical(text);
        let host = name.strip_prefix("*.").unwrap_or(&name);
        let is_host = Named::new(host, "repository").is_ok();
        let is_wildcard = host.len() != name.len();
        if !is_host || is_wildcard && !host.contains('.') {
            return Err(ValueError {
                expected: "an upstream is named as in the names of its images: a host with a dot or a port, like \
                           \"registry.example\"",
            });
        }
        Ok(Self(name))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it stands for all hosts of a domain.
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        self.0.starts_with('*')
    }
}

/// Where content is kept, as a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// `file:///folder`: the local tier alone.
    File(PathBuf),
    /// `memory://`: a bucket that is lost at the end, for tests.
    Memory,
    /// `s3://`, `gs://` or `az://` with a bucket and perhaps a prefix.
    Bucket(String),
}

impl StoreUrl {
    /// Reads the URL of a store.
    ///
    /// # Errors
    /// For other schemes, a relative folder, a missing bucket.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        let fail = |why| Err(ValueError { expected: why });
        let Some((scheme, rest)) = text.split_once("://") else {
            return fail(STORE_URL);
        };
        match scheme {
            "file" => {
                let Ok(folder) = percent_encoding::percent_decode_str(rest).decode_utf8() else {
                    return fail("the folder of a store is UTF-8");
                };
                if !folder.starts_with('/') {
                    return fail("the folder of a store is absolute: file:///folder");
                }
                Ok(Self::File(PathBuf::from(folder.into_owned())))
            }
            "memory" => match rest {
                "" | "/" => Ok(Self::Memory),
                _ => fail("memory:// has nothing after it"),
            },
            "s3" | "gs" | "az" => {
                let bucket = rest.split('/').next().unwrap_or_default();
                if bucket.is_empty() || rest.contains(['@', '?', '#']) {
                    return fail("a bucket is written as s3://bucket or s3://bucket/prefix");
                }
                Ok(Self::Bucket(text.trim_end_matches('/').to_owned()))
            }
            _ => fail(STORE_URL),
        }
    }
}

/// A value that is not what it should be. Tells what it should be and never what it was: that may be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{expected}")]
pub struct ValueError {
    expected: &'static str,
}

impl ValueError {
    pub(super) fn new(expected: &'static str) -> Self {
        Self { expected }
    }
}

/// Reads a host name with an optional port, in lower case.
pub(super) fn parse_host(text: &str) -> Result<String, ValueError> {
    let authority = text.parse::<http::uri::Authority>();
    match authority {
        Ok(authority) if !authority.as_str().contains('@') && !authority.host().is_empty() => {
            Ok(text.to_ascii_lowercase())
        }
        _ => Err(ValueError {
            expected: "a host is a name with an optional port, like \"hub.mirror.example\"",
        }),
    }
}

pub(super) fn parse_duration(text: &str) -> Result<Duration, ValueError> {
    humantime::parse_duration(text).map_err(|_| ValueError { expected: DURATION })
}

/// A duration in words, as humantime reads them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span(pub(super) Duration);

/// A host name, see [`parse_host`].
#[derive(Debug, Clone)]
pub(super) struct Host(pub(super) String);

/// A value that is written as a string. `EXPECTED` is for a value of another type.
struct Text<T> {
    expected: &'static str,
    parse: fn(&str) -> Result<T, ValueError>,
}

impl<T> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text).map_err(E::custom)
    }
}

macro_rules! from_text {
    ($type:ty, $expected:expr, $parse:expr) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                from.deserialize_str(Text {
                    expected: $expected,
                    parse: $parse,
                })
            }
        }
    };
}

from_text!(Endpoint, "a URL", Endpoint::parse);
from_text!(UpstreamName, "the name of a registry", UpstreamName::parse);
from_text!(StoreUrl, "a URL", StoreUrl::parse);
from_text!(Host, "a host name", |text| parse_host(text).map(Host));
from_text!(Span, DURATION, |text| parse_duration(text).map(Span));
from_text!(Age, AGE, |text| match text {
    "forever" => Ok(Self::Forever),
    text => parse_duration(text)
        .map(Self::Within)
        .map_err(|_| ValueError { expected: AGE }),
});

macro_rules! from_str {
    ($($type:ty),*) => {$(
        impl FromStr for $type {
            type Err = ValueError;

            fn from_str(text: &str) -> Result<Self, ValueError> {
                Self::parse(text)
            }
        }
    )*};
}

from_str!(Endpoint, UpstreamName, StoreUrl);

impl<'de> Deserialize<'de> for RateLimitStatus {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match u16::deserialize(from)? {
            503 => Ok(Self::ServiceUnavailable),
            429 => Ok(Self::TooManyRequests),
            _ => Err(de::Error::custom("the status is 503 or 429")),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

const DURATION: &str = "a duration like \"90s\" or \"1h 30m\"";
const AGE: &str = "a duration like \"90s\" or \"1h 30m\", or \"forever\"";
const STORE_URL: &str =
    "a store is file:///folder, s3://bucket, gs://bucket, az://container or memory://";

/// An absolute path: what a relative one means would depend on where the process was started.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "PathBuf")]
pub(super) struct Folder(pub(super) PathBuf);

impl TryFrom<PathBuf> for Folder {
    type Error = ValueError;

    fn try_from(path: PathBuf) -> Result<Self, Self::Error> {
        if path.is_absolute() {
            return Ok(Self(path));
        }
        Err(ValueError::new("a path is absolute"))
    }
}
