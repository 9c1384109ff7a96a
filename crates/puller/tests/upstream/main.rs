//! Upstreams on real sockets.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that fails panics"
)]

mod auth;
mod common;
mod download;
mod failing;
mod keyring;
mod list;
mod pool;
mod pull;
mod redirect;
mod registries;
mod script;
mod secrets;
mod tls;
mod tokens;
mod v1;
