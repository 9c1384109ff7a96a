//! The command line: read, and carried out.

use std::error::Error as StdError;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::{Config, Endpoint, Overrides, StoreUrl, UpstreamName};
use crate::log::Chain;

#[cfg(test)]
mod tests;

/// A caching pull-through proxy for container registries.
///
/// Container runtimes use it as their mirror, for every registry at once. It fetches from upstream what it does not have,
/// checks every digest, and goes on serving what it has when upstream is slow, limited or gone.
#[derive(Debug, Parser)]
#[command(name = "longshore", version, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve clients until a signal ends it.
    ///
    /// Needs no file: without one every key has its default. SIGTERM and SIGINT end it gently, a second one at once.
    Serve(Serve),
    /// Say whether a configuration file is valid.
    CheckConfig {
        /// The file, in TOML.
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
struct Serve {
    /// A configuration file, in TOML.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where to serve clients [default: 127.0.0.1:5000].
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Where to keep content: file:///folder, s3://bucket, gs://bucket, az://container or memory://
    /// [default: a folder of the user's; as root /var/lib/longshore].
    #[arg(long, value_name = "URL")]
    store: Option<StoreUrl>,
    /// An upstream and its endpoint, such as registry.example=https://registry.example:8443. More of one upstream:
    /// mirrors first, the origin last.
    #[arg(long = "upstream", value_name = "NAME=URL", value_parser = parse_upstream)]
    upstreams: Vec<(UpstreamName, Endpoint)>,
}

/// Carries out what was asked. `serve` runs the proxy until it is shut down.
///
/// What fails is told in one line on standard error; the exit code is 1.
pub fn run<S, E>(cli: Cli, serve: S) -> ExitCode
where
    S: FnOnce(Config) -> Result<(), E>,
    E: StdError + 'static,
{
    match cli.command {
        Command::Serve(arguments) => run_serve(arguments, serve),
        Command::CheckConfig { file } => match Config::load(Some(&file), &Overrides::default()) {
            Ok(_) => {
                // Nobody reads it: the exit code still tells.
                let _ = writeln!(io::stdout(), "{}: valid", file.display());
                ExitCode::SUCCESS
            }
            Err(error) => fail(&error),
        },
    }
}

fn run_serve<S, E>(arguments: Serve, serve: S) -> ExitCode
where
    S: FnOnce(Config) -> Result<(), E>,
    E: StdError + 'static,
{
    let Serve {
        config,
        listen,
        store,
        upstreams,
    } = arguments;
    let overrides = Overrides {
        listen,
        store,
        upstreams,
    };
    let config = match Config::load(config.as_deref(), &overrides) {
        Ok(config) => config,
        Err(error) => return fail(&error),
    };
    if let Err(error) = crate::log::start() {
        return fail(&error);
    }
    match serve(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn fail(error: &(dyn StdError + 'static)) -> ExitCode {
    // Standard error is closed: there is nobody left to tell.
    let _ = writeln!(io::stderr(), "longshore: {}", Chain(error));
    ExitCode::FAILURE
}

fn parse_upstream(text: &str) -> Result<(UpstreamName, Endpoint), String> {
    let (name, url) = text.split_once('=').ok_or("write NAME=URL")?;
    let name = UpstreamName::parse(name).map_err(|error| error.to_string())?;
    let endpoint = Endpoint::parse(url).map_err(|error| error.to_string())?;
    Ok((name, endpoint))
}

const EXIT_CODES: &str = "Exit codes: 0 it worked, 1 it failed, 2 the command line is wrong.\n\
                          LONGSHORE_LOG (or RUST_LOG) says what is logged, like \"debug\" or \"longshore::access=warn\".";
