//! longshore-proxy

pub mod config;
pub mod names;
pub mod range;
pub mod route;
pub mod server;
