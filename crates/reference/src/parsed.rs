//! All that a normalised reference can carry at once.

use std::fmt;
use std::str::FromStr;

use crate::{Digest, Error, ErrorKind, Named, Tag, defaults, grammar, parts};

/// A name, and the tag, the digest, both or neither that came with it.
///
/// What a person typed, normalised; [`Reference`](crate::Reference) is what it means to a puller.
///
/// ```
/// use longshore_reference::Parsed;
///
/// let parsed = Parsed::parse("localhost:5000/app:1.2")?;
/// assert_eq!(parsed.named().domain(), "localhost:5000");
/// assert_eq!(parsed.tag().map(|tag| tag.as_str()), Some("1.2"));
/// assert_eq!(parsed.digest(), None);
/// # Ok::<(), longshore_reference::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Parsed {
    named: Named,
    tag: Option<Tag>,
    digest: Option<Digest>,
}

impl Parsed {
    /// Reads a reference as Docker does (`ParseNormalizedNamed`).
    ///
    /// One deviation: where Docker would give a name with an empty domain (`foo_bar.example/x`: the first component must be a
    /// domain, and is none by the grammar), this is [`InvalidFormat`](ErrorKind::InvalidFormat).
    ///
    /// # Errors
    /// In this order: [`Identifier`](ErrorKind::Identifier), [`PathUppercase`](ErrorKind::PathUppercase), then those of the
    /// grammar ([`InvalidFormat`](ErrorKind::InvalidFormat), [`Uppercase`](ErrorKind::Uppercase)),
    /// [`NameTooLong`](ErrorKind::NameTooLong), and those of [`Digest::parse`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        Self::read(text).map_err(|kind| Error::new(kind, text))
    }

    /// Reads a reference that must already stand as it would be printed (`ParseNamed`).
    ///
    /// # Errors
    /// Those of [`parse`](Self::parse), and [`NotCanonical`](ErrorKind::NotCanonical) for one that normalising changes.
    pub fn parse_canonical(text: &str) -> Result<Self, Error> {
        let parsed = Self::parse(text)?;
        if parsed.to_string() != text {
            return Err(Error::new(ErrorKind::NotCanonical, text));
        }
        Ok(parsed)
    }

    /// The registry and the repository.
    #[must_use]
    pub fn named(&self) -> &Named {
        &self.named
    }

    /// The same without a copy: tag and digest are trimmed.
    #[must_use]
    pub fn into_named(self) -> Named {
        self.named
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

    /// The same with the tag `latest` if it has neither tag nor digest (`TagNameOnly`).
    #[must_use]
    pub fn or_latest(self) -> Self {
        match (&self.tag, &self.digest) {
            (None, None) => self.with_tag(Tag::latest()),
            _ => self,
        }
    }

    pub(crate) fn into_parts(self) -> (Named, Option<Tag>, Option<Digest>) {
        (self.named, self.tag, self.digest)
    }

    fn read(text: &str) -> Result<Self, ErrorKind> {
        if grammar::is_identifier(text) {
            return Err(ErrorKind::Identifier);
        }
        let (domain, library, rest) = defaults::split_domain(text);
        let (path, tag, digest) = match parts::split(rest) {
            Some((path, tag, digest))
                if grammar::is_domain(domain)
                    && grammar::is_path(path)
                    && !matches!(digest, Some(Err(_))) =>
            {
                (path, tag, digest.and_then(Result::ok))
            }
            Some(_) | None => return Err(Self::refusal(text)),
        };
        Ok(Self {
            named: Named::join(domain, library, path, text)?,
            tag: tag.map(Tag::checked),
            digest,
        })
    }

    /// Why the text was refused: the checks one by one, in their order.
    fn refusal(text: &str) -> ErrorKind {
        if !grammar::is_lower(defaults::remote(text).1) {
            return ErrorKind::PathUppercase;
        }
        // The plain parse sees the rewritten text.
        let (domain, library, rest) = defaults::split_domain(text);
        let rewritten = [domain, "/", library, rest].concat();
        let plain = parts::parse(&rewritten);
        plain.err().unwrap_or(ErrorKind::InvalidFormat)
    }
}

impl From<Named> for Parsed {
    fn from(named: Named) -> Self {
        Self {
            named,
            tag: None,
            digest: None,
        }
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

impl FromStr for Parsed {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}

impl fmt::Display for Parsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        parts::write(
            f,
            self.named.as_str(),
            self.tag.as_ref(),
            self.digest.as_ref(),
        )
    }
}
