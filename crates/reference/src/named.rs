//! The name of a repository with its registry, and what Docker makes of a short one.

use std::fmt;
use std::sync::Arc;

use crate::defaults::{DEFAULT_DOMAIN, LEGACY_DEFAULT_DOMAIN, is_explicit, library};
use crate::{Error, ErrorKind, grammar};

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
