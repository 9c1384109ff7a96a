//! The one error of this crate: what was read, and which rule it breaks.

use std::fmt;

/// A text that is not what it should be.
///
/// `Display` is the text that Docker's own libraries give for the same mistake.
///
/// ```
/// use longshore_reference::{ErrorKind, Reference};
///
/// let error = Reference::parse("Alpine").unwrap_err();
/// assert_eq!((error.kind(), error.input()), (ErrorKind::PathUppercase, "Alpine"));
/// assert_eq!(
///     error.to_string(),
///     "invalid reference format: repository name (library/Alpine) must be lowercase",
/// );
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Error {
    input: Box<str>,
    kind: ErrorKind,
    source: Option<Box<Self>>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, input: &str) -> Self {
        let mut kept = input.len().min(INPUT_KEPT_BYTES_MAX);
        while !input.is_char_boundary(kept) {
            kept -= 1;
        }
        Self {
            input: input.get(..kept).unwrap_or_default().into(),
            kind,
            source: None,
        }
    }

    pub(crate) fn because(self, source: Self) -> Self {
        let source = Some(Box::new(source));
        Self { source, ..self }
    }

    /// What was read, cut after 1,024 bytes. Nothing valid is that long, save with a domain that DNS would refuse.
    #[must_use]
    pub fn input(&self) -> &str {
        &self.input
    }

    /// The rule that the input breaks.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            ErrorKind::Identifier => {
                write!(
                    f,
                    "invalid repository name ({}), cannot specify 64-byte hexadecimal strings",
                    self.input
                )
            }
            ErrorKind::PathUppercase => {
                let (library, path) = crate::defaults::remote(&self.input);
                write!(
                    f,
                    "invalid reference format: repository name ({library}{path}) must be lowercase"
                )
            }
            ErrorKind::Image => write!(f, "failed to parse image reference '{}'", self.input),
            ErrorKind::NoRepoDigest => write!(f, "found no repo digest matching '{}'", self.input),
            kind => f.write_str(kind.as_str()),
        }
    }
}

/// The rules that a text can break.
///
/// Go's `ErrDigestInvalidFormat` of the reference library and its `reference … has no name` have no counterpart: only a
/// valid [`Digest`](crate::Digest) can be attached to a name, and no reference without a name passes the grammar.
///
/// ```
/// use longshore_reference::{ErrorKind, Reference};
///
/// assert_eq!(Reference::parse("a b").unwrap_err().kind(), ErrorKind::InvalidFormat);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// Not a reference by the grammar (`ErrReferenceInvalidFormat`).
    InvalidFormat,
    /// Would be a reference if it were in lower case (`ErrNameContainsUppercase`).
    Uppercase,
    /// Normalised parse only: the repository path is not in lower case.
    PathUppercase,
    /// Nothing there (`ErrNameEmpty`).
    NameEmpty,
    /// The repository path is longer than 255 bytes, the domain not counted (`ErrNameTooLong`).
    NameTooLong,
    /// Valid, but not in the form it is printed in (`ErrNameNotCanonical`).
    NotCanonical,
    /// Normalised parse only: 64 lower-case hexadecimal digits would be an image id, not a name.
    Identifier,
    /// Not a tag (`ErrTagInvalidFormat`).
    InvalidTag,
    /// Not `algorithm:hex` (`ErrDigestInvalidFormat` of the digest library).
    DigestFormat,
    /// Well formed, but no algorithm that is known here (`ErrDigestUnsupported`).
    DigestUnsupported,
    /// Known algorithm, wrong number of digits (`ErrDigestInvalidLength`).
    DigestLength,
    /// A tag where none may be.
    HasTag,
    /// A digest where none may be.
    HasDigest,
    /// A registry where none may be.
    HasDomain,
    /// No digest where one must be.
    NoDigest,
    /// No registry where one must be.
    NoDomain,
    /// Not a reference to an image; the error's source tells which rule it breaks.
    Image,
    /// None of the repo digests is of the image's repository.
    NoRepoDigest,
    /// Not a shell pattern (Go's `ErrBadPattern`).
    Pattern,
}

impl ErrorKind {
    /// The text without what was read.
    fn as_str(self) -> &'static str {
        match self {
            Self::InvalidFormat | Self::PathUppercase => "invalid reference format",
            Self::Uppercase => "repository name must be lowercase",
            Self::NameEmpty => "repository name must have at least one component",
            Self::NameTooLong => "repository name must not be more than 255 characters",
            Self::NotCanonical => "repository name must be canonical",
            Self::Identifier => "invalid repository name",
            Self::InvalidTag => "invalid tag format",
            Self::DigestFormat => "invalid checksum digest format",
            Self::DigestUnsupported => "unsupported digest algorithm",
            Self::DigestLength => "invalid checksum digest length",
            Self::HasTag => "must not contain a tag",
            Self::HasDigest => "must not contain a digest",
            Self::HasDomain => "must not contain a registry",
            Self::NoDigest => "must contain a digest",
            Self::NoDomain => "must contain a registry",
            Self::Image => "failed to parse image reference",
            Self::NoRepoDigest => "found no matching repo digest",
            Self::Pattern => "syntax error in pattern",
        }
    }
}

/// An error is kept and logged: what came from outside must not make it large.
const INPUT_KEPT_BYTES_MAX: usize = 1024;
