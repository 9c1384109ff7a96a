//! Whom requests are made for.

use std::sync::Arc;

use url::Url;

use super::dial::Access;

/// Whom requests are made for: an endpoint, and what it may be trusted with.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    pub(crate) url: Url,
    /// How errors and logs call it.
    pub(crate) host: Arc<str>,
    pub(crate) trust: Trust,
}

/// What an endpoint and whatever it points to are trusted with.
#[derive(Debug, Clone)]
pub(crate) struct Trust {
    /// For the endpoint itself.
    pub(crate) endpoint: Access,
    /// For redirects, token endpoints and the rest.
    pub(crate) pointed: Access,
}

impl Origin {
    pub(crate) fn is_own(&self, url: &Url) -> bool {
        same_origin(&self.url, url)
    }
}

/// Scheme, host and port are the same.
pub(crate) fn same_origin(a: &Url, b: &Url) -> bool {
    a.scheme() == b.scheme()
        && a.host() == b.host()
        && a.port_or_known_default() == b.port_or_known_default()
}
