//! `longshore serve`: the proxy, until a signal ends it.

use std::error::Error as StdError;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::output::fail;
use crate::config::{Config, Endpoint, Overrides, StoreUrl, UpstreamName};
use crate::live::Source;

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// A configuration file, in TOML.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where to serve clients [default: 127.0.0.1:5000].
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<SocketAddr>,
    /// Where to keep content: file:///folder, s3://bucket, gs://bucket, az://container or memory://
    /// [default: a folder of the user's; as root /var/lib/longshore].
    #[arg(long, value_name = "URL")]
    pub(crate) store: Option<StoreUrl>,
    /// An upstream and its endpoint, such as registry.example=https://registry.example:8443. More of one upstream:
    /// mirrors first, the origin last.
    #[arg(long = "upstream", value_name = "NAME=URL", value_parser = parse_upstream)]
    pub(crate) upstreams: Vec<(UpstreamName, Endpoint)>,
}

impl Serve {
    pub(crate) fn run<S, E>(self, serve: S) -> ExitCode
    where
        S: FnOnce(Config, Source) -> Result<(), E>,
        E: StdError + 'static,
    {
        let Self {
            config,
            listen,
            store,
            upstreams,
        } = self;
        let overrides = Overrides {
            listen,
            store,
            upstreams,
        };
        let source = Source {
            file: config,
            overrides,
        };
        let config = match source.load() {
            Ok(config) => config,
            Err(error) => return fail(&error),
        };
        if let Err(error) = crate::log::start() {
            return fail(&error);
        }
        match serve(config, source) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error),
        }
    }
}

pub(super) fn parse_upstream(text: &str) -> Result<(UpstreamName, Endpoint), String> {
    let (name, url) = text.split_once('=').ok_or("write NAME=URL")?;
    let name = UpstreamName::parse(name).map_err(|error| error.to_string())?;
    let endpoint = Endpoint::parse(url).map_err(|error| error.to_string())?;
    Ok((name, endpoint))
}
