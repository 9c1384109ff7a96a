//! `longshore pull`: images into the local store, or into an OCI layout.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use longshore_manifest::Platform;
use longshore_puller::pull::{Events, Layout, Options, Puller};
use longshore_puller::{Credentials, Insecure, Keyring, Places, Registries};
use longshore_reference::Parsed;

use super::serve::parse_upstream;
use crate::config::{Config, Endpoint, Overrides, StoreUrl, UpstreamName};
use crate::error::Error;
use crate::log::Chain;
use crate::readiness::Readiness;
use crate::run::live;
use crate::upstreams::puller_config;

mod failed;
mod show;
mod warm;

use failed::Failed;
use show::{Output, Show};

#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Pull {
    /// Images, such as alpine:3.22 or quay.io/coreos/etcd@sha256:…
    #[arg(required = true, value_name = "REF", value_parser = parse_reference)]
    pub(crate) references: Vec<Parsed>,
    /// Pull all tags of a repository.
    #[arg(long, short)]
    pub(crate) all_tags: bool,
    /// The platform to choose in an index [default: this host's].
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub(crate) platform: Option<Platform>,
    /// Where to: oci:FOLDER[:NAME] [default: the local store, which `serve` serves from].
    #[arg(long, value_name = "DEST", value_parser = parse_destination)]
    pub(crate) to: Option<Destination>,
    /// How to report progress.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,
    /// Print only the images that were pulled.
    #[arg(long, short)]
    pub(crate) quiet: bool,
    /// Whose rules to follow with --to.
    #[arg(long, value_enum, default_value_t = Engine::Docker)]
    pub(crate) engine: Engine,
    /// Whether images of schema 1 and of registry protocol v1 are converted with --to [default: as the engine].
    #[arg(long, value_name = "true|false")]
    pub(crate) schema1: Option<bool>,
    /// Layers downloaded at once; 0 for any number.
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub(crate) downloads: usize,
    /// Tries of a layer with --to.
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub(crate) attempts: u32,
    /// A configuration file, in TOML.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The local store, as for `serve`.
    #[arg(long, value_name = "URL")]
    pub(crate) store: Option<StoreUrl>,
    /// An upstream and its endpoint, as for `serve`.
    #[arg(long = "upstream", value_name = "NAME=URL", value_parser = parse_upstream)]
    pub(crate) upstreams: Vec<(UpstreamName, Endpoint)>,
}

/// Where images go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Destination {
    Oci {
        folder: PathBuf,
        name: Option<String>,
    },
}

/// Whose rules are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Engine {
    /// Docker's own engine.
    Docker,
    /// Docker on containerd.
    Containerd,
}

