//! longshore-proxy

pub mod range;
