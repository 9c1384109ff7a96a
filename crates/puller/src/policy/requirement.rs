//! What images have to meet.

use std::collections::BTreeMap;

use super::{IdentityMatch, KeyType, Keys};
use crate::image_name::Identity;

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
}
