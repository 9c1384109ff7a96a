//! One client for many registries.

pub(crate) mod blob;
pub(crate) mod client;
