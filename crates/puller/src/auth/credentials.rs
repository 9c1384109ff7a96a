//! Credentials as configured, and as sent.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{Arc, Mutex},
    time::SystemTime,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use http::HeaderValue;
use longshore_reference::Digest;

use crate::{
    Source,
    auth::keyring::{Keyring, Sought},
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

/// Credentials read and ready to be sent.
#[derive(Clone)]
pub(crate) struct Login {
    means: Means,
    secret: Arc<str>,
    pub(crate) username: Option<String>,
    /// The whole `Authorization` value: Basic, or Bearer with the static token.
    pub(crate) header: Option<HeaderValue>,
    /// Tells one set of credentials from another without keeping it.
    pub(crate) id: Digest,
    /// The run of a credential program that found it.
    pub(crate) run: Option<u64>,
}

/// What a secret is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Means {
    Password,
    /// A token for the registry itself.
    Static,
    /// A token for the token endpoint.
    Identity,
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
        sought: Sought<'_>,
        stale: Option<&Login>,
    ) -> Result<Option<Login>, Source> {
        let (means, username, secret) = match self {
            Self::Basic { username, password } => (Means::Password, Some(username), password),
            Self::Bearer(token) => (Means::Static, None, token),
            Self::Identity(token) => (Means::Identity, None, token),
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
        let login = Login::new(means, username.cloned(), secret).map_err(source)?;
        Ok(Some(login))
    }
}

impl Login {
    /// An identity token may come with a user: for token endpoints that know no POST.
    pub(crate) fn new(
        means: Means,
        username: Option<String>,
        secret: Arc<str>,
    ) -> Result<Self, io::Error> {
        let (means, username) = match username.as_deref() {
            Some(IDENTITY_USER) => (Means::Identity, None),
            _ => (means, username.filter(|name| !name.is_empty())),
        };
        let text = match (means, &username) {
            (Means::Static, _) => Some(format!("Bearer {secret}")),
            (Means::Identity, None) => None,
            (Means::Password | Means::Identity, username) => {
                let username = username.as_deref().unwrap_or_default();
                let pair = STANDARD.encode(format!("{username}:{secret}"));
                Some(format!("Basic {pair}"))
            }
        };
        let id = Digest::sha256(format!("{means:?} {username:?} {secret}").as_bytes());
        let header = text.map(sensitive).transpose()?;
        Ok(Self {
            means,
            secret,
            username,
            header,
            id,
            run: None,
        })
    }

    /// A static token: sent at once, never exchanged.
    pub(crate) fn is_static(&self) -> bool {
        self.means == Means::Static
    }

    pub(crate) fn means(&self) -> Means {
        self.means
    }

    /// The password, or the identity token.
    pub(crate) fn secret(&self) -> &Arc<str> {
        &self.secret
    }
}

fn source(error: io::Error) -> Source {
    Arc::new(error)
}

fn sensitive(text: String) -> Result<HeaderValue, io::Error> {
    let mut header = HeaderValue::try_from(text)
        .map_err(|_| io::Error::other("a secret with characters no header can carry"))?;
    header.set_sensitive(true);
    Ok(header)
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("means", &self.means)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// The user by whom docker's files and programs say that the secret is an identity token.
const IDENTITY_USER: &str = "<token>";
/// Longer than any token seen (cloud registries: about 2 KiB).
const SECRET_BYTES_MAX: u64 = 64 << 10;
