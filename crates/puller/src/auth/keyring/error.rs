//! What can be wrong with credentials that other programs keep.

use std::{io, path::PathBuf, process::ExitStatus, time::Duration};

/// Why a keyring is of no use. Never carries what was found in it. The cause of an [`Error::Rejected`].
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyringError {
    #[error("cannot read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// serde's own words would repeat values.
    #[error("{}:{line}:{column}: not a file of credentials", path.display())]
    Json {
        path: PathBuf,
        line: usize,
        column: usize,
    },
    #[error("{}: `auth` of {registry} is not base64", path.display())]
    Base64 { path: PathBuf, registry: String },
    #[error("docker-credential-{name}")]
    Program {
        name: String,
        #[source]
        source: Failure,
    },
    #[error("unusable credentials for {registry}")]
    Unusable {
        registry: String,
        #[source]
        source: io::Error,
    },
}

/// What went wrong with a program.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("no name of a credential program")]
    Name,
    #[error("not in the search path")]
    Absent,
    #[error("cannot run it")]
    Run(#[source] io::Error),
    #[error("no answer within {} s", DEADLINE.as_secs())]
    Deadline,
    #[error("an answer over {ANSWER_BYTES_MAX} bytes")]
    TooLarge,
    #[error("{status}{}", if said.is_empty() { String::new() } else { format!(": {said}") })]
    Exit { status: ExitStatus, said: String },
    #[error("an answer that is no credentials")]
    Answer,
}

pub(super) const DEADLINE: Duration = Duration::from_secs(10);
pub(super) const ANSWER_BYTES_MAX: usize = 64 << 10;
