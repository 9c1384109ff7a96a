//! Which store a command works on, and how commands end.

use std::error::Error as StdError;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use longshore_store::{Inventory, InventoryError, Options};

use crate::command::output::{self, Format};
use crate::config::{self, Config, Overrides, StoreUrl};

/// Exit code: damaged content was found.
pub(super) const DAMAGED: u8 = 3;
/// Exit code: the store does not have what was named.
const ABSENT: u8 = 4;

/// What every command on the store is told.
#[derive(Debug, Args)]
pub(super) struct Place {
    /// The configuration file of the server, in TOML.
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// The store, as for `serve`.
    #[arg(long, value_name = "URL", global = true)]
    store: Option<StoreUrl>,
    /// How to write the result.
    #[arg(
        long,
        value_name = "FORMAT",
        global = true,
        value_enum,
        default_value_t
    )]
    pub(super) output: Format,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    #[error(transparent)]
    Config(#[from] config::Error),
    #[error(transparent)]
    Store(#[from] InventoryError),
    #[error("cannot use the store {url}: {reason}")]
    Url { url: String, reason: String },
}

impl Place {
    pub(super) fn config(&self) -> Result<Config, Failed> {
        let overrides = Overrides {
            store: self.store.clone(),
            ..Overrides::default()
        };
        Ok(Config::load(self.config.as_deref(), &overrides)?)
    }

    /// The store, which exists.
    pub(super) fn open(&self) -> Result<Inventory, Failed> {
        Ok(Inventory::open(&options(self.config()?.store)?)?)
    }

    /// Opens a store, and makes it where there is none.
    pub(super) fn create(&self, config: Config) -> Result<Inventory, Failed> {
        Ok(Inventory::create(&options(config.store)?)?)
    }
}

fn options(store: config::Store) -> Result<Options, Failed> {
    let bucket = match store.url {
        StoreUrl::File(_) | StoreUrl::Memory => None,
        StoreUrl::Bucket(url) => Some(url),
    };
    let parse = |url: String| {
        url.parse().map_err(|reason: url::ParseError| Failed::Url {
            url,
            reason: reason.to_string(),
        })
    };
    Ok(Options {
        spool: Some(store.spool),
        bucket: bucket.map(parse).transpose()?,
        pins: store.pins,
        ..Options::new(store.local)
    })
}

/// Ends a command.
pub(super) fn end(done: Result<ExitCode, Failed>) -> ExitCode {
    let failed = match done {
        Ok(code) => return code,
        Err(failed) => failed,
    };
    let code = output::fail(&failed as &(dyn StdError + 'static));
    match failed {
        Failed::Store(cause) if cause.is_absent() => ABSENT.into(),
        Failed::Store(_) | Failed::Config(_) | Failed::Url { .. } => code,
    }
}
