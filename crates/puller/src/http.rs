//! HTTP towards one upstream: connections, whom they may reach, and redirects.
//!
//! Callers say on whose behalf they ask ([`Origin`]); endpoints and protocols are not known here.

pub(crate) mod address;
mod body;
pub(crate) mod certificates;
mod client;
pub(crate) mod connector;
pub(crate) mod cookies;
mod dial;
mod io;
mod pool;
mod redirect;
pub(crate) mod resolver;
mod tls;

use std::sync::Arc;

use url::Url;

pub(crate) use self::{
    body::{Response, body, chunk, drain},
    client::Client,
    dial::Access,
    redirect::{Failure, Followed, Origin, Request, Trust},
};
use crate::{Error, error::Phase};

/// Scheme, host and port are the same.
pub(crate) fn same_origin(a: &Url, b: &Url) -> bool {
    a.scheme() == b.scheme()
        && a.host() == b.host()
        && a.port_or_known_default() == b.port_or_known_default()
}

pub(crate) fn timed_out(host: &Arc<str>, phase: Phase) -> Error {
    Error::TimedOut {
        endpoint: Arc::clone(host),
        phase,
    }
}
