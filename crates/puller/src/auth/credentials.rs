//! Credentials as configured, and as sent.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use http::HeaderValue;
use longshore_reference::Digest;

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
}

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
    /// The whole `Authorization` value: Basic, or Bearer with the static token.
    pub(crate) header: HeaderValue,
    pub(crate) username: Option<String>,
    /// Tells one set of credentials from another without keeping it.
    pub(crate) id: Digest,
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

    async fn read(&self) -> Result<Arc<str>, std::io::Error> {
        match &*self.0 {
            Kept::Value(value) => Ok(Arc::clone(value)),
            Kept::File { path, seen } => read_file(path, seen).await,
        }
    }
}

async fn read_file(path: &Path, seen: &Mutex<Option<Seen>>) -> Result<Arc<str>, std::io::Error> {
    let meta = tokio::fs::metadata(path).await?;
    let (modified, len) = (meta.modified().ok(), meta.len());
    if let Some(seen) = &*seen.lock().unwrap_or_else(PoisonError::into_inner)
        && seen.modified == modified
        && seen.len == len
        && modified.is_some()
    {
        return Ok(Arc::clone(&seen.value));
    }
    if len > SECRET_BYTES_MAX {
        return Err(std::io::Error::other("the file is too large for a secret"));
    }
    let text = tokio::fs::read_to_string(path).await?;
    let value: Arc<str> = text.trim_end_matches(['\r', '\n']).into();
    *seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(Seen {
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
    /// Reads what is in files.
    pub(crate) async fn login(&self) -> Result<Login, std::io::Error> {
        let (text, username) = match self {
            Self::Basic { username, password } => {
                let password = password.read().await?;
                let pair = STANDARD.encode(format!("{username}:{password}"));
                (format!("Basic {pair}"), Some(username.clone()))
            }
            Self::Bearer(token) => (format!("Bearer {}", token.read().await?), None),
        };
        let id = Digest::sha256(text.as_bytes());
        let mut header = HeaderValue::try_from(text)
            .map_err(|_| std::io::Error::other("a secret with characters no header can carry"))?;
        header.set_sensitive(true);
        Ok(Login {
            header,
            username,
            id,
        })
    }
}

impl Login {
    /// A static token: sent at once, never exchanged.
    pub(crate) fn is_static(&self) -> bool {
        self.username.is_none()
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// Longer than any token seen (cloud registries: about 2 KiB).
const SECRET_BYTES_MAX: u64 = 64 << 10;
