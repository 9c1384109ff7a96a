//! How an upstream wants to be asked: challenges, credentials, tokens.

pub(crate) mod challenge;
pub(crate) mod credentials;
mod exchange;
pub(crate) mod keyring;
pub(crate) mod realm;
pub(crate) mod session;
pub(crate) mod token;
