//! Public keys of schema 1 signatures: from a JWK or an X.509 certificate.

use base64::{Engine, prelude::BASE64_STANDARD};
use data_encoding::BASE32_NOPAD;
use longshore_reference::Digest;
use serde::Deserialize;

use super::base64_url::base64_url;
use spki::{
    AlgorithmIdentifierRef, ObjectIdentifier, SubjectPublicKeyInfoRef,
    der::{
        self, Decode, Encode, Reader, SliceReader, Tag,
        asn1::{Any, AnyRef, BitStringRef, UintRef},
    },
};

use crate::{
    Error,
    wire::{self, Text},
};

/// The public key a signature was made with. Whether it is to be trusted is the caller's to say.
///
/// ```
/// use longshore_manifest::{Error, Key, Manifest};
///
/// fn key_ids(manifest: &Manifest) -> Result<Vec<String>, Error> {
///     let signatures = manifest.schema1().map(|schema1| schema1.signatures());
///     let keys = signatures.unwrap_or_default().iter().map(|signature| signature.key());
///     keys.map(|key| key.map(|key| key.id())).collect()
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    pub(crate) kind: KeyKind,
    /// The uncompressed point, or PKCS#1's `RSAPublicKey`.
    pub(crate) public: Vec<u8>,
    info: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyKind {
    P256,
    P384,
    P521,
    Rsa,
}

impl Key {
    /// The key's identifier as libtrust makes it: base32 of the first 30 bytes of the SHA-256 of
    /// [`Self::info`], in twelve groups of four with `:` between them.
    #[must_use]
    pub fn id(&self) -> String {
        let digest = Digest::sha256(&self.info);
        let bytes = digest.as_bytes().get(..30).unwrap_or_default();
        let digits = BASE32_NOPAD.encode(bytes);
        let mut id = String::with_capacity(59);
        for (place, digit) in digits.chars().enumerate() {
            if place % 4 == 0 && place > 0 {
                id.push(':');
            }
            id.push(digit);
        }
        id
    }

    /// The key as DER `SubjectPublicKeyInfo` (RFC 5280, section 4.1.2.7).
    #[must_use]
    pub fn info(&self) -> &[u8] {
        &self.info
    }

    /// A key from a JSON Web Key (RFC 7517). A `kid` that is not [`Self::id`] is refused.
    pub(crate) fn from_jwk(json: &str) -> Result<Self, Error> {
        let jwk: Jwk<'_> = wire::read("jwk", json.as_bytes())?;
        let decode = |text: &Text<'_>| base64_url("jwk", &text.0);
        let key = match &*jwk.kty.0 {
            "EC" => {
                let kind = match &*jwk.crv.0 {
                    "P-256" => KeyKind::P256,
                    "P-384" => KeyKind::P384,
                    "P-521" => KeyKind::P521,
                    _ => {
                        return Err(Error::Key {
                            reason: "unknown curve",
                        });
                    }
                };
                let (x, y) = (decode(&jwk.x)?, decode(&jwk.y)?);
                if x.len() != kind.coordinate_len() || y.len() != kind.coordinate_len() {
                    return Err(Error::Key {
                        reason: "wrong number of octets in a coordinate",
                    });
                }
                Self::new(kind, [&[4], &*x, &*y].concat())
            }
            "RSA" => {
                let (n, e) = (decode(&jwk.n)?, decode(&jwk.e)?);
                rsa(&n, &e).and_then(|public| Self::new(KeyKind::Rsa, public))
            }
            _ => {
                return Err(Error::Key {
                    reason: "unknown key type",
                });
            }
        };
        let key = key.map_err(|_| Error::Key {
            reason: "unreadable key",
        })?;
        if jwk.kid.some().is_some_and(|kid| kid != key.id()) {
            return Err(Error::Key {
                reason: "key id does not match",
            });
        }
        Ok(key)
    }

    /// The key of an X.509 certificate in base64, as `x5c` has it (RFC 7515, section 4.1.6). The
    /// certificate is not checked.
    pub(crate) fn from_certificate(base64: &str) -> Result<Self, Error> {
        let base64: Vec<u8> = base64
            .bytes()
            .filter(|byte| !byte.is_ascii_whitespace())
            .collect();
        let der = BASE64_STANDARD.decode(base64);
        let der = der.map_err(|_| Error::Base64 { part: "x5c" })?;
        let key = subject_public_key_info(&der).and_then(Self::from_info);
        key.map_err(|_| Error::Key {
            reason: "unreadable certificate",
        })
    }

