//! The un-normalised reference: what the grammar alone makes of a text.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::{Digest, Error, Tag, parts};

/// A reference as it stands in the text, with nothing added and nothing rewritten (`Parse`).
///
/// A first component is the domain whenever it can be one and a path follows: the domain of `foo/bar` is `foo`. And a
/// bare digest is a name with a tag: `sha256:…` has the path `sha256`.
///
/// ```
/// use longshore_reference::Raw;
///
/// let raw = Raw::parse("foo/bar:1")?;
/// assert_eq!((raw.domain(), raw.path()), (Some("foo"), "bar"));
/// assert_eq!(raw.to_string(), "foo/bar:1");
/// # Ok::<(), longshore_reference::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Raw {
    name: Arc<str>,
    /// Where the path starts: after the domain's slash, or at 0 without a domain.
    path_at: usize,
    tag: Option<Tag>,
    digest: Option<Digest>,
}

impl Raw {
    /// Reads `[domain/]path[:tag][@digest]`.
    ///
    /// # Errors
    /// In this order: [`NameEmpty`](crate::ErrorKind::NameEmpty), [`Uppercase`](crate::ErrorKind::Uppercase) or
    /// [`InvalidFormat`](crate::ErrorKind::InvalidFormat), [`NameTooLong`](crate::ErrorKind::NameTooLong), and those of
    /// [`Digest::parse`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        let parts = parts::parse(text).map_err(|kind| Error::new(kind, text))?;
        let path_at = parts.domain.map_or(0, |domain| domain.len() + 1);
        let name = text.get(..path_at + parts.path.len()).unwrap_or_default();
        Ok(Self {
            name: name.into(),
            path_at,
            tag: parts.tag.map(Tag::checked),
            digest: parts.digest,
        })
    }

    /// The first component, if it can be a domain and a path follows.
    #[must_use]
    pub fn domain(&self) -> Option<&str> {
        self.name.get(..self.path_at.checked_sub(1)?)
    }

    /// The name without its domain.
    #[must_use]
    pub fn path(&self) -> &str {
        self.name.get(self.path_at..).unwrap_or_default()
    }

    /// Domain and path as they were given.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The tag, if one was given.
    #[must_use]
    pub fn tag(&self) -> Option<&Tag> {
        self.tag.as_ref()
    }

    /// The digest, if one was given.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// The same name with neither tag nor digest.
    #[must_use]
    pub fn trim(self) -> Self {
        Self {
            tag: None,
            digest: None,
            ..self
        }
    }

    /// The same name and digest with this tag.
    #[must_use]
    pub fn with_tag(self, tag: Tag) -> Self {
        Self {
            tag: Some(tag),
            ..self
        }
    }

    /// The same name and tag with this digest.
    #[must_use]
    pub fn with_digest(self, digest: Digest) -> Self {
        Self {
            digest: Some(digest),
            ..self
        }
    }

    pub(crate) fn into_parts(self) -> (Arc<str>, Option<Tag>, Option<Digest>) {
        (self.name, self.tag, self.digest)
    }
}

impl FromStr for Raw {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}

impl fmt::Display for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        parts::write(f, &self.name, self.tag.as_ref(), self.digest.as_ref())
    }
}
