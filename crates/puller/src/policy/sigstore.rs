//! Signatures by sigstore, as cosign attaches them to images.

use std::collections::BTreeMap;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA256_ASN1, ECDSA_P521_SHA256_ASN1, ED25519,
    ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, VerificationAlgorithm,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use rustls::pki_types::{SubjectPublicKeyInfoDer, pem::PemObject};

use super::Rejection;

/// A layer of the manifest that cosign keeps beside an image (`sha256-….sig`).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SigstoreSignature {
    /// The media type of the layer; [`SIGSTORE_SIGNATURE_TYPE`] for a signature.
    pub media_type: String,
    /// The layer: what is signed.
    pub payload: Bytes,
    /// The annotations of the layer.
    pub annotations: BTreeMap<String, String>,
}

impl SigstoreSignature {
    /// A layer, its media type and its annotations.
    #[must_use]
    pub fn new(media_type: &str, payload: Bytes, annotations: BTreeMap<String, String>) -> Self {
        Self {
            media_type: media_type.to_owned(),
            payload,
            annotations,
        }
    }
}

/// Verifies that a payload was signed by one of these keys, in PEM. Every key has to be usable, whichever it was.
///
/// # Errors
/// [`Rejection::NoKeys`], [`Rejection::Key`], [`Rejection::Signature`].
pub fn verify_blob(keys: &[Vec<u8>], payload: &[u8], signature: &str) -> Result<(), Rejection> {
    let signature = BASE64_STANDARD
        .decode(signature)
        .map_err(|_| Rejection::Signature)?;
    if keys.is_empty() {
        return Err(Rejection::NoKeys);
    }
    let parsed = keys.iter().enumerate();
    let parsed: Vec<ParsedPublicKey> = parsed
        .map(|(index, pem)| public_key(pem).ok_or(Rejection::Key(index + 1)))
        .collect::<Result<_, _>>()?;
    let mut parsed = parsed.iter();
    match parsed.any(|key| key.verify_sig(payload, &signature).is_ok()) {
        true => Ok(()),
        false => Err(Rejection::Signature),
    }
}

fn public_key(pem: &[u8]) -> Option<ParsedPublicKey> {
    let der = SubjectPublicKeyInfoDer::from_pem_slice(pem).ok()?;
    let mut algorithms = ALGORITHMS.into_iter();
    algorithms.find_map(|algorithm| ParsedPublicKey::new(algorithm, &der).ok())
}

/// cosign hashes by SHA-256, whatever the curve.
static ALGORITHMS: [&dyn VerificationAlgorithm; 5] = [
    &ECDSA_P256_SHA256_ASN1,
    &ECDSA_P384_SHA256_ASN1,
    &ECDSA_P521_SHA256_ASN1,
    &ED25519,
    &RSA_PKCS1_2048_8192_SHA256,
];

/// The media type of a signature.
pub const SIGSTORE_SIGNATURE_TYPE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

/// The annotation that has the signature of the payload, in base64.
pub const SIGSTORE_SIGNATURE_ANNOTATION: &str = "dev.cosignproject.cosign/signature";
