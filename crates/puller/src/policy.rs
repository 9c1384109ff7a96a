//! `policy.json`: which images may be used (containers-policy.json(5)).
//!
//! [`Policy::parse`] reads a policy as strictly as containers/image does; [`Policy::requirements`] finds what an image
//! has to meet, and [`Policy::allow`] decides. All of it is pure, but for the key files that [`Verifier::read_key`] reads.
//!
//! ```
//! use longshore_puller::{image_name::ImageName, policy::{BuiltIn, Image, Policy}};
//!
//! let policy = Policy::parse(
//!     r#"{
//!         "default": [{"type": "reject"}],
//!         "transports": {"docker": {"quay.io/org": [{"type": "insecureAcceptAnything"}]}}
//!     }"#,
//! )?;
//! let allowed = |name: &str| {
//!     let name: ImageName = name.parse().unwrap();
//!     policy.allow(&name.identity().unwrap(), &Image::new(&name, b"{}", &[]), &BuiltIn)
//! };
//! assert!(allowed("docker://quay.io/org/app").is_ok());
//! assert_eq!(
//!     allowed("docker://quay.io/other/app").unwrap_err().to_string(),
//!     "Running image docker://quay.io/other/app:latest is rejected by policy.",
//! );
//! # Ok::<(), longshore_puller::policy::Error>(())
//! ```
//!
//! # Signatures
//!
//! `sigstoreSigned` by key is verified here: ECDSA (P-256, P-384, P-521), Ed25519 and RSA over the simple signing payload.
//! Certificates (Fulcio, a PKI) and transparency logs (Rekor) are read and refused: nothing is accepted that was to be
//! checked and is not. `signedBy` needs OpenPGP: no library for it that fits the licences and the size of this crate is
//! there, so a caller has to bring one as a [`Verifier`]; without one, such images are refused.

use std::collections::BTreeMap;

use longshore_reference::Parsed;

use crate::image_name::Identity;

mod document;
mod error;
mod evaluate;
mod identity;
mod paths;
mod payload;
mod sigstore;
mod strict;
#[cfg(test)]
mod tests;
mod verifier;

pub use error::{Error, ErrorKind, Rejection};
pub use evaluate::{Image, Signature};
pub use identity::{IdentityMatch, Remap, match_repo_digest_or_exact};
pub use paths::{NoPolicy, POLICY_BYTES_MAX, load, policy_path};
pub use payload::{Payload, PayloadKind};
pub use sigstore::{
    SIGSTORE_SIGNATURE_ANNOTATION, SIGSTORE_SIGNATURE_TYPE, SigstoreSignature, verify_blob,
};
pub use verifier::{BuiltIn, KEY_BYTES_MAX, Verifier};

/// What images have to meet, by transport and scope.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Policy {
    /// Where nothing more specific is said.
    pub default: Vec<Requirement>,
    /// By the name of a transport, then by scope; the empty scope is the default of the transport. Transports that do
    /// not exist are kept.
    pub transports: BTreeMap<String, BTreeMap<String, Vec<Requirement>>>,
}

/// One requirement; an image has to meet all that apply to it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Requirement {
    /// `insecureAcceptAnything`
    InsecureAcceptAnything,
    /// `reject`
    Reject,
    /// `signedBy`: a simple signature by OpenPGP.
    SignedBy(SignedBy),
    /// `signedBaseLayer`, which nobody implements: it refuses.
    SignedBaseLayer(IdentityMatch),
    /// `sigstoreSigned`
    SigstoreSigned(SigstoreSigned),
}

/// `signedBy`
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SignedBy {
    /// What the keys are.
    pub key_type: KeyType,
    /// The keys: never several [`Datas`](Keys::Datas).
    pub keys: Keys,
    /// Which name must be signed.
    pub signed_identity: IdentityMatch,
}

