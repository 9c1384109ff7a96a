//! The name of a repository with its registry, and what Docker makes of a short one.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::{Error, ErrorKind, Parsed, grammar};

/// `domain/path`: a registry and a repository in it. Cheap to clone.
///
/// Always normalised: `docker.io` in place of `index.docker.io`, `library/` before a path of Docker Hub that has one
/// component, and a domain that no later parse can take for a part of the path. So reading what [`Display`](fmt::Display)
/// wrote gives the same name.
///
/// ```
/// use longshore_reference::Named;
///
/// let named: Named = "alpine".parse()?;
/// assert_eq!((named.domain(), named.path()), ("docker.io", "library/alpine"));
/// assert_eq!(Named::new("index.docker.io", "alpine")?, named);
/// # Ok::<(), longshore_reference::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Named(Arc<str>);

impl Named {
    /// Joins a registry and a repository path, with the rewriting for Docker Hub that the type promises.
    ///
    /// The domain keeps its case, as in all of Docker's tools: `Quay.io` and `quay.io` are two names.
    ///
    /// # Errors
    /// [`InvalidFormat`](ErrorKind::InvalidFormat) or [`Uppercase`](ErrorKind::Uppercase) for a part outside the grammar,
    /// [`NameTooLong`](ErrorKind::NameTooLong) for a path over 255 bytes, [`NotCanonical`](ErrorKind::NotCanonical) for a
    /// domain that would be read as a part of the path (no dot, no colon, no capital, not `localhost`).
    pub fn new(domain: &str, path: &str) -> Result<Self, Error> {
        Self::check(domain, path).map_err(|kind| Error::new(kind, &[domain, "/", path].concat()))
    }

    /// The registry: `host` or `host:port`; an IPv6 address stands in brackets.
    #[must_use]
    pub fn domain(&self) -> &str {
        self.0.split_once('/').unwrap_or_default().0
    }

    /// The repository: components joined by slashes, at most 255 bytes.
    #[must_use]
    pub fn path(&self) -> &str {
        self.0.split_once('/').unwrap_or_default().1
    }

    /// `domain/path`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn check(domain: &str, path: &str) -> Result<Self, ErrorKind> {
        if !grammar::is_domain(domain) {
            return Err(ErrorKind::InvalidFormat);
        }
        if !is_explicit(domain) {
            return Err(ErrorKind::NotCanonical);
        }
        if !grammar::is_path(path) {
            return Err(if grammar::is_path(&path.to_ascii_lowercase()) {
                ErrorKind::Uppercase
            } else {
                ErrorKind::InvalidFormat
            });
        }
        let domain = if domain == LEGACY_DEFAULT_DOMAIN {
            DEFAULT_DOMAIN
        } else {
            domain
        };
        Self::join(domain, library(domain, path), path, "")
    }

    /// All parts have passed the grammar; only the length is still to be looked at. If `text`, which they come from,
    /// starts with the name as it is to be, then that is copied at once.
    pub(crate) fn join(
        domain: &str,
        library: &str,
        path: &str,
        text: &str,
    ) -> Result<Self, ErrorKind> {
        if library.len() + path.len() > grammar::PATH_BYTES_MAX {
            return Err(ErrorKind::NameTooLong);
        }
        let whole = text
            .get(..domain.len() + 1 + path.len())
            .filter(|whole| whole.split_once('/') == Some((domain, path)) && library.is_empty());
        Ok(Self(match whole {
            Some(whole) => whole.into(),
            None => [domain, "/", library, path].concat().into(),
        }))
    }
}

impl FromStr for Named {
    type Err = Error;

    /// Reads a name as Docker does, with [`HasTag`](ErrorKind::HasTag) or [`HasDigest`](ErrorKind::HasDigest) where it
    /// comes with one.
    fn from_str(text: &str) -> Result<Self, Error> {
        let parsed = Parsed::parse(text)?;
        if parsed.tag().is_some() {
            return Err(Error::new(ErrorKind::HasTag, text));
        }
        if parsed.digest().is_some() {
            return Err(Error::new(ErrorKind::HasDigest, text));
        }
        Ok(parsed.into_named())
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Named({self})")
    }
}

/// A text cut as Docker cuts it, before anything is checked: domain, `library/` or nothing, all that follows.
pub(crate) fn split_domain(text: &str) -> (&str, &'static str, &str) {
    let (domain, rest) = match text.split_once('/') {
        Some((LEGACY_DEFAULT_DOMAIN, rest)) => (DEFAULT_DOMAIN, rest),
        Some((first, rest)) if is_explicit(first) => (first, rest),
        Some(_) | None => (DEFAULT_DOMAIN, text),
    };
    (domain, library(domain, rest), rest)
}

/// The part that must be in lower case: `library/` or nothing, and what stands before the first colon.
pub(crate) fn remote(text: &str) -> (&'static str, &str) {
    let (_, library, rest) = split_domain(text);
    (library, rest.split_once(':').map_or(rest, |(path, _)| path))
}

/// Whether a first component is a domain whatever follows.
fn is_explicit(first: &str) -> bool {
    first == "localhost"
        || first.bytes().any(|byte| byte == b'.' || byte == b':')
        || !grammar::is_lower(first)
}

fn library(domain: &str, rest: &str) -> &'static str {
    if domain == DEFAULT_DOMAIN && !rest.contains('/') {
        OFFICIAL_PREFIX
    } else {
        ""
    }
}

pub(crate) const DEFAULT_DOMAIN: &str = "docker.io";
pub(crate) const OFFICIAL_PREFIX: &str = "library/";
const LEGACY_DEFAULT_DOMAIN: &str = "index.docker.io";
