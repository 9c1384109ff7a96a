//! The digest of some content, and the check that content has it.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use crate::{Algorithm, Error, ErrorKind, grammar};

/// `algorithm:hex`, the name of some content by what it is. Copied freely: it lives on the stack.
///
/// Digests order like their texts.
///
/// ```
/// use longshore_reference::{Algorithm, Digest, ErrorKind};
///
/// let text = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
/// let digest = Digest::parse(text)?;
/// assert_eq!(digest, Digest::sha256(b"hello"));
/// assert_eq!(digest.algorithm(), Algorithm::Sha256);
/// assert!(digest.hex().starts_with("2cf24dba"));
/// assert_eq!(digest.to_string(), text);
///
/// assert_eq!(Digest::parse("sha256:2cf2").unwrap_err().kind(), ErrorKind::DigestLength);
/// # Ok::<(), longshore_reference::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest {
    algorithm: Algorithm,
    /// Zero after the algorithm's length, so that the derived comparisons are right.
    bytes: [u8; BYTES_MAX],
}

impl Digest {
    /// Reads `algorithm:hex`.
    ///
    /// # Errors
    /// In go-digest's order: [`DigestFormat`](ErrorKind::DigestFormat) without an algorithm or digits around the first
    /// colon; [`DigestUnsupported`](ErrorKind::DigestUnsupported) for a well-formed digest of another algorithm;
    /// [`DigestLength`](ErrorKind::DigestLength) for a wrong number of digits; `DigestFormat` for what is not `[a-f0-9]`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        Self::read(text).map_err(|kind| Error::new(kind, text))
    }

    /// Joins an algorithm and its lower-case hexadecimal digits.
    ///
    /// # Errors
    /// [`DigestLength`](ErrorKind::DigestLength) or [`DigestFormat`](ErrorKind::DigestFormat), as [`parse`](Self::parse).
    pub fn from_hex(algorithm: Algorithm, hex: &str) -> Result<Self, Error> {
        Self::read_hex(algorithm, hex.as_bytes()).map_err(|kind| Error::new(kind, hex))
    }

    /// Joins an algorithm and the hash itself, as [`as_bytes`](Self::as_bytes) gives it. `None` for a wrong length.
    #[must_use]
    pub fn from_bytes(algorithm: Algorithm, hash: &[u8]) -> Option<Self> {
        (hash.len() == algorithm.byte_len()).then(|| Self::from_output(algorithm, hash))
    }

    /// What it was made with.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The part after the colon.
    #[must_use]
    pub fn hex(&self) -> Hex {
        let mut digits = [0; BYTES_MAX * 2];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(self.as_bytes()) {
            pair.copy_from_slice(&[hex_digit(byte >> 4), hex_digit(byte & 15)]);
        }
        Hex {
            digits,
            len: self.algorithm.hex_len(),
        }
    }

    /// The hash itself: 32, 48 or 64 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes
            .get(..self.algorithm.byte_len())
            .unwrap_or_default()
    }

    pub(crate) fn read(text: &str) -> Result<Self, ErrorKind> {
        let Some((name, digits)) = text
            .split_once(':')
            .filter(|(name, digits)| !name.is_empty() && !digits.is_empty())
        else {
            return Err(ErrorKind::DigestFormat);
        };
        match Algorithm::from_name(name.as_bytes()) {
            Some(algorithm) => Self::read_hex(algorithm, digits.as_bytes()),
            None if grammar::is_any_digest(name, digits) => Err(ErrorKind::DigestUnsupported),
            None => Err(ErrorKind::DigestFormat),
        }
    }

    fn read_hex(algorithm: Algorithm, digits: &[u8]) -> Result<Self, ErrorKind> {
        if digits.len() != algorithm.hex_len() {
            return Err(ErrorKind::DigestLength);
        }
        let mut bytes = [0; BYTES_MAX];
        // Values above 15 mean "no digit"; looking once at the end keeps the loop without branches.
        let mut seen = 0;
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            if let &[high, low] = pair {
                let (high, low) = (hex_value(high), hex_value(low));
                seen |= high | low;
                *byte = high << 4 | (low & 15);
            }
        }
        if seen > 15 {
            return Err(ErrorKind::DigestFormat);
        }
        Ok(Self { algorithm, bytes })
    }

    /// `output` is as long as the algorithm's hash.
    pub(crate) fn from_output(algorithm: Algorithm, output: &[u8]) -> Self {
        let mut bytes = [0; BYTES_MAX];
        for (byte, out) in bytes.iter_mut().zip(output) {
            *byte = *out;
        }
        Self { algorithm, bytes }
    }
}

impl FromStr for Digest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.algorithm.as_str())?;
        f.write_str(":")?;
        f.write_str(&self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// The hexadecimal digits of a [`Digest`], a `str` without the heap.
///
/// ```
/// use longshore_reference::Digest;
///
/// let hex = Digest::sha256(b"hello").hex();
/// assert_eq!((hex.len(), &hex[..8]), (64, "2cf24dba"));
/// ```
#[derive(Clone, Copy)]
pub struct Hex {
    digits: [u8; BYTES_MAX * 2],
    len: usize,
}

impl Deref for Hex {
    type Target = str;

    fn deref(&self) -> &str {
        let digits = self.digits.get(..self.len).unwrap_or_default();
        std::str::from_utf8(digits).unwrap_or_default()
    }
}

impl AsRef<str> for Hex {
    fn as_ref(&self) -> &str {
        self
    }
}

impl fmt::Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self)
    }
}

impl fmt::Debug for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

fn hex_digit(nibble: u8) -> u8 {
    if nibble < 10 {
        b'0' + nibble
    } else {
        b'a' + (nibble - 10)
    }
}

fn hex_value(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => u8::MAX,
    }
}

const BYTES_MAX: usize = 64;
