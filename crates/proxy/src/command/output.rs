//! What commands write to the terminal.

use std::error::Error as StdError;
use std::io::{self, Write};
use std::process::ExitCode;

use crate::log::Chain;

/// Reports an error in one line on standard error.
pub(super) fn fail(error: &(dyn StdError + 'static)) -> ExitCode {
    // Standard error is closed: the exit code remains.
    let _ = writeln!(io::stderr(), "longshore: {}", Chain(error));
    ExitCode::FAILURE
}
