//! `longshore store`: what is kept, as an operator sees it.

use std::process::ExitCode;

use clap::{Args, Subcommand};

mod list;
mod place;
mod prune;
mod purge;
mod transfer;
mod usage;
mod verify;

use place::Place;

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Store {
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the tags that are held: digest, size, last use.
    Ls(list::List),
    /// Show how much room each upstream and repository takes.
    Du(usage::Usage),
    /// Hash every file again, and report or repair what is damaged.
    Verify(verify::Verify),
    /// Remove what eviction would remove next, or what nothing refers to.
    Prune(prune::Prune),
    /// Import images from an OCI layout or a docker-archive.
    Import(transfer::Import),
    /// Export an image, with its signatures and SBOMs, to an OCI layout or a docker-archive.
    Export(transfer::Export),
    /// Make servers ask upstream about a tag at the next request.
    Refresh(purge::Refresh),
    /// Forget a tag or a manifest, and remove what nothing else refers to.
    Purge(purge::Purge),
}

impl Store {
    pub(crate) fn run(self) -> ExitCode {
        let place = &self.place;
        match self.command {
            Command::Ls(command) => command.run(place),
            Command::Du(command) => command.run(place),
            Command::Verify(command) => command.run(place),
            Command::Prune(command) => command.run(place),
            Command::Import(command) => command.run(place),
            Command::Export(command) => command.run(place),
            Command::Refresh(command) => command.run(place),
            Command::Purge(command) => command.run(place),
        }
    }
}

const AFTER_HELP: &str = "\
Examples:
  longshore store ls 'docker.io/library/*' --sort used
  longshore store du --output json
  longshore store verify --repair
  longshore store prune --to 50GiB --dry-run
  longshore store export alpine:3.22 alpine.tar
  longshore store import alpine.tar
  longshore store refresh registry.example/team/app:main

The store is that of --config or --store, else the one that `longshore serve` uses without a configuration. With a
bucket, these commands work on the local tier in front of it.

Exit codes: 0 success, 1 failure, 2 usage error, 3 damaged content was found, 4 the store does not have what was named.";
