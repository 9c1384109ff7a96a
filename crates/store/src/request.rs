//! What a client asks for: content of a repository, by which rules, from which remote.

use std::sync::Arc;

use crate::freshness::Policy;
use crate::remote::Remote;

/// A request for content. `T` is a reference of a manifest, or a digest in a repository. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Request<T> {
    /// What is asked for.
    pub target: T,
    /// How content of this upstream is kept and served.
    pub policy: Arc<Policy>,
    /// Asked for what is not held, and whether a tag still holds.
    pub remote: Arc<dyn Remote>,
    /// Who asks, where clients are told apart.
    pub principal: Option<Principal>,
}

/// Name of an authenticated client.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Principal(pub Arc<str>);

impl<T> Request<T> {
    /// A request of a client that is not told apart from others.
    pub fn new(target: T, policy: Arc<Policy>, remote: Arc<dyn Remote>) -> Self {
        Self {
            target,
            policy,
            remote,
            principal: None,
        }
    }

    /// The same client's request for something else.
    pub fn with<U>(&self, target: U) -> Request<U> {
        Request {
            target,
            policy: Arc::clone(&self.policy),
            remote: Arc::clone(&self.remote),
            principal: self.principal.clone(),
        }
    }
}
