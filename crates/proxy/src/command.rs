//! The commands of the binary, one file each: its arguments, and what it does.

mod check_config;
mod output;
mod serve;

pub(crate) use check_config::CheckConfig;
pub(crate) use serve::Serve;
