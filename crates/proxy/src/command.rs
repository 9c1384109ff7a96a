//! The commands of the binary, one file each: its arguments, and what it does.

mod check_config;
mod copy;
mod digest;
mod exit;
mod inspect;
mod output;
mod pull;
mod registry;
mod serve;
mod store;
mod tags;

pub(crate) use check_config::CheckConfig;
pub(crate) use copy::Copy;
pub(crate) use digest::Digest;
pub(crate) use inspect::Inspect;
pub(crate) use pull::Pull;
pub(crate) use serve::Serve;
pub(crate) use store::Store;
pub(crate) use tags::Tags;
