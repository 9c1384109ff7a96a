//! Credentials that other programs keep for many registries: docker's `config.json`, podman's `auth.json`, and the
//! credential programs of both.

use std::{fmt, path::PathBuf, sync::Arc};

use crate::{
    Error,
    auth::login::{Login, LookupKey},
};

mod document;
mod error;
mod names;
mod places;
mod program;
mod runs;

pub use places::Places;

pub(crate) use error::KeyringError;

use document::File;
use names::Name;
use runs::Runs;

/// Where other programs keep credentials, for whichever registry is asked. Cheap to clone; clones share what was found.
///
/// Files are read again when they change. What a credential program says is kept for five minutes, or until a registry
/// does not accept it; then the program is asked once more.
#[derive(Clone)]
pub struct Keyring(Arc<Inner>);

struct Inner {
    kept_in: KeptIn,
    places: Places,
    runs: Runs,
}

enum KeptIn {
    /// In the first of these that has something for the registry.
    Files(Vec<File>),
    /// A credential program, for every registry.
    Program(Box<str>),
}

impl Keyring {
    /// Docker's `config.json`: `file`, which has to be there, or the one that `places` lead to, if it is there:
    /// `$DOCKER_CONFIG/config.json`, else `~/.docker/config.json`.
    #[must_use]
    pub fn docker_config(file: Option<PathBuf>, places: Places) -> Self {
        let files = match file {
            Some(path) => vec![File::needed(path)],
            None => places.docker_config().into_iter().collect(),
        };
        Self::new(KeptIn::Files(files), places)
    }

    /// Podman's `auth.json` (containers-auth.json(5)): `file`, which has to be there, or those that `places` lead to, as
    /// far as they are there: `$REGISTRY_AUTH_FILE`; `$XDG_RUNTIME_DIR/containers/auth.json`, without that variable
    /// `/run/containers/<uid>/auth.json`; `$XDG_CONFIG_HOME/containers/auth.json`; docker's `config.json`; `~/.dockercfg`.
    #[must_use]
    pub fn auth_file(file: Option<PathBuf>, places: Places) -> Self {
        let files = match file {
            Some(path) => vec![File::needed(path)],
            None => places.auth_files(),
        };
        Self::new(KeptIn::Files(files), places)
    }

    /// The program `docker-credential-<name>` of the search path, by the protocol of docker's credential programs.
    ///
    /// # Errors
    /// [`Error::Config`] for a name no program can have: only letters, digits, `-`, `_` and `.`.
    pub fn program(name: &str, places: Places) -> Result<Self, Error> {
        if !program::is_name(name) {
            return Err(Error::config(
                "helper",
                "the name of a credential program has letters, digits, '-', '_' and '.' only",
            ));
        }
        Ok(Self::new(KeptIn::Program(name.into()), places))
    }

    fn new(kept_in: KeptIn, places: Places) -> Self {
        let runs = Runs::default();
        Self(Arc::new(Inner {
            kept_in,
            places,
            runs,
        }))
    }

    /// What is kept for a registry. What the run with the number `stale` found is not good any more.
    pub(crate) async fn login(
        &self,
        sought: LookupKey<'_>,
        stale: Option<u64>,
    ) -> Result<Option<Login>, Arc<KeyringError>> {
        for name in Name::all(sought) {
            let found = match &self.0.kept_in {
                KeptIn::Program(program) => self.run(program, &name, stale).await?,
                KeptIn::Files(files) => self.look_into(files, &name, stale).await?,
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    async fn look_into(
        &self,
        files: &[File],
        name: &Name,
        stale: Option<u64>,
    ) -> Result<Option<Login>, Arc<KeyringError>> {
        for file in files {
            let Some(document) = file.read().await? else {
                continue;
            };
            if let Some(program) = document.program(name)
                && let Some(login) = self.run(program, name, stale).await?
            {
                return Ok(Some(login));
            }
            if let Some(login) = document.login(name)? {
                return Ok(Some(login));
            }
        }
        Ok(None)
    }

    async fn run(
        &self,
        program: &str,
        name: &Name,
        stale: Option<u64>,
    ) -> Result<Option<Login>, Arc<KeyringError>> {
        let Inner { places, runs, .. } = &*self.0;
        for server in name.servers() {
            let run = program::login(program, &places.path, server);
            let found = runs.obtain(program, server, stale, run).await?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_tuple("Keyring");
        match &self.0.kept_in {
            KeptIn::Files(files) => f.field(&files.iter().map(File::path).collect::<Vec<_>>()),
            KeptIn::Program(name) => f.field(name),
        };
        f.finish()
    }
}

#[cfg(test)]
mod tests;
