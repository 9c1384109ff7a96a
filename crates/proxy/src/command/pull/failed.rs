//! Why an image was not pulled, and the exit code that says so.

use std::io;

use longshore_puller::pull::{Error as PullError, ErrorKind};
use longshore_store::{Error as Stored, Refusal};

use crate::error::Error;

/// Why nothing more is pulled.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    #[error(transparent)]
    Pull(#[from] PullError),
    #[error(transparent)]
    Proxy(#[from] Error),
    #[error("{0} is no registry of the configuration")]
    Unknown(Box<str>),
    #[error("a document of {0} cannot be used")]
    Document(Box<str>, #[source] longshore_manifest::Error),
    #[error("cannot use {path}")]
    Layout {
        path: String,
        #[source]
        source: io::Error,
    },
    #[error("cannot start")]
    Start(#[source] io::Error),
    #[error("interrupted")]
    Interrupted,
}

impl Failed {
    /// 3 not found, 4 denied, 5 upstream failed, 6 content is wrong, 1 anything else.
    pub(super) fn code(&self) -> u8 {
        match self {
            Self::Pull(error) => match error.kind() {
                ErrorKind::NotFound => NOT_FOUND,
                ErrorKind::Denied => DENIED,
                ErrorKind::Upstream => UPSTREAM,
                ErrorKind::Verification => VERIFICATION,
                _ => FAILURE,
            },
            Self::Proxy(error) => of_proxy(error),
            Self::Document(_, longshore_manifest::Error::NoMatch { .. }) => NOT_FOUND,
            Self::Document(..) => UPSTREAM,
            Self::Interrupted => INTERRUPTED,
            Self::Unknown(_) | Self::Layout { .. } | Self::Start(_) => FAILURE,
        }
    }
}

fn of_proxy(error: &Error) -> u8 {
    match error {
        Error::Store(Stored::Refused(refusal) | Stored::NotWhole { refusal }) => match refusal {
            Refusal::Gone { .. } => NOT_FOUND,
            Refusal::Denied { .. } | Refusal::Rejected { .. } => DENIED,
            Refusal::Limited { .. }
            | Refusal::TimedOut { .. }
            | Refusal::Unreachable { .. }
            | Refusal::Misbehaved { .. } => UPSTREAM,
        },
        Error::Store(Stored::Mismatch { .. } | Stored::Distrusted { .. }) => VERIFICATION,
        _ => FAILURE,
    }
}

const FAILURE: u8 = 1;
const NOT_FOUND: u8 = 3;
const DENIED: u8 = 4;
const UPSTREAM: u8 = 5;
const VERIFICATION: u8 = 6;
/// As shells have it for SIGINT.
const INTERRUPTED: u8 = 130;
