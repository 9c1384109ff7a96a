//! Names of images in registries.

use std::fmt;

use longshore_reference::Parsed;

use super::{Error, Transport};

/// A reference of a registry: with a tag or a digest, or with neither where an image is written without a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DockerName {
    reference: Parsed,
    unknown_digest: bool,
}

impl DockerName {
    /// A reference with a tag or a digest.
    ///
    /// # Errors
    /// [`Error::NameOnly`] and [`Error::TagAndDigest`].
    pub fn new(reference: Parsed) -> Result<Self, Error> {
        match (reference.tag(), reference.digest()) {
            (Some(_), Some(_)) => Err(Error::TagAndDigest),
            (None, None) => Err(Error::NameOnly(reference.familiar().to_string())),
            (Some(_), None) | (None, Some(_)) => Ok(Self {
                reference,
                unknown_digest: false,
            }),
        }
    }

    /// A repository to write an image to without a tag.
    ///
    /// # Errors
    /// [`Error::UnknownDigest`] for a reference with a tag or a digest.
    pub fn unknown_digest(reference: Parsed) -> Result<Self, Error> {
        if reference.tag().is_some() || reference.digest().is_some() {
            let text = [&reference.to_string(), UNKNOWN_DIGEST].concat();
            return Err(Error::UnknownDigest(text));
        }
        Ok(Self {
            reference,
            unknown_digest: true,
        })
    }

    /// Reads `//reference`; a name alone has the tag `latest`.
    ///
    /// # Errors
    /// [`Error::NoSlashes`], [`Error::Reference`], [`Error::TagAndDigest`], [`Error::UnknownDigest`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        let Some(reference) = text.strip_prefix("//") else {
            return Err(Error::NoSlashes(text.to_owned()));
        };
        let (reference, unknown) = match reference.strip_suffix(UNKNOWN_DIGEST) {
            Some(reference) => (reference, true),
            None => (reference, false),
        };
        let parsed = Parsed::parse(reference).map_err(|source| Error::Reference {
            transport: Transport::Docker,
            text: reference.to_owned(),
            source,
        })?;
        match unknown {
            true => Self::unknown_digest(parsed),
            false => Self::new(parsed.or_latest()),
        }
    }

    /// The reference.
    #[must_use]
    pub fn reference(&self) -> &Parsed {
        &self.reference
    }

    /// Whether it is a repository to write to without a tag.
    #[must_use]
    pub fn is_unknown_digest(&self) -> bool {
        self.unknown_digest
    }
}

impl fmt::Display for DockerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = self.reference.familiar().to_string();
        match Parsed::parse(&short).is_ok_and(|again| again == self.reference) {
            true => write!(f, "//{short}")?,
            false => write!(f, "//{}", self.reference)?,
        }
        match self.unknown_digest {
            true => f.write_str(UNKNOWN_DIGEST),
            false => Ok(()),
        }
    }
}

/// After a repository: an image is written there without a tag.
const UNKNOWN_DIGEST: &str = "@@unknown-digest@@";