    fn from_info(info: &[u8]) -> der::Result<Self> {
        let read = SubjectPublicKeyInfoRef::from_der(info)?;
        let public = read.subject_public_key.as_bytes();
        let public = public.ok_or_else(|| Tag::BitString.value_error())?;
        let kind = if read.algorithm.oid == RSA_ENCRYPTION {
            let mut reader = SliceReader::new(public)?;
            reader.sequence(|numbers| {
                UintRef::decode(numbers)?;
                UintRef::decode(numbers)
            })?;
            KeyKind::Rsa
        } else {
            let (_, curve) = read.algorithm.oids()?;
            let curves = [KeyKind::P256, KeyKind::P384, KeyKind::P521];
            let kind = curves.into_iter().find(|kind| kind.curve() == curve);
            let kind = kind.ok_or_else(|| Tag::ObjectIdentifier.value_error())?;
            let is_point =
                public.first() == Some(&4) && public.len() == 1 + 2 * kind.coordinate_len();
            if read.algorithm.oid != EC_PUBLIC_KEY || !is_point {
                return Err(Tag::BitString.value_error().into());
            }
            kind
        };
        Ok(Self {
            kind,
            public: public.to_vec(),
            info: info.to_vec(),
        })
    }

    fn new(kind: KeyKind, public: Vec<u8>) -> der::Result<Self> {
        let curve = kind.curve();
        let info = SubjectPublicKeyInfoRef {
            algorithm: AlgorithmIdentifierRef {
                oid: curve.map_or(RSA_ENCRYPTION, |_| EC_PUBLIC_KEY),
                parameters: Some(curve.as_ref().map_or(AnyRef::NULL, AnyRef::from)),
            },
            subject_public_key: BitStringRef::from_bytes(&public)?,
        };
        let info = info.to_der()?;
        Ok(Self { kind, public, info })
    }
}

/// PKCS#1's `RSAPublicKey` (RFC 8017, appendix A.1.1).
fn rsa(n: &[u8], e: &[u8]) -> der::Result<Vec<u8>> {
    let numbers = [UintRef::new(n)?.to_der()?, UintRef::new(e)?.to_der()?];
    Any::new(Tag::Sequence, numbers.concat())?.to_der()
}

impl KeyKind {
    fn coordinate_len(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
            Self::Rsa => 0,
        }
    }

    fn curve(self) -> Option<ObjectIdentifier> {
        match self {
            Self::P256 => Some(P256),
            Self::P384 => Some(P384),
            Self::P521 => Some(P521),
            Self::Rsa => None,
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default, remote = "Self")]
struct Jwk<'a> {
    #[serde(borrow)]
    kty: Text<'a>,
    #[serde(borrow)]
    kid: Text<'a>,
    #[serde(borrow)]
    crv: Text<'a>,
    #[serde(borrow)]
    x: Text<'a>,
    #[serde(borrow)]
    y: Text<'a>,
    #[serde(borrow)]
    n: Text<'a>,
    #[serde(borrow)]
    e: Text<'a>,
}

wire::from_objects!(Jwk<'a>);

/// The `SubjectPublicKeyInfo` inside a certificate (RFC 5280, section 4.1); the rest is not read.
fn subject_public_key_info(certificate: &[u8]) -> der::Result<&[u8]> {
    let mut reader = SliceReader::new(certificate)?;
    reader.sequence(|certificate| {
        let info = certificate.sequence(|parts| {
            // version, absent in version 1
            if Tag::peek(parts)?.is_context_specific() {
                parts.tlv_bytes()?;
            }
            // serialNumber, signature, issuer, validity, subject
            for _ in 0..5 {
                parts.tlv_bytes()?;
            }
            let info = parts.tlv_bytes()?;
            parts.drain(parts.remaining_len())?;
            Ok::<_, der::Error>(info)
        })?;
        certificate.drain(certificate.remaining_len())?;
        Ok(info)
    })
}

const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");
