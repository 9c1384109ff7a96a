//! Verifying the signatures of schema 1 manifests with aws-lc.

use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};

use super::{
    Schema1, Signature,
    key::{Key, KeyKind},
};
use crate::Error;

impl Schema1 {
    /// Verifies every signature (ES256, ES384, ES512, RS256, RS384, RS512) and returns the keys
    /// they were made with, in the order of the document; none for a document without signatures.
    ///
    /// This detects damage, no more: a document whose signatures were removed passes, as does one
    /// that somebody else signed anew. Keys are not looked up anywhere and certificates are not
    /// checked. What a pull can rely on is the digest it asked for. Docker's own client never
    /// verified signatures.
    ///
    /// # Errors
    /// The first signature that is not good, or has no readable key. RSA keys under 2,048 bits
    /// are refused.
    pub fn verify(&self) -> Result<Vec<Key>, Error> {
        self.signatures
            .iter()
            .map(|signature| self.verify_one(signature))
            .collect()
    }

    fn verify_one(&self, signature: &Signature) -> Result<Key, Error> {
        let key = signature.key()?;
        let algorithm = algorithm(key.kind, signature.algorithm()).ok_or(Error::Key {
            reason: "the key does not go with the algorithm",
        })?;
        let signed = signature.signed_bytes(self.payload());
        let good =
            UnparsedPublicKey::new(algorithm, &key.public).verify(&signed, &signature.raw()?);
        match good {
            Ok(()) => Ok(key),
            Err(_) => Err(Error::Signature {
                key: key.id().into(),
            }),
        }
    }
}

fn algorithm(kind: KeyKind, name: &str) -> Option<&'static dyn VerificationAlgorithm> {
    match (kind, name) {
        (KeyKind::P256, "ES256") => Some(&signature::ECDSA_P256_SHA256_FIXED),
        (KeyKind::P384, "ES384") => Some(&signature::ECDSA_P384_SHA384_FIXED),
        (KeyKind::P521, "ES512") => Some(&signature::ECDSA_P521_SHA512_FIXED),
        (KeyKind::Rsa, "RS256") => Some(&signature::RSA_PKCS1_2048_8192_SHA256),
        (KeyKind::Rsa, "RS384") => Some(&signature::RSA_PKCS1_2048_8192_SHA384),
        (KeyKind::Rsa, "RS512") => Some(&signature::RSA_PKCS1_2048_8192_SHA512),
        _ => None,
    }
}
