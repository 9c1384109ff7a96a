//! A caching pull-through proxy for container registries.
//!
//! [`run`] serves a [`config::Config`] until it is shut down, and reloads it from its [`Source`]. `proxy.rs` is the program
//! on one page: a request becomes a [`route::Route`], and the route is answered by the store, which asks a remote for what
//! it does not hold. [`cli`] has the other commands.
#![forbid(unsafe_code)]

pub mod access;
mod account;
mod blob;
mod body;
pub mod cli;
mod command;
pub mod config;
mod convert;
mod descriptors;
mod error;
mod files;
mod lists;
mod live;
pub mod log;
mod manifest;
pub mod metrics;
pub mod names;
mod proxy;
pub mod range;
mod readiness;
pub mod route;
mod run;
pub mod server;
mod upstreams;

pub use body::Body;
pub use error::Error;
pub use live::Source;
pub use proxy::Proxy;
pub use run::run;

/// The example of the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
