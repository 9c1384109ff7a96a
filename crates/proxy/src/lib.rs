//! longshore-proxy

pub mod cli;
pub mod config;
pub mod log;
pub mod metrics;
pub mod names;
pub mod range;
pub mod route;
pub mod server;
