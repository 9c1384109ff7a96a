//! Exit codes of the commands that ask registries: what failed, for scripts.

use std::error::Error as StdError;
use std::io::{self, Write};
use std::process::ExitCode;

use longshore_puller::short_names::PullErrors;
use longshore_puller::transport::Error as CopyError;
use longshore_puller::{Error as PullerError, Fault};

use crate::log::Chain;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Something else failed: a file, a limit, a kind of image.
    Other = 1,
    /// The command line is wrong.
    Usage = 2,
    /// There is no such image, repository or file.
    NotFound = 3,
    /// The registry refuses it.
    Denied = 4,
    /// The registry could not be reached, failed, or limits the rate.
    Upstream = 5,
    /// Content that does not match its digest, or an image that the policy refuses.
    Verification = 6,
    /// Interrupted, as shells have it for SIGINT.
    Interrupted = 130,
}

impl Exit {
    /// For an error of a registry.
    pub(crate) fn of_registry(error: &PullerError) -> Self {
        match error {
            PullerError::NotFound { .. } => Self::NotFound,
            PullerError::Denied { .. } | PullerError::Rejected { .. } => Self::Denied,
            PullerError::Misbehaved {
                fault: Fault::Digest,
                ..
            } => Self::Verification,
            PullerError::Limited { .. }
            | PullerError::Unreachable { .. }
            | PullerError::TimedOut { .. }
            | PullerError::Misbehaved { .. }
            | PullerError::NoEndpoints { .. } => Self::Upstream,
            PullerError::Unusable { source, .. } => match &**source {
                longshore_manifest::Error::NoMatch { .. } => Self::NotFound,
                _ => Self::Upstream,
            },
            PullerError::Config { .. } | PullerError::Reserved { .. } => Self::Usage,
            PullerError::NotSupported { .. }
            | PullerError::OtherRegistry { .. }
            | PullerError::OutOfRange { .. } => Self::Other,
        }
    }

    /// For an error of a copy.
    pub(crate) fn of_copy(error: &CopyError) -> Self {
        match error {
            CopyError::Registry(error) => Self::of_registry(error),
            CopyError::Sources { .. } => Self::Denied,
            CopyError::Digest(_) | CopyError::Policy { .. } => Self::Verification,
            CopyError::Goal { .. } | CopyError::ShortName(_) | CopyError::Name(_) => Self::Usage,
            error if error.is_not_found() => Self::NotFound,
            _ => Self::Other,
        }
    }

    /// For everything that was tried: that of the last error.
    pub(crate) fn of_errors(errors: &PullErrors<CopyError>) -> Self {
        errors.errors().last().map_or(Self::Other, Self::of_copy)
    }

    /// Reports an error in one line on standard error.
    pub(crate) fn fail(self, error: &(dyn StdError + 'static)) -> ExitCode {
        // Standard error is closed: the exit code remains.
        let _ = writeln!(io::stderr(), "longshore: {}", Chain(error));
        self.into()
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// For the help of these commands.
pub(crate) const EXIT_CODES: &str = "Exit codes: 0 success, 1 other failure, 2 usage error, 3 not found, 4 denied, 5 upstream failure, \
                                     6 verification failure.";
