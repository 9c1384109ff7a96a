//! The tag: a name that a repository gives to one of its manifests for now.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::{Error, ErrorKind, grammar};

/// `[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}`. Cheap to clone.
///
/// ```
/// use longshore_reference::Tag;
///
/// let tag: Tag = "3.20".parse()?;
/// assert_eq!(tag.as_str(), "3.20");
/// assert!("-x".parse::<Tag>().is_err());
/// # Ok::<(), longshore_reference::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(Arc<str>);

impl Tag {
    /// Reads a tag.
    ///
    /// # Errors
    /// [`InvalidTag`](ErrorKind::InvalidTag): empty, longer than 128, or with a character that no tag may have there.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if !grammar::is_tag(text) {
            return Err(Error::new(ErrorKind::InvalidTag, text));
        }
        Ok(Self::checked(text))
    }

    /// `latest`, what is meant where neither tag nor digest is given.
    #[must_use]
    pub fn latest() -> Self {
        Self::checked("latest")
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `text` has passed [`grammar::is_tag`].
    pub(crate) fn checked(text: &str) -> Self {
        Self(text.into())
    }
}

impl FromStr for Tag {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}

impl AsRef<str> for Tag {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tag({self})")
    }
}
