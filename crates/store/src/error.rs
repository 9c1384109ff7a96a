//! What can go wrong between a request and content, and whose fault it is.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use longshore_reference::Digest;
use tokio::time::error::Elapsed;

/// Why something happened, kept whole for the log; shared because one fill answers many requests.
pub type Cause = Arc<dyn std::error::Error + Send + Sync + 'static>;

/// What upstream says when it does not give content, in the words of the store.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Refusal {
    /// The origin said that it does not have it.
    #[error("upstream does not have it")]
    Gone {
        /// A registry's error code came with it. A bare 404 may be a proxy's or a broken server's: it ends nothing.
        confirmed: bool,
        /// What was answered.
        #[source]
        cause: Cause,
    },
    /// A valid token was refused.
    #[error("upstream denies access")]
    Denied {
        /// What was answered.
        #[source]
        cause: Cause,
    },
    /// Too many requests were made of upstream.
    #[error("upstream limits requests")]
    Limited {
        /// How long to leave upstream alone, where that is known.
        retry_after: Option<Duration>,
        /// What was answered.
        #[source]
        cause: Cause,
    },
    /// Our own credentials were rejected, and nothing could be had without them.
    #[error("upstream rejects the configured credentials")]
    Rejected {
        /// What was answered.
        #[source]
        cause: Cause,
    },
    /// No answer in time.
    #[error("upstream does not answer in time")]
    TimedOut {
        /// What was waited for.
        #[source]
        cause: Cause,
    },
    /// No usable answer: name, connection, TLS or a status of 500 and above.
    #[error("upstream cannot be reached")]
    Unreachable {
        /// What failed.
        #[source]
        cause: Cause,
    },
    /// An answer that cannot be right: HTML, a length that lies, a wrong digest.
    #[error("upstream misbehaves")]
    Misbehaved {
        /// What was wrong.
        #[source]
        cause: Cause,
    },
}

impl Refusal {
    /// An answer that cannot be right.
    pub(crate) fn misbehaved(what: &'static str) -> Self {
        Self::Misbehaved {
            cause: Arc::new(io::Error::new(io::ErrorKind::InvalidData, what)),
        }
    }

    /// No answer in time.
    pub(crate) fn timed_out(late: Elapsed) -> Self {
        Self::TimedOut {
            cause: Arc::new(late),
        }
    }
}

/// Why the store could not give what was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// Upstream had to be asked and refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The bytes that came are not the digest's; nothing was kept.
    #[error("content of {expected} is wrong: {found}")]
    Mismatch {
        /// What was asked for.
        expected: Digest,
        /// What came instead: another digest, or a wrong number of bytes.
        found: String,
    },
    /// Wrong bytes were served for this digest a moment ago: a client that resumes would join them to right ones.
    #[error("content of {digest} was wrong a moment ago, parts of it are not served for a while")]
    Distrusted {
        /// What was asked for.
        digest: Digest,
    },
    /// A range starts where the content has ended.
    #[error("the content has no more than {size} bytes")]
    PastEnd {
        /// Bytes of the content.
        size: u64,
    },
    /// As many fills as are allowed are in flight.
    #[error("too many fills in flight")]
    Busy,
    /// There is no room on disk for a fill; the request may be answered without keeping anything.
    #[error("no room on disk for {size} bytes")]
    NoRoom {
        /// What was wanted.
        size: u64,
    },
    /// The fill was given up: shutdown, or its place was wanted while nobody read it.
    #[error("fill given up")]
    GivenUp,
    /// A legacy image is being converted: it goes on, and the next request may find it ready.
    #[error("the image is being converted")]
    Converting,
    /// A kept copy exists, but upstream fails and parts of the image are not held: pulling it would break half-way.
    #[error("the kept copy is not whole")]
    NotWhole {
        /// Why upstream could not be asked.
        #[source]
        refusal: Refusal,
    },
    /// A file of the local tier could not be used.
    #[error("{action} {path}")]
    Local {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: String,
        /// What the operating system said.
        #[source]
        cause: Arc<io::Error>,
    },
    /// The bucket could not be used.
    #[error("{action} {key} in the bucket")]
    Bucket {
        /// What was tried.
        action: &'static str,
        /// The object.
        key: String,
        /// What the bucket said.
        #[source]
        cause: Arc<object_store::Error>,
    },
    /// The folder is no store, or one of another version.
    #[error("{path} is not a store of this version: {found}")]
    Foreign {
        /// The folder.
        path: String,
        /// What its marker says.
        found: String,
    },
    /// The spool must be on the file system of the store, or content could not be renamed into place.
    #[error("the spool {spool} is not on the file system of the store {store}")]
    SpoolElsewhere {
        /// The spool's folder.
        spool: String,
        /// The store's folder.
        store: String,
    },
    /// The spool must not lie where the store keeps content.
    #[error("the spool {spool} is where the store {store} keeps content")]
    SpoolInStore {
        /// The spool's folder.
        spool: String,
        /// The store's folder.
        store: String,
    },
    /// The URL of the store cannot be used.
    #[error("cannot use the store {url}: {reason}")]
    Url {
        /// The URL, without its query.
        url: String,
        /// What is wrong.
        reason: String,
    },
}

impl Error {
    pub(crate) fn local(action: &'static str, path: &std::path::Path, source: io::Error) -> Self {
        Self::Local {
            action,
            path: path.display().to_string(),
            cause: Arc::new(source),
        }
    }
}
