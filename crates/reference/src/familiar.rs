//! The short forms that people read and type.

use std::fmt;

use crate::defaults::{DEFAULT_DOMAIN, OFFICIAL_PREFIX};
use crate::{
    AnyReference, Canonical, Digest, Error, ErrorKind, Named, Parsed, Reference, Tag, Tagged, glob,
    parts,
};

/// A reference without `docker.io/`, and without `library/` where nothing nested follows.
///
/// For people and for matching, not for storing: a repository of Docker Hub such as `docker.io/a.b/c` or one named by 64
/// hexadecimal digits would be read back as something else.
///
/// ```
/// use longshore_reference::Reference;
///
/// let reference = Reference::parse("docker.io/library/alpine:3.20")?;
/// assert_eq!(reference.familiar().to_string(), "alpine:3.20");
/// assert_eq!(reference.familiar().name(), "alpine");
/// assert!(reference.familiar().matches("alp*")?);
/// # Ok::<(), longshore_reference::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Familiar<'a> {
    name: &'a str,
    tag: Option<&'a Tag>,
    digest: Option<Digest>,
}

impl<'a> Familiar<'a> {
    /// The name alone; empty where there is only a digest.
    #[must_use]
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// Whether a shell pattern matches the whole form, or else the name alone.
    ///
    /// The pattern is one of Go's `path.Match`: `*` and `?` do not match a slash, a class (`[a-z]`, `[^a-z]`) may, a
    /// backslash takes the meaning from what follows.
    ///
    /// # Errors
    /// [`Pattern`](ErrorKind::Pattern) for a malformed pattern, whatever it is held against.
    pub fn matches(&self, pattern: &str) -> Result<bool, Error> {
        let one = |text: &str| {
            glob::matches(pattern, text)
                .map_err(|glob::Malformed| Error::new(ErrorKind::Pattern, pattern))
        };
        Ok(one(&self.to_string())? || (!self.name.is_empty() && one(self.name)?))
    }

    fn of(named: &'a Named, tag: Option<&'a Tag>, digest: Option<Digest>) -> Self {
        let name = match named.domain() {
            DEFAULT_DOMAIN => match named.path().strip_prefix(OFFICIAL_PREFIX) {
                Some(official) if !official.contains('/') => official,
                Some(_) | None => named.path(),
            },
            _ => named.as_str(),
        };
        Self { name, tag, digest }
    }
}

impl fmt::Display for Familiar<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.digest {
            Some(digest) if self.name.is_empty() => digest.fmt(f),
            digest => parts::write(f, self.name, self.tag, digest.as_ref()),
        }
    }
}

impl Named {
    /// The short form.
    #[must_use]
    pub fn familiar(&self) -> Familiar<'_> {
        Familiar::of(self, None, None)
    }
}

impl Tagged {
    /// The short form.
    #[must_use]
    pub fn familiar(&self) -> Familiar<'_> {
        Familiar::of(self.named(), Some(self.tag()), None)
    }
}

impl Canonical {
    /// The short form.
    #[must_use]
    pub fn familiar(&self) -> Familiar<'_> {
        Familiar::of(self.named(), None, Some(self.digest()))
    }
}

impl Reference {
    /// The short form.
    #[must_use]
    pub fn familiar(&self) -> Familiar<'_> {
        Familiar::of(self.named(), self.tag(), self.digest())
    }
}

impl Parsed {
    /// The short form.
    #[must_use]
    pub fn familiar(&self) -> Familiar<'_> {
        Familiar::of(self.named(), self.tag(), self.digest())
    }
}

impl AnyReference {
    /// The short form; a digest is its own.
    #[must_use]
    pub fn familiar(&self) -> Familiar<'_> {
        match self {
            Self::Parsed(parsed) => parsed.familiar(),
            Self::Digest(digest) => Familiar {
                name: "",
                tag: None,
                digest: Some(*digest),
            },
        }
    }
}
