//! Credentials that were found, and whose are looked for.

use std::{fmt, io, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use http::HeaderValue;
use longshore_reference::Digest;

/// Whose credentials are looked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LookupKey<'a> {
    /// The endpoint: a host with an optional port.
    pub(crate) endpoint: &'a str,
    /// The name of the upstream, if the endpoint is its origin.
    pub(crate) upstream: Option<&'a str>,
    /// The repository, as the endpoint calls it.
    pub(crate) repository: &'a str,
}

/// Credentials read and ready to be sent.
#[derive(Clone)]
pub(crate) struct Login {
    kind: CredentialKind,
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
pub(crate) enum CredentialKind {
    Password,
    /// A token for the registry itself.
    Static,
    /// A token for the token endpoint.
    Identity,
}

impl Login {
    /// An identity token may come with a user: for token endpoints that know no POST.
    pub(crate) fn new(
        kind: CredentialKind,
        username: Option<String>,
        secret: Arc<str>,
    ) -> Result<Self, io::Error> {
        let (kind, username) = match username.as_deref() {
            Some(IDENTITY_USER) => (CredentialKind::Identity, None),
            _ => (kind, username.filter(|name| !name.is_empty())),
        };
        let text = match (kind, &username) {
            (CredentialKind::Static, _) => Some(format!("Bearer {secret}")),
            (CredentialKind::Identity, None) => None,
            (CredentialKind::Password | CredentialKind::Identity, username) => {
                let username = username.as_deref().unwrap_or_default();
                let pair = STANDARD.encode(format!("{username}:{secret}"));
                Some(format!("Basic {pair}"))
            }
        };
        let id = Digest::sha256(format!("{kind:?} {username:?} {secret}").as_bytes());
        let header = text.map(sensitive).transpose()?;
        Ok(Self {
            kind,
            secret,
            username,
            header,
            id,
            run: None,
        })
    }

    /// A static token: sent at once, never exchanged.
    pub(crate) fn is_static(&self) -> bool {
        self.kind == CredentialKind::Static
    }

    pub(crate) fn kind(&self) -> CredentialKind {
        self.kind
    }

    /// The password, or the identity token.
    pub(crate) fn secret(&self) -> &Arc<str> {
        &self.secret
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("kind", &self.kind)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

fn sensitive(text: String) -> Result<HeaderValue, io::Error> {
    let mut header = HeaderValue::try_from(text)
        .map_err(|_| io::Error::other("a secret with characters no header can carry"))?;
    header.set_sensitive(true);
    Ok(header)
}

/// The user by whom docker's files and programs say that the secret is an identity token.
const IDENTITY_USER: &str = "<token>";
