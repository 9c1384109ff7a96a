//! Which policy is read.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{Error, Policy};
use crate::config_file;

/// No policy can be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NoPolicy {
    /// There is none in the usual places.
    #[error("no policy.json file found at any of the following: {user:?}, {system:?}")]
    NotFound {
        /// That of the user.
        user: PathBuf,
        /// That of the system.
        system: PathBuf,
    },
    /// It cannot be read.
    #[error("reading the policy {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It cannot be used.
    #[error("invalid policy in {path:?}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Error,
    },
}

/// The policy to read: the given one; else the user's, `~/.config/containers/policy.json`, if it is there; else the
/// system's, `/etc/containers/policy.json`, under `root` if that is given. `exists` tells whether a file is there.
///
/// # Errors
/// [`NoPolicy::NotFound`]
pub fn policy_path(
    given: Option<&Path>,
    home: &Path,
    root: Option<&Path>,
    exists: impl Fn(&Path) -> bool,
) -> Result<PathBuf, NoPolicy> {
    if let Some(given) = given {
        return Ok(given.to_owned());
    }
    let user = home.join(USER_POLICY);
    if exists(&user) {
        return Ok(user);
    }
    if let Some(root) = root {
        return Ok(root.join(SYSTEM_POLICY.trim_start_matches('/')));
    }
    let system = PathBuf::from(SYSTEM_POLICY);
    match exists(&system) {
        true => Ok(system),
        false => Err(NoPolicy::NotFound { user, system }),
    }
}

/// Reads a policy from its file.
///
/// # Errors
/// [`NoPolicy::Read`] and [`NoPolicy::Invalid`].
pub fn load(path: &Path) -> Result<Policy, NoPolicy> {
    let failed = |source| NoPolicy::Read {
        path: path.to_owned(),
        source,
    };
    let text = config_file::read(path, POLICY_BYTES_MAX).map_err(failed)?;
    let text = text.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
    Policy::parse(&text).map_err(|source| NoPolicy::Invalid {
        path: path.to_owned(),
        source,
    })
}

/// Larger files are refused.
pub const POLICY_BYTES_MAX: u64 = 4 << 20;

const USER_POLICY: &str = ".config/containers/policy.json";
const SYSTEM_POLICY: &str = "/etc/containers/policy.json";
