//! Credentials as configured, and as sent.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{Arc, Mutex},
    time::SystemTime,
};

use crate::{
    Source,
    auth::{
        keyring::Keyring,
        login::{CredentialKind, Login, LookupKey},
    },
    sync::lock,
};

/// How we introduce ourselves to an upstream. `Debug` never prints a secret.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Credentials {
    /// A user and a password: sent as they are where the registry asks for Basic, exchanged for tokens where it asks
    /// for Bearer.
    Basic {
        /// User.
        username: String,
        /// Password or access token.
        password: Secret,
    },
    /// A token that is sent as it is and never exchanged.
    Bearer(Secret),
    /// An identity token, which OAuth 2 calls a refresh token: exchanged for tokens by POST. As in docker's files and
    /// programs, a [`Basic`](Self::Basic) whose user is `<token>` is one too.
    Identity(Secret),
    /// Whatever a keyring has for the registry, of any of the kinds above; nothing, if it has nothing.
    Keyring(Keyring),
    /// Whatever the caller's own code has for the registry.
    Keychain(Arc<dyn Keychain>),
}

/// Credentials of the caller's own, such as a cloud's SDK has. Asked before every request, so it has to remember what
/// takes long.
///
/// ```
/// use longshore_puller::{Credentials, Keychain, Lookup, Secret};
///
/// #[derive(Debug)]
/// struct Mine;
///
/// impl Keychain for Mine {
///     fn find(&self, registry: &str, _repository: &str) -> Lookup<'_> {
///         let found = (registry == "registry.corp.example").then(|| Credentials::Basic {
///             username: "puller".to_owned(),
///             password: Secret::value("secret"),
///         });
///         Box::pin(async move { Ok(found) })
///     }
/// }
/// # let _ = Credentials::Keychain(std::sync::Arc::new(Mine));
/// ```
pub trait Keychain: fmt::Debug + Send + Sync {
    /// The credentials for a repository of a registry: a host with an optional port, as its endpoint has them. `None`
    /// for the anonymous client.
    fn find(&self, registry: &str, repository: &str) -> Lookup<'_>;
}

/// What a [`Keychain`] finds. With an error the registry is asked anonymously, and a refusal is
/// [`Error::Rejected`](crate::Error::Rejected) with that error as its source.
pub type Lookup<'a> =
    Pin<Box<dyn Future<Output = Result<Option<Credentials>, Source>> + Send + 'a>>;

/// A value that must not be seen, given directly or kept in a file.
#[derive(Clone)]
pub struct Secret(Arc<Kept>);

enum Kept {
    Value(Arc<str>),
    File {
        path: PathBuf,
        seen: Mutex<Option<Seen>>,
    },
}

struct Seen {
    modified: Option<SystemTime>,
    len: u64,
    value: Arc<str>,
}

impl Secret {
    /// A secret given as it is.
    #[must_use]
    pub fn value(value: impl Into<String>) -> Self {
        Self(Arc::new(Kept::Value(value.into().into())))
    }

    /// A secret in a file, without the line ends at its end; read again whenever the file changes.
    #[must_use]
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(Arc::new(Kept::File {
            path: path.into(),
            seen: Mutex::new(None),
        }))
    }

    async fn read(&self) -> Result<Arc<str>, io::Error> {
        match &*self.0 {
            Kept::Value(value) => Ok(Arc::clone(value)),
            Kept::File { path, seen } => read_file(path, seen).await,
        }
    }
}

async fn read_file(path: &Path, seen: &Mutex<Option<Seen>>) -> Result<Arc<str>, io::Error> {
    let meta = tokio::fs::metadata(path).await?;
    let (modified, len) = (meta.modified().ok(), meta.len());
    if let Some(seen) = &*lock(seen)
        && seen.modified == modified
        && seen.len == len
        && modified.is_some()
    {
        return Ok(Arc::clone(&seen.value));
    }
    if len > SECRET_BYTES_MAX {
        return Err(io::Error::other("the file is too large for a secret"));
    }
    let text = tokio::fs::read_to_string(path).await?;
    let value: Arc<str> = text.trim_end_matches(['\r', '\n']).into();
    *lock(seen) = Some(Seen {
        modified,
        len,
        value: Arc::clone(&value),
    });
    Ok(value)
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Kept::Value(_) => f.write_str("Secret(..)"),
            Kept::File { path, .. } => f.debug_tuple("Secret").field(path).finish(),
        }
    }
}

impl Credentials {
    /// Reads what is in files, looks up what is in a keyring. `stale` was not accepted: what a program said then is not
    /// good any more.
    pub(crate) async fn login(
        &self,
        sought: LookupKey<'_>,
        stale: Option<&Login>,
    ) -> Result<Option<Login>, Source> {
        let (kind, username, secret) = match self {
            Self::Basic { username, password } => {
                (CredentialKind::Password, Some(username), password)
            }
            Self::Bearer(token) => (CredentialKind::Static, None, token),
            Self::Identity(token) => (CredentialKind::Identity, None, token),
            Self::Keyring(keyring) => {
                let run = stale.and_then(|login| login.run);
                // Boxed: every request has room for it, and few need it.
                let found = Box::pin(keyring.login(sought, run)).await;
                return found.map_err(|trouble| trouble as Source);
            }
            Self::Keychain(keychain) => {
                let found = keychain.find(sought.endpoint, sought.repository).await?;
                return match found {
                    Some(credentials) => Box::pin(credentials.login(sought, stale)).await,
                    None => Ok(None),
                };
            }
        };
        let secret = secret.read().await.map_err(source)?;
        let login = Login::new(kind, username.cloned(), secret).map_err(source)?;
        Ok(Some(login))
    }
}

fn source(error: io::Error) -> Source {
    Arc::new(error)
}

/// Longer than any token seen (cloud registries: about 2 KiB).
const SECRET_BYTES_MAX: u64 = 64 << 10;