/// `keyType`; only [`GpgKeys`](Self::GpgKeys) can be met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyType {
    /// `GPGKeys`
    GpgKeys,
    /// `signedByGPGKeys`
    SignedByGpgKeys,
    /// `X509Certificates`
    X509Certificates,
    /// `signedByX509CAs`
    SignedByX509Cas,
}

/// Keys, in files or in the policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keys {
    /// `keyPath`
    Path(String),
    /// `keyPaths`
    Paths(Vec<String>),
    /// `keyData`
    Data(Vec<u8>),
    /// `keyDatas`
    Datas(Vec<Vec<u8>>),
}

/// `sigstoreSigned`
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SigstoreSigned {
    /// Who has to have signed.
    pub trust: Trust,
    /// The keys of transparency logs one of which must know the signature.
    pub rekor: Option<Keys>,
    /// Which name must be signed.
    pub signed_identity: IdentityMatch,
}

/// Who has to have signed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trust {
    /// One of these keys.
    Keys(Keys),
    /// A certificate of a Fulcio server.
    Fulcio {
        /// Its certificates.
        ca: Keys,
        /// Who vouched for the signer.
        oidc_issuer: String,
        /// Who signed.
        subject_email: String,
    },
    /// A certificate of one's own.
    Pki {
        /// The roots.
        ca_roots: Keys,
        /// Certificates between the roots and the signer's.
        ca_intermediates: Option<Keys>,
        /// Who signed.
        subject_email: Option<String>,
        /// Which host signed.
        subject_hostname: Option<String>,
    },
}

impl Policy {
    /// Reads a policy. Keys that are unknown or there twice, missing keys and empty lists of requirements are errors,
    /// as is a scope that its transport cannot have.
    ///
    /// # Errors
    /// [`Error`] with the place in the document.
    pub fn parse(json: &str) -> Result<Self, Error> {
        document::policy(json)
    }

    /// What an image has to meet: what its own name says, else the most specific scope that holds it, else the default
    /// of its transport, else the default. Never empty for a policy that was parsed.
    #[must_use]
    pub fn requirements(&self, image: &Identity) -> &[Requirement] {
        let Some(scopes) = self.transports.get(image.transport.name()) else {
            return &self.default;
        };
        let names = [&image.identity].into_iter().chain(&image.namespaces);
        let names = names.map(String::as_str).chain([""]);
        let mut found = names.filter_map(|name| scopes.get(name));
        found.next().unwrap_or(&self.default)
    }

    /// Decides whether an image may be used: every requirement must allow it. Its layers are not looked at; whoever
    /// reads them compares their digests.
    ///
    /// # Errors
    /// [`Rejection`]: why the first requirement that does not allow it does not.
    pub fn allow(
        &self,
        identity: &Identity,
        image: &Image<'_>,
        verifier: &impl Verifier,
    ) -> Result<(), Rejection> {
        let requirements = self.requirements(identity);
        if requirements.is_empty() {
            return Err(Rejection::NoRequirements);
        }
        requirements
            .iter()
            .try_for_each(|requirement| requirement.allow(image, verifier))
    }
}

impl Requirement {
    /// Decides whether this requirement allows an image.
    ///
    /// # Errors
    /// [`Rejection`]
    pub fn allow(&self, image: &Image<'_>, verifier: &impl Verifier) -> Result<(), Rejection> {
        evaluate::allow(self, image, verifier)
    }
}

impl KeyType {
    /// Reads the value of `keyType`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let all = [
            Self::GpgKeys,
            Self::SignedByGpgKeys,
            Self::X509Certificates,
            Self::SignedByX509Cas,
        ];
        all.into_iter().find(|key_type| key_type.as_str() == text)
    }

    /// The value of `keyType`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GpgKeys => "GPGKeys",
            Self::SignedByGpgKeys => "signedByGPGKeys",
            Self::X509Certificates => "X509Certificates",
            Self::SignedByX509Cas => "signedByX509CAs",
        }
    }
}

/// Whether a reference has neither a tag nor a digest.
fn is_name_only(reference: &Parsed) -> bool {
    reference.tag().is_none() && reference.digest().is_none()
}
