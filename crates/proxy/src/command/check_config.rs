//! `longshore check-config`: is a configuration file valid?

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::output::fail;
use crate::config::{Config, Overrides};

#[derive(Debug, Args)]
pub(crate) struct CheckConfig {
    /// The file, in TOML.
    file: PathBuf,
}

impl CheckConfig {
    pub(crate) fn run(self) -> ExitCode {
        match Config::load(Some(&self.file), &Overrides::default()) {
            Ok(_) => {
                // Standard output is closed: the exit code remains.
                let _ = writeln!(io::stdout(), "{}: valid", self.file.display());
                ExitCode::SUCCESS
            }
            Err(error) => fail(&error),
        }
    }
}
