//! The configuration: read from TOML, overridden by the command line, completed with defaults, checked.
//!
//! A [`Config`] in the hand is whole and valid: every upstream that may be dialled is in it, the public ones too, each
//! with its endpoints and its policy. No secret of it is ever printed.

use std::path::Path;

mod credentials;
mod error;
mod file;
mod folder;
mod model;
mod resolve;
mod room;
#[cfg(test)]
mod tests;
mod value;

pub use credentials::{Credentials, Secret};
pub use error::{Error, Place};
pub use folder::data_folder;
pub use model::{
    CONNECTIONS_MAX_DEFAULT, ClientCertificate, Config, FILLS_MAX_DEFAULT, LISTEN_DEFAULT,
    Overrides, Policy, Store, Upstream,
};
pub(crate) use room::parse_room;
pub use room::{MIN_FREE_DEFAULT, SCRUB_DEFAULT};
pub use value::{
    Age, Api, Endpoint, InsecureHosts, OnDeleted, OnDenied, PrivateAddresses, RateLimitStatus,
    StoreUrl, UpstreamName, ValueError,
};

use crate::names::Names;

impl Config {
    /// Reads a configuration file, or takes every default without one.
    ///
    /// # Errors
    /// For a file that cannot be read or is not valid, and where no folder for the data is known.
    pub fn load(file: Option<&Path>, overrides: &Overrides) -> Result<Self, Error> {
        let folder = data_folder();
        let Some(file) = file else {
            return Self::parse(Path::new(""), "", overrides, folder.as_deref());
        };
        let text = std::fs::read_to_string(file).map_err(|source| Error::Read {
            file: file.to_owned(),
            source,
        })?;
        Self::parse(file, &text, overrides, folder.as_deref())
    }

    /// Reads the text of a configuration file. `file` is what errors call it; `folder` is where data goes by default.
    ///
    /// # Errors
    /// For a text that is not valid, and where a folder is needed and none was given.
    pub fn parse(
        file: &Path,
        text: &str,
        overrides: &Overrides,
        folder: Option<&Path>,
    ) -> Result<Self, Error> {
        let parsed = toml::from_str(text).map_err(|source| error::locate(file, text, &source))?;
        resolve::resolve(parsed, overrides, folder)
    }

    /// The names of the upstreams; an [`UpstreamId`](crate::names::UpstreamId) is an index into
    /// [`upstreams`](Self::upstreams).
    #[must_use]
    pub fn names(&self) -> Names {
        Names::new(
            self.upstreams
                .iter()
                .map(|upstream| (upstream.name.as_str(), upstream.hosts.as_slice())),
        )
    }
}
