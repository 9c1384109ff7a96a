//! The command line: which commands there are, and which one was given.

use std::error::Error as StdError;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::command::{CheckConfig, Copy, Digest, Inspect, Pull, Serve, Store, Tags};
use crate::config::Config;
use crate::live::Source;

#[cfg(test)]
mod tests;

/// A caching pull-through proxy for container registries.
///
/// Container runtimes use it as their mirror, for every registry at once. It fetches from upstream what it does not have,
/// checks every digest, and goes on serving what it has when upstream is slow, limited or gone.
#[derive(Debug, Parser)]
#[command(name = "longshore", version, after_help = AFTER_HELP)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve clients until a signal ends it.
    ///
    /// Needs no file: without one every key has its default. SIGTERM and SIGINT end it gently, a second one at once. SIGHUP
    /// reads the configuration again.
    Serve(Serve),
    /// Pull images into the local store, so that `serve` has them, or into an OCI layout.
    Pull(Box<Pull>),
    /// Check whether a configuration file is valid.
    CheckConfig(CheckConfig),
    /// Copy an image between a registry, OCI layouts, archives and folders.
    Copy(Box<Copy>),
    /// Print the digest that the name of an image stands for.
    Digest(Digest),
    /// Print what an image is, its manifest or its configuration.
    Inspect(Inspect),
    /// Print the tags of a repository.
    Tags(Tags),
    /// List, measure, verify, prune, import, export, refresh and purge what is kept.
    ///
    /// Works beside a running server: its next request sees what was changed.
    Store(Store),
}

/// Runs the command. `serve` runs the proxy until it is shut down.
///
/// An error is one line on standard error.
pub fn run<S, E>(cli: Cli, serve: S) -> ExitCode
where
    S: FnOnce(Config, Source) -> Result<(), E>,
    E: StdError + 'static,
{
    match cli.command {
        Command::Serve(command) => command.run(serve),
        Command::Pull(command) => command.run(),
        Command::CheckConfig(command) => command.run(),
        Command::Copy(command) => command.run(),
        Command::Digest(command) => command.run(),
        Command::Inspect(command) => command.run(),
        Command::Tags(command) => command.run(),
        Command::Store(command) => command.run(),
    }
}

const AFTER_HELP: &str = "Exit codes: 0 success, 1 failure, 2 usage error; commands that ask registries have more.\n\
                          LONGSHORE_LOG (or RUST_LOG) sets what is logged, like \"debug\" or \"longshore::access=warn\".";
