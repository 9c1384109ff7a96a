//! Short names: names without a registry, as Podman and its kin read them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::{Digest, Error, ErrorKind, Named, Parsed, Raw, Tag};

/// A name that does not say where it is from; the key of an alias. Cheap to clone.
///
/// The first component is a registry only if it has a dot or a colon, or is `localhost`: `foo/bar` is short. Nothing is
/// made of `docker.io` or `library/` here, where a short name may come from many places.
///
/// ```
/// use longshore_reference::ShortName;
///
/// let name: ShortName = "app/web".parse()?;
/// assert_eq!(name.under("quay.io/org")?.to_string(), "quay.io/org/app/web");
/// assert!("quay.io/app".parse::<ShortName>().is_err());
/// # Ok::<(), longshore_reference::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShortName(Arc<str>);

/// A name as typed: short, or with its registry.
///
/// ```
/// use longshore_reference::NameInput;
///
/// assert!(matches!(NameInput::parse("alpine:3.20")?, NameInput::Short { .. }));
/// assert!(matches!(NameInput::parse("docker.io/alpine")?, NameInput::Full(_)));
/// # Ok::<(), longshore_reference::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum NameInput {
    /// Without a registry.
    Short {
        /// The name.
        name: ShortName,
        /// The tag, if one was given.
        tag: Option<Tag>,
        /// The digest, if one was given.
        digest: Option<Digest>,
    },
    /// With its registry, normalised.
    Full(Parsed),
}

impl NameInput {
    /// Reads a reference that may be short.
    ///
    /// # Errors
    /// Those of [`Raw::parse`]; with a registry, also those of [`Parsed::parse`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        let raw = Raw::parse(text)?;
        if has_registry(&raw) {
            return Parsed::parse(text).map(Self::Full);
        }
        let (name, tag, digest) = raw.into_parts();
        Ok(Self::Short {
            name: ShortName(name),
            tag,
            digest,
        })
    }
}

impl ShortName {
    /// Reads the key of an alias.
    ///
    /// # Errors
    /// Those of [`Raw::parse`]; [`HasDigest`](ErrorKind::HasDigest), [`HasTag`](ErrorKind::HasTag) and
    /// [`HasDomain`](ErrorKind::HasDomain) for what a key may not have.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let raw = name_only(text)?;
        if has_registry(&raw) {
            return Err(Error::new(ErrorKind::HasDomain, text));
        }
        Ok(Self(raw.into_parts().0))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name below a registry or a prefix of one (`quay.io`, `quay.io/org`, `localhost`).
    ///
    /// # Errors
    /// Those of [`Named::parse_qualified`], for the joined text.
    pub fn under(&self, location: &str) -> Result<Named, Error> {
        Named::parse_qualified(&[location, "/", &self.0].concat())
    }
}

impl Named {
    /// Reads a name that must come with its registry: the value of an alias.
    ///
    /// # Errors
    /// Those of [`Raw::parse`] and [`Parsed::parse`]; [`HasDigest`](ErrorKind::HasDigest), [`HasTag`](ErrorKind::HasTag), and
    /// [`NoDomain`](ErrorKind::NoDomain) where the first component has neither dot nor colon and is not `localhost`.
    pub fn parse_qualified(text: &str) -> Result<Self, Error> {
        if !has_registry(&name_only(text)?) {
            return Err(Error::new(ErrorKind::NoDomain, text));
        }
        Parsed::parse(text).map(Parsed::into_named)
    }
}

impl FromStr for ShortName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}

impl fmt::Display for ShortName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for ShortName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ShortName({self})")
    }
}

fn name_only(text: &str) -> Result<Raw, Error> {
    let raw = Raw::parse(text)?;
    if raw.digest().is_some() {
        return Err(Error::new(ErrorKind::HasDigest, text));
    }
    if raw.tag().is_some() {
        return Err(Error::new(ErrorKind::HasTag, text));
    }
    Ok(raw)
}

fn has_registry(raw: &Raw) -> bool {
    raw.domain()
        .is_some_and(|domain| domain.contains(['.', ':']) || domain == "localhost")
}
