//! What can go wrong between us and an upstream, named by the party at fault.

use std::{error::Error as StdError, fmt, sync::Arc, time::Duration};

/// The cause of an [`Error`], shared so that every caller that joined one exchange can have it.
pub type Source = Arc<dyn StdError + Send + Sync>;

/// Why a call to an upstream did not end as asked.
///
/// `endpoint` is always the host (and port, if it is not the scheme's own) of the configured endpoint that was
/// asked. No variant carries a URL's query or a secret.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The origin answered that it does not have this.
    #[error("not known to {endpoint}")]
    NotFound {
        /// Host of the endpoint.
        endpoint: Arc<str>,
        /// A 404 with a registry's error code in the body. A bare 404 is not believed.
        authoritative: bool,
    },
    /// A valid token, valid credentials, or the anonymous client was refused.
    #[error("denied by {endpoint}{}", detail.as_deref().map(|d| format!(": {d}")).unwrap_or_default())]
    Denied {
        /// Host of the endpoint.
        endpoint: Arc<str>,
        /// Code and message the registry gave, shortened.
        detail: Option<Arc<str>>,
        /// It wants to know who asks (401, or the code `UNAUTHORIZED`); else it forbids it.
        unauthorized: bool,
    },
    /// The configured credentials were not accepted (or not readable), and asking anonymously did not help.
    #[error("credentials for {endpoint} were rejected")]
    Rejected {
        /// Host of the endpoint.
        endpoint: Arc<str>,
        /// Why they could not be read, if that was it.
        #[source]
        source: Option<Source>,
    },
    /// The upstream asked us to slow down (429).
    #[error("rate limited by {endpoint}")]
    Limited {
        /// Host of the endpoint.
        endpoint: Arc<str>,
        /// When asking again makes sense, if the upstream said so; at most one hour.
        retry_after: Option<Duration>,
    },
    /// The upstream could not be reached or failed on its side.
    #[error("{endpoint} is unreachable: {reason}")]
    Unreachable {
        /// Host of the endpoint.
        endpoint: Arc<str>,
        /// What failed.
        reason: Reason,
        /// The transport's error, if it was one.
        #[source]
        source: Option<Source>,
    },
    /// The upstream let a deadline pass.
    #[error("{endpoint} timed out: {phase}")]
    TimedOut {
        /// Host of the endpoint.
        endpoint: Arc<str>,
        /// Which deadline.
        phase: Phase,
    },
    /// The upstream answered with something that is not what was asked for.
    #[error("{endpoint} misbehaved: {fault}")]
    Misbehaved {
        /// Host of the endpoint.
        endpoint: Arc<str>,
        /// What was wrong.
        fault: Fault,
    },
    /// The upstream sent a schema 1 manifest that contradicts itself or its signatures.
    #[error("{endpoint} sent a manifest that cannot be used")]
    Unusable {
        /// Host of the endpoint.
        endpoint: Arc<str>,
        /// What is wrong with it.
        #[source]
        source: Arc<longshore_manifest::Error>,
    },
    /// Protocol v1 is all there is, and it knows no digests.
    #[error("Cannot pull by digest with v1 registry")]
    NotSupported {
        /// The name of the upstream.
        upstream: Arc<str>,
    },
    /// A name no repository can have.
    #[error("'{name}' is a reserved name")]
    Reserved {
        /// The name.
        name: Arc<str>,
    },
    /// A repository of another registry.
    #[error("{domain} is another registry than {upstream}")]
    OtherRegistry {
        /// The name of the upstream.
        upstream: Arc<str>,
        /// The registry of the repository.
        domain: Arc<str>,
    },
    /// The bytes asked for begin after the end of the blob.
    #[error("offset {offset} is past the end of a blob of {size} bytes")]
    OutOfRange {
        /// Where they begin; bytes.
        offset: u64,
        /// Of the blob; bytes.
        size: u64,
    },
    /// No endpoint of the upstream speaks a version of the protocol that may be used.
    #[error("no endpoints found for {reference}")]
    NoEndpoints {
        /// What was asked for.
        reference: Arc<str>,
    },
    /// The configuration of the upstream cannot be used. Only [`Upstream::new`](crate::Upstream::new) and the
    /// constructors of the configuration's types return this.
    #[error("unusable {key}: {problem}")]
    Config {
        /// The key at fault.
        key: &'static str,
        /// What is wrong with it.
        problem: &'static str,
        /// The cause, if it came from elsewhere.
        #[source]
        source: Option<Source>,
    },
}

