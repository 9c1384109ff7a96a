//! How an upstream wants to be asked: challenges, credentials, tokens.

pub(crate) mod authorizer;
pub(crate) mod challenge;
pub(crate) mod credentials;
pub(crate) mod keyring;
pub(crate) mod login;
pub(crate) mod realm;
pub(crate) mod token;
pub(crate) mod token_endpoint;
