//! Why a policy is of no use, and why an image is refused.

use std::fmt;

use longshore_reference::Digest;

use super::KeyType;
use crate::image_name::ScopeError;

/// A policy that cannot be used: the place in the document, and what is wrong there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid policy at {}: {kind}", Place(.at))]
pub struct Error {
    at: String,
    kind: ErrorKind,
}

/// What is wrong with a policy or a signature's payload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// No JSON, or a value of another type.
    #[error("{0}")]
    Json(String),
    /// A key twice in one object.
    #[error("Duplicate key {0:?}")]
    DuplicateKey(String),
    /// A key that has no meaning there.
    #[error("Unknown key {0:?}")]
    UnknownKey(String),
    /// A key that has to be there.
    #[error("Key {0:?} missing in a JSON object")]
    MissingKey(&'static str),
    /// No `default`.
    #[error("Default policy is missing")]
    NoDefault,
    /// An empty list of requirements.
    #[error("List of verification policy requirements must not be empty")]
    NoRequirements,
    /// A requirement of an unknown type.
    #[error("Unknown policy requirement type {0:?}")]
    RequirementType(String),
    /// An identity match of an unknown type.
    #[error("Unknown policy reference match type {0:?}")]
    IdentityType(String),
    /// A scope that its transport cannot have.
    #[error("{0}")]
    Scope(ScopeError),
    /// An unknown `keyType`.
    #[error("Unrecognized keyType value {0:?}")]
    KeyType(String),
    /// Bytes that are not in base64.
    #[error("not base64")]
    Base64,
    /// None, or several, of keys of which exactly one has to be there.
    #[error("exactly one of {0} must be specified")]
    NotOne(&'static str),
    /// Several of keys of which one at most may be there.
    #[error("at most one of {0} can be used")]
    Several(&'static str),
    /// An empty list of keys.
    #[error("{0:?} contains no entries")]
    NoEntries(&'static str),
    /// A text that has to be there, and not empty.
    #[error("{0} not specified")]
    NotSpecified(&'static str),
    /// A certificate authority without a transparency log.
    #[error("a Rekor public key must be specified if fulcio is used")]
    NoRekor,
    /// A PKI with a transparency log.
    #[error("Rekor public keys are not supported for pki")]
    RekorOfPki,
    /// What should be a reference is none.
    #[error("Invalid format of {key} {text:?}: {source}")]
    Reference {
        /// Its key.
        key: &'static str,
        /// The text.
        text: String,
        /// Which rule it breaks.
        source: longshore_reference::Error,
    },
    /// A reference without tag and digest where one identifies an image.
    #[error("dockerReference {0:?} contains neither a tag nor digest")]
    NameOnly(String),
    /// What should be a registry or a namespace of one is none.
    #[error("prefix {0:?} is not valid")]
    Prefix(String),
    /// The payload of another kind of signature.
    #[error("Unrecognized signature type {0}")]
    SignatureType(String),
    /// What should be a digest is none.
    #[error("invalid docker-manifest-digest value {text:?}: {source}")]
    Digest {
        /// The text.
        text: String,
        /// Which rule it breaks.
        source: longshore_reference::Error,
    },
    /// A time with a fraction, or beyond what can be.
    #[error("Field optional.timestamp is not an integer")]
    Timestamp,
}

/// Why a policy does not allow an image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// The policy has no requirement for it.
    #[error("List of verification policy requirements must not be empty")]
    NoRequirements,
    /// It says so.
    #[error("Running image {0} is rejected by policy.")]
    Rejected(String),
    /// A requirement that nobody implements.
    #[error("signedBaseLayer not implemented yet!")]
    SignedBaseLayer,
    /// A kind of key that nobody implements.
    #[error("Unimplemented \"keyType\" value {:?}", .0.as_str())]
    KeyType(KeyType),
    /// A way to sign that is not implemented here.
    #[error("{0} is not supported")]
    Unsupported(&'static str),
    /// The image has no signature.
    #[error("A signature was required, but no signature exists")]
    NoSignature,
    /// The image has signatures, of other kinds.
    #[error(
        "A signature was required, but no signature exists ({others} non-sigstore signatures, {attachments} sigstore non-signature attachments)"
    )]
    OtherSignatures {
        /// How many are not by sigstore.
        others: usize,
        /// How many are by sigstore, and no signatures.
        attachments: usize,
    },
    /// None of several signatures is accepted.
    #[error("None of the signatures were accepted, reasons: {}", reasons(.0))]
    All(Vec<Self>),
    /// A key cannot be read.
    #[error("reading the key {path}")]
    ReadKey {
        /// The file.
        path: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// There is no key.
    #[error("No public keys imported")]
    NoKeys,
    /// A key that is none, or of a kind that cannot be used.
    #[error("parsing public key {0}: not a PEM public key for ECDSA, Ed25519 or RSA")]
    Key(usize),
    /// A signature lacks one of its parts.
    #[error("missing {0} annotation")]
    MissingAnnotation(&'static str),
    /// Not a signature, or not by any of the keys.
    #[error("cryptographic signature verification failed")]
    Signature,
    /// The OpenPGP of the caller refused it.
    #[error("OpenPGP signature verification failed")]
    OpenPgp(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What is signed cannot be read.
    #[error("invalid signature")]
    Payload(#[source] Error),
    /// The signature is for another name.
    #[error("Signature for identity {0:?} is not accepted")]
    Identity(String),
    /// The signature is for another manifest.
    #[error("Signature for digest {0} does not match")]
    Digest(Digest),
    /// The digest of the manifest cannot be computed.
    #[error("computing the digest of the manifest")]
    Manifest(#[source] longshore_manifest::Error),
}

impl Error {
    pub(super) fn new(at: &str, kind: ErrorKind) -> Self {
        let at = at.to_owned();
        Self { at, kind }
    }

    pub(super) fn json(at: &str, error: &serde_json::Error) -> Self {
        Self::new(at, ErrorKind::Json(error.to_string()))
    }

    /// Where: keys joined by dots; empty for the document itself.
    #[must_use]
    pub fn at(&self) -> &str {
        &self.at
    }

    /// What is wrong there.
    #[must_use]
    pub fn kind(&self) -> &ErrorKind {
        &self.kind
    }
}

/// The place in a document, for people.
struct Place<'a>(&'a str);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            "" => "its top",
            place => place,
        })
    }
}

fn reasons(rejections: &[Rejection]) -> String {
    let reasons: Vec<String> = rejections.iter().map(Rejection::to_string).collect();
    reasons.join("; ")
}