/// Why an upstream is [`Unreachable`](Error::Unreachable).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// No connection: DNS, refused, no route.
    Connect,
    /// The TLS handshake failed.
    Tls,
    /// The connection was lost during the exchange.
    Lost,
    /// A status that says the other side failed.
    Status(u16),
    /// It failed so often that it is skipped for a while.
    CircuitOpen,
}

/// Which deadline passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Waiting for a connection.
    Connect,
    /// Waiting for response headers.
    Headers,
    /// Waiting for the next bytes of a body.
    Body,
}

/// What was wrong with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A web page instead of content.
    Html,
    /// A `Content-Encoding` although `identity` was asked for.
    Encoding,
    /// A length that differs from what was expected; bytes.
    Length {
        /// What it should be.
        expected: u64,
        /// What it is, or how much came before the end.
        found: u64,
    },
    /// Bytes that are not the digest's.
    Digest,
    /// A document over the limit; bytes.
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// A document that should be JSON and is not.
    Json,
    /// A header that is missing, unreadable, or contradicts the request.
    Header(&'static str),
    /// A redirect that must not be followed: too many, to plain HTTP, or with credentials in it.
    Redirect,
    /// A redirect or a token endpoint at an address that is not public, and that
    /// [`Config::private_addresses`](crate::Config::private_addresses) does not name.
    PrivateAddress,
    /// A token endpoint that must not be asked, for the same reasons.
    Realm,
    /// A token endpoint's answer without a usable token.
    Token,
    /// A status that has no meaning here.
    Status(u16),
}

impl Error {
    /// Whether the same call may succeed later without anyone changing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Limited { .. } | Self::Unreachable { .. } | Self::TimedOut { .. } => true,
            Self::NotFound { .. }
            | Self::Denied { .. }
            | Self::Rejected { .. }
            | Self::Misbehaved { .. }
            | Self::Unusable { .. }
            | Self::NotSupported { .. }
            | Self::Reserved { .. }
            | Self::OtherRegistry { .. }
            | Self::OutOfRange { .. }
            | Self::NoEndpoints { .. }
            | Self::Config { .. } => false,
        }
    }

    pub(crate) fn misbehaved(endpoint: &Arc<str>, fault: Fault) -> Self {
        Self::Misbehaved {
            endpoint: Arc::clone(endpoint),
            fault,
        }
    }

    pub(crate) fn timed_out(endpoint: &Arc<str>, phase: Phase) -> Self {
        Self::TimedOut {
            endpoint: Arc::clone(endpoint),
            phase,
        }
    }

    pub(crate) fn config(key: &'static str, problem: &'static str) -> Self {
        Self::Config {
            key,
            problem,
            source: None,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect => f.write_str("no connection"),
            Self::Tls => f.write_str("tls handshake failed"),
            Self::Lost => f.write_str("connection lost"),
            Self::Status(status) => write!(f, "status {status}"),
            Self::CircuitOpen => f.write_str("circuit open after too many failures"),
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connecting",
            Self::Headers => "waiting for headers",
            Self::Body => "waiting for the body",
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Html => f.write_str("a web page instead of content"),
            Self::Encoding => f.write_str("encoded content although identity was asked for"),
            Self::Length { expected, found } => write!(f, "{found} bytes instead of {expected}"),
            Self::Digest => f.write_str("content does not match its digest"),
            Self::TooLarge { limit } => write!(f, "a document over {limit} bytes"),
            Self::Json => f.write_str("not a json document"),
            Self::Header(name) => write!(f, "header {name} missing or wrong"),
            Self::Redirect => f.write_str("a redirect that must not be followed"),
            Self::PrivateAddress => {
                f.write_str("led to a private address that private_addresses does not allow")
            }
            Self::Realm => f.write_str("a token endpoint that must not be asked"),
            Self::Token => f.write_str("no token in the answer of the token endpoint"),
            Self::Status(status) => write!(f, "status {status}"),
        }
    }
}
