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

mod document;
mod error;
mod evaluate;
mod identity;
mod keys;
mod paths;
mod payload;
mod requirement;
mod sigstore;
mod strict;
#[cfg(test)]
mod tests;
mod verifier;

pub use error::{Error, ErrorKind, Rejection};
pub use evaluate::{Image, Signature};
pub use identity::{IdentityMatch, Remap, match_repo_digest_or_exact};
pub use keys::{KeyType, Keys};
pub use paths::{NoPolicy, POLICY_BYTES_MAX, load, policy_path};
pub use payload::{Payload, PayloadKind};
pub use requirement::{Policy, Requirement, SignedBy, SigstoreSigned, Trust};
pub use sigstore::{
    SIGSTORE_SIGNATURE_ANNOTATION, SIGSTORE_SIGNATURE_TYPE, SigstoreSignature, verify_blob,
};
pub use verifier::{BuiltIn, KEY_BYTES_MAX, Verifier};
