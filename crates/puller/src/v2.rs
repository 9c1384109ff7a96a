//! Requests and answers of protocol v2 (the OCI distribution specification).

pub(crate) mod blob;
#[cfg(feature = "pull")]
pub(crate) mod foreign;
pub(crate) mod list;
pub(crate) mod manifest;
