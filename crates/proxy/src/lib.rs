//! longshore-proxy

pub mod names;
pub mod range;
pub mod route;
