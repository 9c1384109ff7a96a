//! The configuration as it stands in a file: every key optional, unknown keys refused.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroUsize;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};

use super::credentials::Credentials;
use super::room::{Pins, Room, Scrub};
use super::value::{
    Age, Api, Endpoint, Folder, Host, InsecureHosts, OnDeleted, OnDenied, PrivateAddresses,
    RateLimitStatus, Span, StoreUrl, UpstreamName, ValueError,
};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    pub(super) listen: Option<Listen>,
    pub(super) connections_max: Option<NonZeroUsize>,
    pub(super) insecure: InsecureHosts,
    pub(super) admin: Admin,
    pub(super) tls: Option<Tls>,
    pub(super) clients: Option<Clients>,
    pub(super) store: Store,
    pub(super) defaults: Policy,
    #[serde(deserialize_with = "upstreams")]
    pub(super) upstreams: Vec<(UpstreamName, Upstream)>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Admin {
    pub(super) listen: Option<Listen>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Clients {
    pub(super) htpasswd: Folder,
    pub(super) realm: Option<Realm>,
    #[serde(default)]
    pub(super) anonymous: Patterns,
    #[serde(default)]
    pub(super) rules: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rule {
    pub(super) users: Vec<String>,
    pub(super) repositories: Patterns,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tls {
    pub(super) cert: Folder,
    pub(super) key: Folder,
    pub(super) client_ca: Option<Folder>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Store {
    pub(super) url: Option<StoreUrl>,
    pub(super) spool: Option<Folder>,
    pub(super) capacity: Option<Room>,
    pub(super) min_free: Option<Room>,
    pub(super) pins: Pins,
    pub(super) scrub: Option<Scrub>,
    pub(super) fills_max: Option<NonZeroUsize>,
}

/// Keys of `[defaults]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Policy {
    pub(super) revalidate: Option<Age>,
    pub(super) max_stale: Option<Age>,
    pub(super) negative_ttl: Option<Span>,
    pub(super) answer_within: Option<AnswerWithin>,
    pub(super) convert_within: Option<AnswerWithin>,
    pub(super) on_deleted: Option<OnDeleted>,
    pub(super) on_denied: Option<OnDenied>,
    pub(super) rate_limit_status: Option<RateLimitStatus>,
    pub(super) stale_needs_whole: Option<bool>,
}

/// Keys of `[upstreams.NAME]`: its own, and all of `[defaults]`. Not flattened, as serde then knows no unknown keys.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Upstream {
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) api: Option<Api>,
    pub(super) credentials: Option<Credentials>,
    pub(super) ca: Option<Folder>,
    pub(super) client_cert: Option<Folder>,
    pub(super) client_key: Option<Folder>,
    pub(super) certs_dir: Option<Folder>,
    pub(super) hosts: Vec<Host>,
    pub(super) realms: Vec<Host>,
    pub(super) private_addresses: PrivateAddresses,
    revalidate: Option<Age>,
    max_stale: Option<Age>,
    negative_ttl: Option<Span>,
    answer_within: Option<AnswerWithin>,
    convert_within: Option<AnswerWithin>,
    on_deleted: Option<OnDeleted>,
    on_denied: Option<OnDenied>,
    rate_limit_status: Option<RateLimitStatus>,
    stale_needs_whole: Option<bool>,
}

impl Upstream {
    pub(super) fn policy(&self) -> Policy {
        Policy {
            revalidate: self.revalidate,
            max_stale: self.max_stale,
            negative_ttl: self.negative_ttl,
            answer_within: self.answer_within,
            convert_within: self.convert_within,
            on_deleted: self.on_deleted,
            on_denied: self.on_denied,
            rate_limit_status: self.rate_limit_status,
            stale_needs_whole: self.stale_needs_whole,
        }
    }
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Listen(pub(super) SocketAddr);

impl TryFrom<String> for Listen {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self).map_err(|_| {
            ValueError::new(
                "an address is an IP and a port, like \"127.0.0.1:5000\" or \"[::]:5000\"",
            )
        })
    }
}

/// What stands between the quotes of a challenge.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Realm(pub(super) String);

impl TryFrom<String> for Realm {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
        if text.len() <= 200 && text.bytes().all(plain) {
            return Ok(Self(text));
        }
        Err(ValueError::new(
            "at most 200 characters of ASCII, no quotes and no backslash",
        ))
    }
}

/// Repositories with their registries, where `*` stands for any characters.
#[derive(Debug, Default, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub(super) struct Patterns(pub(super) Vec<String>);

impl TryFrom<Vec<String>> for Patterns {
    type Error = ValueError;

    fn try_from(patterns: Vec<String>) -> Result<Self, Self::Error> {
        let names_a_registry = |pattern: &String| {
            let registry = pattern.split('/').next().unwrap_or_default();
            registry.contains(['*', '.', ':']) || registry == "localhost"
        };
        if patterns.iter().all(names_a_registry) {
            return Ok(Self(patterns));
        }
        Err(ValueError::new(
            "a repository is written with its registry, like \"docker.io/library/*\"",
        ))
    }
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "Span")]
pub(super) struct AnswerWithin(pub(super) std::time::Duration);

impl TryFrom<Span> for AnswerWithin {
    type Error = ValueError;

    fn try_from(span: Span) -> Result<Self, Self::Error> {
        if span.0.is_zero() || span.0 > ANSWER_WITHIN_MAX {
            return Err(ValueError::new(
                "more than nothing and at most 28s: containerd gives up after 30s",
            ));
        }
        Ok(Self(span.0))
    }
}

/// Reads the table of upstreams in its order; two spellings of one name are refused.
fn upstreams<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Vec<(UpstreamName, Upstream)>, D::Error> {
    struct Table;
    impl<'de> Visitor<'de> for Table {
        type Value = Vec<(UpstreamName, Upstream)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a table for each upstream: [upstreams.\"registry.example\"]")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut all: Self::Value = Vec::new();
            while let Some(name) = map.next_key::<UpstreamName>()? {
                if all.iter().any(|(other, _)| *other == name) {
                    let name = name.as_str();
                    return Err(de::Error::custom(format_args!(
                        "upstream `{name}` is given twice"
                    )));
                }
                let upstream: Upstream = map.next_value()?;
                if name.is_wildcard() && !upstream.endpoints.is_empty() {
                    let name = name.as_str();
                    return Err(de::Error::custom(format_args!(
                        "`{name}` stands for many registries and has no endpoints"
                    )));
                }
                all.push((name, upstream));
            }
            Ok(all)
        }
    }
    from.deserialize_map(Table)
}

/// Our headers have to be out before the first client gives up.
const ANSWER_WITHIN_MAX: std::time::Duration = std::time::Duration::from_secs(28);
