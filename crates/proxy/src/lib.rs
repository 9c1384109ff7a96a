//! A caching pull-through proxy for container registries.
//!
//! [`run`] serves a [`config::Config`] until it is told to end. `proxy.rs` tells the whole program: a request becomes a
//! [`route::Route`], the route is answered from the store, and the store is handed a closure that knows how to pull.
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
