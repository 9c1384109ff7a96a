//! Digests in the making, and the check that content has its digest.

use std::fmt;

use sha2::Digest as _;

use crate::{Algorithm, Digest};

/// A digest in the making. A clone goes on from where the original was.
///
/// ```
/// use longshore_reference::{Algorithm, Digest};
///
/// let mut hasher = Algorithm::Sha256.hasher();
/// hasher.update(b"hel");
/// hasher.update(b"lo");
/// assert_eq!(hasher.finish(), Digest::sha256(b"hello"));
/// ```
#[derive(Clone)]
pub struct Hasher(State);

#[derive(Clone)]
enum State {
    Sha256(sha2::Sha256),
    Sha384(sha2::Sha384),
    Sha512(sha2::Sha512),
}

impl Hasher {
    /// What the digest will be made with.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        match self.0 {
            State::Sha256(_) => Algorithm::Sha256,
            State::Sha384(_) => Algorithm::Sha384,
            State::Sha512(_) => Algorithm::Sha512,
        }
    }

    /// Takes in the next bytes of the content.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Sha256(state) => state.update(bytes),
            State::Sha384(state) => state.update(bytes),
            State::Sha512(state) => state.update(bytes),
        }
    }

    /// The digest of everything that was taken in.
    #[must_use]
    pub fn finish(self) -> Digest {
        let algorithm = self.algorithm();
        match self.0 {
            State::Sha256(state) => Digest::from_output(algorithm, &state.finalize()),
            State::Sha384(state) => Digest::from_output(algorithm, &state.finalize()),
            State::Sha512(state) => Digest::from_output(algorithm, &state.finalize()),
        }
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hasher").field(&self.algorithm()).finish()
    }
}

/// Watches content go by and says at the end whether it has the digest it should have.
///
/// ```
/// use longshore_reference::{Digest, Verifier};
///
/// let mut verifier = Verifier::new(Digest::sha256(b"hello"));
/// verifier.update(b"hel");
/// verifier.update(b"lo");
/// assert!(verifier.verify());
/// ```
#[derive(Debug, Clone)]
pub struct Verifier {
    expected: Digest,
    hasher: Hasher,
}

impl Verifier {
    /// A verifier that has seen nothing yet.
    #[must_use]
    pub fn new(expected: Digest) -> Self {
        Self {
            expected,
            hasher: expected.algorithm().hasher(),
        }
    }

    /// The digest that the content should have.
    #[must_use]
    pub fn expected(&self) -> Digest {
        self.expected
    }

    /// Takes in the next bytes of the content.
    pub fn update(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
    }

    /// Whether everything that was taken in has the expected digest.
    #[must_use]
    pub fn verify(self) -> bool {
        self.hasher.finish() == self.expected
    }
}

impl Algorithm {
    /// A hasher that has seen nothing yet.
    #[must_use]
    pub fn hasher(self) -> Hasher {
        Hasher(match self {
            Self::Sha256 => State::Sha256(sha2::Sha256::new()),
            Self::Sha384 => State::Sha384(sha2::Sha384::new()),
            Self::Sha512 => State::Sha512(sha2::Sha512::new()),
        })
    }
}

impl Digest {
    /// The digest of `content` by the given algorithm.
    #[must_use]
    pub fn of(algorithm: Algorithm, content: &[u8]) -> Self {
        let mut hasher = algorithm.hasher();
        hasher.update(content);
        hasher.finish()
    }

    /// The SHA-256 digest of `content`.
    #[must_use]
    pub fn sha256(content: &[u8]) -> Self {
        Self::of(Algorithm::Sha256, content)
    }
}
