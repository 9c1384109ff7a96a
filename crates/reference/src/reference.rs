//! What can be pulled: a name with a tag, or a name with a digest.

use std::fmt;
use std::str::FromStr;

use crate::{Digest, Error, ErrorKind, Named, Parsed, Tag};

/// A name with a tag: what it stands for can change.
///
/// ```
/// use longshore_reference::Tagged;
///
/// let tagged: Tagged = "alpine".parse()?;
/// assert_eq!(tagged.to_string(), "docker.io/library/alpine:latest");
/// # Ok::<(), longshore_reference::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tagged {
    named: Named,
    tag: Tag,
}

impl Tagged {
    /// Joins the two.
    #[must_use]
    pub fn new(named: Named, tag: Tag) -> Self {
        Self { named, tag }
    }

    /// The registry and the repository.
    #[must_use]
    pub fn named(&self) -> &Named {
        &self.named
    }

    /// The tag.
    #[must_use]
    pub fn tag(&self) -> &Tag {
        &self.tag
    }
}

impl FromStr for Tagged {
    type Err = Error;

    /// As [`Reference`], with [`HasDigest`](ErrorKind::HasDigest) for one with a digest.
    fn from_str(text: &str) -> Result<Self, Error> {
        match text.parse()? {
            Reference::Tagged(tagged) => Ok(tagged),
            Reference::Canonical(_) => Err(Error::new(ErrorKind::HasDigest, text)),
        }
    }
}

impl fmt::Display for Tagged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.named, self.tag)
    }
}

/// A name with a digest: what it stands for never changes.
///
/// ```
/// use longshore_reference::{Canonical, Digest, Named};
///
/// let named = Named::new("quay.io", "app")?;
/// let canonical = Canonical::new(named, Digest::sha256(b"{}"));
/// assert_eq!(canonical.to_string().parse::<Canonical>()?, canonical);
/// # Ok::<(), longshore_reference::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Canonical {
    named: Named,
    digest: Digest,
}

impl Canonical {
    /// Joins the two.
    #[must_use]
    pub fn new(named: Named, digest: Digest) -> Self {
        Self { named, digest }
    }

    /// The registry and the repository.
    #[must_use]
    pub fn named(&self) -> &Named {
        &self.named
    }

    /// The digest.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

impl FromStr for Canonical {
    type Err = Error;

    /// As [`Reference`], with [`NoDigest`](ErrorKind::NoDigest) for one without a digest.
    fn from_str(text: &str) -> Result<Self, Error> {
        match text.parse()? {
            Reference::Tagged(_) => Err(Error::new(ErrorKind::NoDigest, text)),
            Reference::Canonical(canonical) => Ok(canonical),
        }
    }
}

impl fmt::Display for Canonical {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.named, self.digest)
    }
}

/// What to pull: the digest where there is one, else the tag.
///
/// ```
/// use longshore_reference::{Digest, Reference};
///
/// let digest = Digest::sha256(b"{}");
/// let reference = Reference::parse(&format!("alpine:3.20@{digest}"))?;
/// assert_eq!(reference.to_string(), format!("docker.io/library/alpine@{digest}"));
/// # Ok::<(), longshore_reference::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reference {
    /// By tag.
    Tagged(Tagged),
    /// By digest.
    Canonical(Canonical),
}

impl Reference {
    /// Reads a reference as the CRI does (`ParseDockerRef`): of tag and digest only the digest stays, with neither the
    /// tag is `latest`.
    ///
    /// # Errors
    /// Those of [`Parsed::parse`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        Parsed::parse(text).map(Self::from)
    }

    /// The registry and the repository.
    #[must_use]
    pub fn named(&self) -> &Named {
        match self {
            Self::Tagged(tagged) => tagged.named(),
            Self::Canonical(canonical) => canonical.named(),
        }
    }

    /// The tag, of a reference by tag.
    #[must_use]
    pub fn tag(&self) -> Option<&Tag> {
        match self {
            Self::Tagged(tagged) => Some(tagged.tag()),
            Self::Canonical(_) => None,
        }
    }

    /// The digest, of a reference by digest.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        match self {
            Self::Tagged(_) => None,
            Self::Canonical(canonical) => Some(canonical.digest()),
        }
    }
}

impl From<Parsed> for Reference {
    fn from(parsed: Parsed) -> Self {
        match parsed.into_parts() {
            (named, _, Some(digest)) => Self::Canonical(Canonical { named, digest }),
            (named, Some(tag), None) => Self::Tagged(Tagged { named, tag }),
            (named, None, None) => Self::Tagged(Tagged {
                named,
                tag: Tag::latest(),
            }),
        }
    }
}

impl From<Tagged> for Reference {
    fn from(tagged: Tagged) -> Self {
        Self::Tagged(tagged)
    }
}

impl From<Canonical> for Reference {
    fn from(canonical: Canonical) -> Self {
        Self::Canonical(canonical)
    }
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tagged(tagged) => tagged.fmt(f),
            Self::Canonical(canonical) => canonical.fmt(f),
        }
    }
}
