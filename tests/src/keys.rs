//! Keys, their identifiers and certificates, made when they are asked for.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{self, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// A key pair that signs.
#[derive(Debug)]
pub(crate) enum Key {
    /// ES256: ECDSA on P-256 with SHA-256, the two numbers one behind the other.
    Ec(EcdsaKeyPair),
    /// RS256: RSA PKCS#1 v1.5 with SHA-256.
    Rsa(rsa::KeyPair),
}

impl Key {
    pub(crate) fn es256() -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING);
        Self::Ec(key.expect("a key"))
    }

    pub(crate) fn rs256() -> Self {
        Self::Rsa(rsa::KeyPair::generate(KeySize::Rsa2048).expect("a key"))
    }

    /// As JOSE names it.
    pub(crate) fn algorithm(&self) -> &'static str {
        match self {
            Self::Ec(_) => "ES256",
            Self::Rsa(_) => "RS256",
        }
    }

    pub(crate) fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Ec(key) => key.sign(&random, bytes).expect("signs").as_ref().to_vec(),
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, bytes, &mut signature)
                    .expect("signs");
                signature
            }
        }
    }

    /// DER `SubjectPublicKeyInfo`.
    pub(crate) fn info(&self) -> Vec<u8> {
        let der: PublicKeyX509Der<'_> = match self {
            Self::Ec(key) => key.public_key().as_der().expect("a public key"),
            Self::Rsa(key) => key.public_key().as_der().expect("a public key"),
        };
        der.as_ref().to_vec()
    }

    /// The identifier as libtrust makes it: base32 of the first 30 bytes of SHA-256 of [`info`](Self::info), in groups
    /// of four.
    pub(crate) fn id(&self) -> String {
        let hash = Sha256::digest(self.info());
        let mut groups = Vec::new();
        for five in hash[..30].chunks(5) {
            let bits = five
                .iter()
                .fold(0, |bits, byte| (bits << 8) | u64::from(*byte));
            let digit = |place: u32| char::from(BASE32[(bits >> (35 - 5 * place)) as usize & 31]);
            groups.push((0..4).map(digit).collect::<String>());
            groups.push((4..8).map(digit).collect::<String>());
        }
        groups.join(":")
    }

    /// The public key as RFC 7517 has it, with libtrust's identifier.
    pub(crate) fn jwk(&self) -> Value {
        match self {
            Self::Ec(key) => {
                // 4, then the two coordinates.
                let point = key.public_key().as_ref();
                json!({
                    "kty": "EC", "crv": "P-256", "kid": self.id(),
                    "x": base64_url(&point[1..33]), "y": base64_url(&point[33..]),
                })
            }
            Self::Rsa(key) => {
                // PKCS#1: the headers of the list and of the modulus, 256 bytes of it, a header, the exponent.
                let public = key.public_key().as_ref();
                let (n, e) = (&public[9..265], &public[267..]);
                json!({ "kty": "RSA", "kid": self.id(), "n": base64_url(n), "e": base64_url(e) })
            }
        }
    }
}

/// A certificate of `subject`, whose key has this `info`, signed by an ES256 key. DER.
pub(crate) fn certificate(subject: &str, info: &[u8], issuer: &str, by: &Key) -> Vec<u8> {
    let name = |name: &str| {
        let pair = der(SEQUENCE, &[OID_COMMON_NAME, &der(UTF8, &[name.as_bytes()])]);
        der(SEQUENCE, &[&der(SET, &[&pair])])
    };
    let algorithm = der(SEQUENCE, &[OID_ECDSA_SHA256]);
    let validity = der(
        SEQUENCE,
        &[
            &der(UTC_TIME, &[b"200101000000Z"]),
            &der(UTC_TIME, &[b"491231235959Z"]),
        ],
    );
    // Basic constraints, critical: may sign others.
    let is_ca = der(OCTETS, &[&der(SEQUENCE, &[&[0x01, 0x01, 0xff]])]);
    let extension = der(
        SEQUENCE,
        &[&[0x06, 3, 0x55, 0x1d, 19], &[0x01, 0x01, 0xff], &is_ca],
    );
    let to_sign = der(
        SEQUENCE,
        &[
            &[0xa0, 3, 2, 1, 2],
            &der(INTEGER, &[&[1]]),
            &algorithm,
            &name(issuer),
            &validity,
            &name(subject),
            info,
            &der(0xa3, &[&der(SEQUENCE, &[&extension])]),
        ],
    );
    let raw = by.sign(&to_sign);
    let (r, s) = raw.split_at(raw.len() / 2);
    let signature = der(SEQUENCE, &[&unsigned(r), &unsigned(s)]);
    let signature = der(BITS, &[&[0], &signature]);
    der(SEQUENCE, &[&to_sign, &algorithm, &signature])
}

/// A certificate as a file has it.
pub(crate) fn pem(certificate: &[u8]) -> String {
    let text = STANDARD.encode(certificate);
    let lines: Vec<_> = (0..text.len())
        .step_by(64)
        .map(|at| &text[at..text.len().min(at + 64)])
        .collect();
    format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        lines.join("\n")
    )
}

pub(crate) fn base64_url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let mut out = vec![tag];
    match body.len() {
        short @ ..128 => out.push(short as u8),
        long @ ..256 => out.extend([0x81, long as u8]),
        long => out.extend([0x82, (long >> 8) as u8, long as u8]),
    }
    out.extend(body);
    out
}

fn unsigned(bytes: &[u8]) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let bytes = &bytes[zeros.min(bytes.len() - 1)..];
    let sign: &[u8] = if bytes[0] >= 0x80 { &[0] } else { &[] };
    der(INTEGER, &[sign, bytes])
}

const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const INTEGER: u8 = 0x02;
const BITS: u8 = 0x03;
const OCTETS: u8 = 0x04;
const UTF8: u8 = 0x0c;
const UTC_TIME: u8 = 0x17;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OID_COMMON_NAME: &[u8] = &[0x06, 3, 0x55, 4, 3];
const OID_ECDSA_SHA256: &[u8] = &[0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
