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
mod origin;
mod pool;
mod redirect;
pub(crate) mod resolver;
mod tls;

pub(crate) use self::{
    body::{Response, body, chunk, drain},
    client::Client,
    dial::Access,
    origin::{Origin, Trust, same_origin},
    redirect::{Failure, Followed, Request},
};
