//! A manifest that can be served.

use std::sync::Arc;

use bytes::Bytes;
use longshore_reference::Digest;

use crate::outcome::Outcome;

/// A manifest that can be served.
#[derive(Clone, Debug)]
pub struct Held {
    /// The exact bytes.
    pub bytes: Bytes,
    /// Without parameters.
    pub media_type: Arc<str>,
    /// In the algorithm of the request; sha256 for a tag.
    pub digest: Digest,
    /// How it was had.
    pub outcome: Outcome,
}
