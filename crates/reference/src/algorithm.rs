//! The hash functions that digests are made with.

use std::fmt;
use std::str::FromStr;

use crate::{Error, ErrorKind};

/// A hash function that OCI registers for digests.
///
/// ```
/// use longshore_reference::Algorithm;
///
/// assert_eq!(Algorithm::Sha256.as_str(), "sha256");
/// assert_eq!(Algorithm::Sha512.hex_len(), 128);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// SHA-256, the canonical one: what nearly every registry uses.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl Algorithm {
    /// All of them, in their order.
    pub const ALL: [Self; 3] = [Self::Sha256, Self::Sha384, Self::Sha512];

    /// The name, as it stands before the colon of a digest.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    /// How many hexadecimal digits stand after the colon.
    #[must_use]
    pub fn hex_len(self) -> usize {
        self.byte_len() * 2
    }

    pub(crate) fn byte_len(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    pub(crate) fn from_name(name: &[u8]) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|algorithm| algorithm.as_str().as_bytes() == name)
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Algorithm {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::from_name(name.as_bytes())
            .ok_or_else(|| Error::new(ErrorKind::DigestUnsupported, name))
    }
}
