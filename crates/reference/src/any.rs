//! What a person may type where an image id is as good as a name.

use std::fmt;
use std::str::FromStr;

use crate::{Algorithm, Digest, Error, Parsed, grammar};

/// A name with what came with it, or a digest alone.
///
/// ```
/// use longshore_reference::{AnyReference, Digest};
///
/// let digest = Digest::sha256(b"{}");
/// assert_eq!(AnyReference::parse(&digest.hex())?, AnyReference::Digest(digest));
/// assert_eq!(AnyReference::parse("alpine")?.to_string(), "docker.io/library/alpine");
/// # Ok::<(), longshore_reference::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum AnyReference {
    /// A name, perhaps with a tag and a digest.
    Parsed(Parsed),
    /// A digest without a name.
    Digest(Digest),
}

impl AnyReference {
    /// Reads 64 lower-case hexadecimal digits as the SHA-256 digest that they are, a digest as itself, and all else as
    /// [`Parsed::parse`] does (`ParseAnyReference`).
    ///
    /// # Errors
    /// Those of [`Parsed::parse`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        let digest = if grammar::is_identifier(text) {
            Digest::from_hex(Algorithm::Sha256, text).ok()
        } else {
            Digest::read(text).ok()
        };
        match digest {
            Some(digest) => Ok(Self::Digest(digest)),
            None => Parsed::parse(text).map(Self::Parsed),
        }
    }

    /// The digest, alone or with a name.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        match self {
            Self::Parsed(parsed) => parsed.digest(),
            Self::Digest(digest) => Some(*digest),
        }
    }

    /// Which group of a sorted list it belongs to.
    fn rank(&self) -> u8 {
        match self {
            Self::Parsed(parsed) => match (parsed.tag(), parsed.digest()) {
                (Some(_), Some(_)) => 0,
                (Some(_), None) => 1,
                (None, Some(_)) => 2,
                (None, None) => 3,
            },
            Self::Digest(_) => 4,
        }
    }
}

impl From<Parsed> for AnyReference {
    fn from(parsed: Parsed) -> Self {
        Self::Parsed(parsed)
    }
}

impl From<Digest> for AnyReference {
    fn from(digest: Digest) -> Self {
        Self::Digest(digest)
    }
}

impl FromStr for AnyReference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}

impl fmt::Display for AnyReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parsed(parsed) => parsed.fmt(f),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

/// Sorts references for people: those with tag and digest, with a tag, with a digest, names, digests alone; last, as they
/// were given, the texts that are no reference. In each group by the text. All others come back normalised.
///
/// ```
/// use longshore_reference::sort;
///
/// assert_eq!(sort(["b", "?", "a:1"]), ["docker.io/library/a:1", "docker.io/library/b", "?"]);
/// ```
#[must_use]
pub fn sort<T: AsRef<str>>(references: impl IntoIterator<Item = T>) -> Vec<String> {
    let key = |text: T| match AnyReference::parse(text.as_ref()) {
        Ok(reference) => (reference.rank(), reference.to_string()),
        Err(_) => (UNREADABLE_RANK, text.as_ref().to_owned()),
    };
    let mut keys: Vec<_> = references.into_iter().map(key).collect();
    keys.sort_unstable();
    keys.into_iter().map(|(_, text)| text).collect()
}

const UNREADABLE_RANK: u8 = 5;
