//! Public keys of schema 1 signatures: from a JWK or an X.509 certificate.

use base64::{Engine, prelude::BASE64_STANDARD};
use data_encoding::BASE32_NOPAD;
use longshore_reference::Digest;
use serde::Deserialize;

use super::base64_url::base64_url;
use crate::{
    Error,
    der::{self, BIT_STRING, INTEGER, OID, Reader, SEQUENCE},
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
                let parts = [&*der::unsigned(&n), &*der::unsigned(&e)];
                Self::new(KeyKind::Rsa, der::element(SEQUENCE, &parts))
            }
            _ => {
                return Err(Error::Key {
                    reason: "unknown key type",
                });
            }
        };
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
        let info = subject_public_key_info(&der);
        info.and_then(Self::from_info).ok_or(Error::Key {
            reason: "unreadable certificate",
        })
    }

    fn from_info(info: &[u8]) -> Option<Self> {
        let mut parts = Reader(Reader(info).expect(SEQUENCE)?.content);
        let mut algorithm = Reader(parts.expect(SEQUENCE)?.content);
        let public = parts.expect(BIT_STRING)?.content.strip_prefix(&[0])?;
        let oid = algorithm.expect(OID)?.content;
        let kind = if oid == RSA_ENCRYPTION {
            let mut numbers = Reader(Reader(public).expect(SEQUENCE)?.content);
            numbers.expect(INTEGER)?;
            numbers.expect(INTEGER)?;
            KeyKind::Rsa
        } else if oid == EC_PUBLIC_KEY {
            let curve = algorithm.expect(OID)?.content;
            let curves = [KeyKind::P256, KeyKind::P384, KeyKind::P521];
            let kind = curves.into_iter().find(|kind| kind.curve() == curve)?;
            if public.first() != Some(&4) || public.len() != 1 + 2 * kind.coordinate_len() {
                return None;
            }
            kind
        } else {
            return None;
        };
        Some(Self {
            kind,
            public: public.to_vec(),
            info: info.to_vec(),
        })
    }

    fn new(kind: KeyKind, public: Vec<u8>) -> Self {
        let (oid, parameters) = match kind {
            KeyKind::Rsa => (RSA_ENCRYPTION, vec![5, 0]),
            curve => (EC_PUBLIC_KEY, der::element(OID, &[curve.curve()])),
        };
        let algorithm = der::element(SEQUENCE, &[&der::element(OID, &[oid]), &parameters]);
        let bits = der::element(BIT_STRING, &[&[0], &public]);
        let info = der::element(SEQUENCE, &[&algorithm, &bits]);
        Self { kind, public, info }
    }
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

    fn curve(self) -> &'static [u8] {
        match self {
            Self::P256 => &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7],
            Self::P384 => &[0x2b, 0x81, 4, 0, 0x22],
            Self::P521 => &[0x2b, 0x81, 4, 0, 0x23],
            Self::Rsa => &[],
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

/// The `SubjectPublicKeyInfo` inside a certificate (RFC 5280, section 4.1).
fn subject_public_key_info(certificate: &[u8]) -> Option<&[u8]> {
    let mut certificate = Reader(Reader(certificate).expect(SEQUENCE)?.content);
    let mut parts = Reader(certificate.expect(SEQUENCE)?.content);
    // version [0], absent in version 1; then serialNumber
    if parts.element()?.tag == 0xa0 {
        parts.expect(INTEGER)?;
    }
    // signature, issuer, validity, subject
    for _ in 0..4 {
        parts.expect(SEQUENCE)?;
    }
    parts.expect(SEQUENCE).map(|info| info.whole)
}

/// 1.2.840.113549.1.1.1
const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
/// 1.2.840.10045.2.1
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
