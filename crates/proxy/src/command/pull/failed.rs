//! Why an image was not pulled, and the exit code that says so.

use std::io;

use longshore_puller::pull::{Error as PullError, ErrorKind};
use longshore_store::{Error as Stored, Refusal};

use crate::command::exit::Exit;
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
    /// How the command ends with it.
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Pull(error) => match error.kind() {
                ErrorKind::NotFound => Exit::NotFound,
                ErrorKind::Denied => Exit::Denied,
                ErrorKind::Upstream => Exit::Upstream,
                ErrorKind::Verification => Exit::Verification,
                _ => Exit::Other,
            },
            Self::Proxy(error) => of_proxy(error),
            Self::Document(_, longshore_manifest::Error::NoMatch { .. }) => Exit::NotFound,
            Self::Document(..) => Exit::Upstream,
            Self::Interrupted => Exit::Interrupted,
            Self::Unknown(_) | Self::Layout { .. } | Self::Start(_) => Exit::Other,
        }
    }
}

fn of_proxy(error: &Error) -> Exit {
    match error {
        Error::Store(Stored::Refused(refusal) | Stored::NotWhole { refusal }) => match refusal {
            Refusal::Gone { .. } => Exit::NotFound,
            Refusal::Denied { .. } | Refusal::Rejected { .. } => Exit::Denied,
            Refusal::Limited { .. }
            | Refusal::TimedOut { .. }
            | Refusal::Unreachable { .. }
            | Refusal::Misbehaved { .. } => Exit::Upstream,
        },
        Error::Store(Stored::Mismatch { .. } | Stored::Distrusted { .. }) => Exit::Verification,
        _ => Exit::Other,
    }
}
