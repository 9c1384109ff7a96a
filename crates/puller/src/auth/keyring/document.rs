//! A file of credentials: docker's `config.json`, podman's `auth.json`, docker's older `.dockercfg`.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::SystemTime,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;

use super::{
    error::KeyringError,
    names::{self, Name},
};
use crate::{
    auth::login::{CredentialKind, Login},
    sync::lock,
};

/// A file that is read again when it changes.
pub(super) struct File {
    path: PathBuf,
    /// It being absent is an error.
    needed: bool,
    /// The entries stand at the top, as in `.dockercfg`.
    bare: bool,
    seen: Mutex<Option<Seen>>,
}

struct Seen {
    modified: Option<SystemTime>,
    len: u64,
    document: Arc<Document>,
}

/// What a file says.
pub(super) struct Document {
    path: PathBuf,
    /// By key in its one spelling; several spellings of one key by how well they say it.
    entries: HashMap<String, Vec<(u8, Entry)>>,
    /// By host.
    programs: HashMap<String, String>,
    program: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Written {
    auths: BTreeMap<String, Option<Entry>>,
    #[serde(rename = "credHelpers")]
    cred_helpers: BTreeMap<String, String>,
    #[serde(rename = "credsStore")]
    creds_store: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    #[serde(rename = "identitytoken")]
    identity_token: Option<String>,
    #[serde(rename = "registrytoken")]
    registry_token: Option<String>,
}

/// `auth` is not base64.
struct NotBase64;

impl File {
    pub(super) fn needed(path: PathBuf) -> Self {
        Self {
            needed: true,
            ..Self::optional(path)
        }
    }

    pub(super) fn optional(path: PathBuf) -> Self {
        Self {
            path,
            needed: false,
            bare: false,
            seen: Mutex::default(),
        }
    }

    pub(super) fn bare(path: PathBuf) -> Self {
        Self {
            bare: true,
            ..Self::optional(path)
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What it says now; `None` if it is not there and need not be.
    pub(super) async fn read(&self) -> Result<Option<Arc<Document>>, KeyringError> {
        match self.open().await {
            Err(KeyringError::Read { source, .. }) if !self.needed && is_absent(&source) => {
                Ok(None)
            }
            read => read.map(Some),
        }
    }

    async fn open(&self) -> Result<Arc<Document>, KeyringError> {
        let failed = |source| KeyringError::Read {
            path: self.path.clone(),
            source,
        };
        let meta = tokio::fs::metadata(&self.path).await.map_err(failed)?;
        let (modified, len) = (meta.modified().ok(), meta.len());
        if let Some(seen) = &*lock(&self.seen)
            && seen.modified == modified
            && seen.len == len
            && modified.is_some()
        {
            return Ok(Arc::clone(&seen.document));
        }
        if len > FILE_BYTES_MAX {
            return Err(failed(io::Error::other(
                "too large for a file of credentials",
            )));
        }
        let text = tokio::fs::read(&self.path).await.map_err(failed)?;
        let document = Document::parse(&self.path, &text, self.bare)?;
        let document = Arc::new(document);
        *lock(&self.seen) = Some(Seen {
            modified,
            len,
            document: Arc::clone(&document),
        });
        Ok(document)
    }
}

/// `ENOTDIR` too: a part of the path is not a folder.
fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

impl Document {
    pub(super) fn parse(path: &Path, text: &[u8], bare: bool) -> Result<Self, KeyringError> {
        let written = match text.trim_ascii().is_empty() {
            true => Ok(Written::default()),
            false if bare => serde_json::from_slice(text).map(|auths| Written {
                auths,
                ..Written::default()
            }),
            false => serde_json::from_slice(text),
        };
        let written = written.map_err(|error: serde_json::Error| KeyringError::Json {
            path: path.to_owned(),
            line: error.line(),
            column: error.column(),
        })?;
        let mut entries: HashMap<String, Vec<(u8, Entry)>> = HashMap::new();
        for (raw, entry) in written.auths {
            let key = names::key(&raw);
            let rank = names::rank(&raw, &key);
            let same = entries.entry(key).or_default();
            same.push((rank, entry.unwrap_or_default()));
            same.sort_by_key(|(rank, _)| *rank);
        }
        let programs = written.cred_helpers.into_iter();
        Ok(Self {
            path: path.to_owned(),
            entries,
            programs: programs.map(|(raw, p)| (names::key(&raw), p)).collect(),
            program: written.creds_store.filter(|program| !program.is_empty()),
        })
    }

    /// The program that keeps the credentials of this registry. One with an empty name says that the file has them.
    pub(super) fn program(&self, name: &Name) -> Option<&str> {
        let program = self.programs.get(&name.host).or(self.program.as_ref())?;
        (!program.is_empty()).then_some(program)
    }

    /// The most specific entry that has credentials in it.
    pub(super) fn login(&self, name: &Name) -> Result<Option<Login>, KeyringError> {
        for key in name.keys() {
            for (_, entry) in self.entries.get(&key).into_iter().flatten() {
                let found = entry.login().map_err(|NotBase64| KeyringError::Base64 {
                    path: self.path.clone(),
                    registry: key.clone(),
                })?;
                let Some((kind, username, secret)) = found else {
                    continue;
                };
                let login = Login::new(kind, username, secret.into());
                return login.map(Some).map_err(|source| KeyringError::Unusable {
                    registry: key,
                    source,
                });
            }
        }
        Ok(None)
    }
}

impl Entry {
    fn login(&self) -> Result<Option<(CredentialKind, Option<String>, String)>, NotBase64> {
        let some = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let (username, password) = match some(&self.auth) {
            Some(auth) => decode(&auth)?,
            None => (some(&self.username), some(&self.password)),
        };
        if let Some(token) = some(&self.registry_token) {
            return Ok(Some((CredentialKind::Static, None, token)));
        }
        if let Some(token) = some(&self.identity_token) {
            return Ok(Some((CredentialKind::Identity, username, token)));
        }
        Ok(match (username, password) {
            (Some(username), Some(password)) => {
                Some((CredentialKind::Password, Some(username), password))
            }
            _ => None,
        })
    }
}

/// User and password, each if it is not empty. Without a colon there is neither.
fn decode(auth: &str) -> Result<(Option<String>, Option<String>), NotBase64> {
    let packed: String = auth.split_ascii_whitespace().collect();
    let bytes = STANDARD.decode(packed).map_err(|_| NotBase64)?;
    let text = String::from_utf8_lossy(&bytes);
    let Some((username, password)) = text.split_once(':') else {
        return Ok((None, None));
    };
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Ok((some(username), some(password.trim_matches('\0'))))
}

const FILE_BYTES_MAX: u64 = 1 << 20;