impl Pull {
    pub(crate) fn run(mut self) -> ExitCode {
        let overrides = Overrides {
            listen: None,
            store: self.store.take(),
            upstreams: std::mem::take(&mut self.upstreams),
        };
        let config = match Config::load(self.config.as_deref(), &overrides) {
            Ok(config) => config,
            Err(error) => return super::output::fail(&error),
        };
        // Progress is what people read here; logs are for who asks for them.
        if std::env::var_os(crate::log::FILTER_VARIABLE).is_some()
            && let Err(error) = crate::log::start()
        {
            return super::output::fail(&error);
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build();
        let pulled = match runtime {
            Ok(runtime) => runtime.block_on(async {
                tokio::select! {
                    pulled = self.pull(config) => pulled,
                    _ = tokio::signal::ctrl_c() => Err(Failed::Interrupted),
                }
            }),
            Err(error) => Err(Failed::Start(error)),
        };
        match pulled {
            Ok(()) => ExitCode::SUCCESS,
            Err(failed) => self.fail(&failed),
        }
    }

    fn fail(&self, failed: &Failed) -> ExitCode {
        let text = Chain(failed).to_string();
        // Nobody reads: the exit code remains.
        let _ = match self.output {
            Output::Json => {
                let line = longshore_puller::docker::Message::error(0, &text).to_json();
                io::stdout().write_all(line.as_bytes())
            }
            Output::Text => writeln!(io::stderr(), "longshore: {text}"),
        };
        failed.exit().into()
    }

    async fn pull(&self, config: Config) -> Result<(), Failed> {
        match &self.to {
            Some(Destination::Oci { folder, name }) => {
                let registries = registries(&config)?;
                let layout = Layout::open(folder).await;
                let layout = layout.map_err(|source| Failed::Layout {
                    path: folder.display().to_string(),
                    source,
                })?;
                let layout = match name {
                    Some(name) => layout.with_name(name),
                    None => layout,
                };
                let puller = Puller::new(registries, Arc::new(layout), self.options());
                self.each(async |reference, events| {
                    Ok(puller.pull(&reference, events).await.map(|_| ())?)
                })
                .await
            }
            None => {
                let registries = registries(&config)?;
                let live = live(config, Readiness::default()).await?;
                let store = warm::Warm::new(
                    live.proxy(),
                    registries,
                    self.platform.clone(),
                    self.downloads,
                );
                let pulled =
                    self.each(async |reference, events| store.pull(reference, events).await);
                let pulled = pulled.await;
                store.close().await;
                pulled
            }
        }
    }

    /// Pulls one image after the other, and shows what happens.
    async fn each(
        &self,
        pull: impl AsyncFn(Parsed, Events) -> Result<(), Failed>,
    ) -> Result<(), Failed> {
        let mut show = Show::new(self.output, self.quiet);
        for reference in &self.references {
            let reference = match self.all_tags {
                true => Parsed::from(reference.named().clone()),
                false => reference.clone().or_latest(),
            };
            let (events, stream) = Events::channel();
            let (pulled, ()) = tokio::join!(pull(reference.clone(), events), show.all(stream));
            pulled?;
            show.pulled(&reference);
        }
        Ok(())
    }

    fn options(&self) -> Options {
        let mut options = match self.engine {
            Engine::Docker => Options::moby(),
            Engine::Containerd => Options::containerd(),
        };
        options.platform.clone_from(&self.platform);
        options.schema1 = self.schema1.unwrap_or(options.schema1);
        options.downloads = self.downloads;
        options.attempts = self.attempts;
        options
    }
}

/// A client for all registries: those of the configuration as it has them, others by their names with docker's
/// credentials.
fn registries(config: &Config) -> Result<Registries, Failed> {
    let failed = |name: &str, source| {
        let name = name.to_owned();
        Failed::Proxy(Error::Upstream { name, source })
    };
    let insecure = Insecure::parse(config.insecure.iter());
    let insecure = insecure.map_err(|error| failed("insecure", error))?;
    let keyring = Keyring::docker_config(None, Places::from_env());
    let registries = Registries::new()
        .with_credentials(Credentials::Keyring(keyring))
        .with_insecure(insecure.clone());
    for upstream in &config.upstreams {
        // A wildcard has no endpoints of its own, and what is built in needs no configuration.
        if upstream.endpoints.is_empty() {
            continue;
        }
        let name = upstream.name.as_str();
        let mut configured = puller_config(upstream, name, &insecure)?;
        if configured.credentials.is_none() {
            let keyring = Keyring::docker_config(None, Places::from_env());
            configured.credentials = Some(Credentials::Keyring(keyring));
        }
        let configured = registries.configure(configured);
        configured.map_err(|error| failed(name, error))?;
    }
    Ok(registries)
}

fn parse_reference(text: &str) -> Result<Parsed, String> {
    Parsed::parse(text).map_err(|error| error.to_string())
}

fn parse_destination(text: &str) -> Result<Destination, String> {
    let (transport, rest) = text.split_once(':').ok_or("write oci:FOLDER")?;
    if transport != "oci" || rest.is_empty() {
        return Err("write oci:FOLDER".to_owned());
    }
    let (folder, name) = match rest.split_once(':') {
        Some((folder, name)) => (folder, Some(name.to_owned())),
        None => (rest, None),
    };
    Ok(Destination::Oci {
        folder: folder.into(),
        name,
    })
}

const AFTER_HELP: &str = "Examples:\n  \
    longshore pull alpine:3.22                     warm the store that `longshore serve` serves from\n  \
    longshore pull --all-tags quay.io/coreos/etcd\n  \
    longshore pull --platform linux/arm64 --to oci:images alpine:3.22\n  \
    longshore pull --output json alpine | jq -r .status\n\n\
    Exit codes: 0 success, 1 failure, 2 usage error, 3 not found, 4 denied, 5 upstream failed, 6 content is wrong.";

#[cfg(test)]
mod tests;
