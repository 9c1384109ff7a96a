//! Signed documents in libtrust's "pretty signature" form.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use serde::{Deserialize, Deserializer, de::IgnoredAny};
use serde_json::value::RawValue;

use super::{base64_url::base64_url, key::Key};
use crate::{
    Error, go_json,
    wire::{self, Number, Text},
};

/// One signature of a schema 1 manifest.
///
/// ```
/// # use longshore_manifest::Schema1;
/// let schema1 = Schema1::decode(br#"{"schemaVersion":1}"#.as_slice().into())?;
/// let jwk = r#"{"kty":"EC","crv":"P-256","x":"3gAwX48IQ5oaYQAYSxor6rYYc_6yjuLCjtQ9LUakg4A",
///     "y":"t72ge6kIA1XOjqjVoEOiPPAURltJFBMGDSQvEGVB010"}"#;
/// // A real signer would use the private key of `jwk`.
/// let signer = |_: &[u8]| Ok::<_, std::convert::Infallible>(vec![0; 64]);
/// let Ok(signed) = schema1.sign("2016-01-01T00:00:00Z", "ES256", jwk, signer)?;
/// let read = Schema1::decode(signed.into())?;
/// assert_eq!(read.signatures()[0].algorithm(), "ES256");
/// assert_eq!(read.payload(), schema1.payload());
/// # Ok::<(), longshore_manifest::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    algorithm: Box<str>,
    jwk: Option<Box<str>>,
    chain: Vec<Box<str>>,
    protected: Box<str>,
    signature: Box<str>,
}

impl Signature {
    /// The algorithm as it is written: `ES256`, `RS256`, … (RFC 7518, section 3.1).
    #[must_use]
    pub fn algorithm(&self) -> &str {
        &self.algorithm
    }

    /// The key: of the first certificate in `x5c`, else of `jwk`.
    ///
    /// # Errors
    /// There is none, it is unreadable, or its `kid` is not its own.
    pub fn key(&self) -> Result<Key, Error> {
        match (self.chain.first(), &self.jwk) {
            (Some(certificate), _) => Key::from_certificate(certificate),
            (None, Some(jwk)) => Key::from_jwk(jwk),
            (None, None) => Err(Error::Key {
                reason: "missing public key",
            }),
        }
    }

    /// What is signed: the protected header as it was sent, a full stop and the payload.
    #[cfg(feature = "signatures")]
    pub(crate) fn signed_bytes(&self, payload: &[u8]) -> Vec<u8> {
        signed_bytes(&self.protected, payload)
    }

    /// The raw signature.
    #[cfg(feature = "signatures")]
    pub(crate) fn raw(&self) -> Result<Vec<u8>, Error> {
        base64_url("signature", &self.signature)
    }

    fn to_json(&self) -> String {
        let mut header = Vec::new();
        if let Some(jwk) = &self.jwk {
            header.push(format!("\"jwk\":{jwk}"));
        }
        header.push(format!("\"alg\":{}", go_json::string(&self.algorithm)));
        if !self.chain.is_empty() {
            let chain: Vec<_> = self
                .chain
                .iter()
                .map(|text| go_json::string(text))
                .collect();
            header.push(format!("\"x5c\":[{}]", chain.join(",")));
        }
        format!(
            r#"{{"header":{{{}}},"signature":{},"protected":{}}}"#,
            header.join(","),
            go_json::string(&self.signature),
            go_json::string(&self.protected),
        )
    }
}

/// The payload of a signed document and its signatures: `signatures` is the JSON found under
/// that key. Keys that were added behind the payload do not count.
pub(super) fn parse(document: &Bytes, signatures: &str) -> Result<(Bytes, Vec<Signature>), Error> {
    let blocks: Vec<Block<'_>> = wire::read("signatures", signatures.as_bytes())?;
    if blocks.len() > SIGNATURES_MAX {
        return Err(Error::Signed {
            reason: "too many signatures",
        });
    }
    let mut format: Option<(usize, Vec<u8>)> = None;
    for block in &blocks {
        let protected = base64_url("protected", &block.protected.0)?;
        let protected: Protected<'_> = wire::read("protected header", &protected)?;
        let len = protected
            .format_length
            .0
            .and_then(|len| usize::try_from(len).ok());
        let len = len.ok_or(Error::Signed {
            reason: "invalid format length",
        })?;
        let tail = base64_url("formatTail", &protected.format_tail.0)?;
        match &format {
            Some((other, _)) if *other != len => {
                return Err(Error::Signed {
                    reason: "conflicting format length",
                });
            }
            Some((_, other)) if *other != tail => {
                return Err(Error::Signed {
                    reason: "conflicting format tail",
                });
            }
            Some(_) => {}
            None => format = Some((len, tail)),
        }
    }
    let (len, tail) = format.ok_or(Error::Signed {
        reason: "no signatures",
    })?;
    let head = document.get(..len).ok_or(Error::Signed {
        reason: "invalid format length",
    })?;
    let payload = [head, &tail].concat();
    Ok((
        payload.into(),
        blocks.iter().map(Block::to_signature).collect(),
    ))
}

/// The signed form of `payload`.
pub(super) fn format(payload: &[u8], signatures: &[Signature]) -> Result<Vec<u8>, Error> {
    let (len, _) = layout(payload)?;
    let indent = indent(payload);
    let mut sorted: Vec<_> = signatures.iter().collect();
    let id = |signature: &Signature| signature.key().map(|key| key.id()).unwrap_or_default();
    sorted.sort_by_cached_key(|signature| (id(signature), signature.signature.clone()));
    let list: Vec<_> = sorted.iter().map(|signature| signature.to_json()).collect();
    let list = format!("[{}]", list.join(","));
    let tail = if indent.is_empty() {
        format!(",\"signatures\":{list}}}")
    } else {
        let list = go_json::indent(&list, indent, indent);
        format!(",\n{indent}\"signatures\": {list}\n}}")
    };
    let head = payload.get(..len).unwrap_or_default();
    Ok([head, tail.as_bytes()].concat())
}

/// Signs `payload`; see [`Schema1::sign`](super::Schema1::sign).
pub(super) fn sign<E>(
    payload: &[u8],
    time: &str,
    algorithm: &str,
    jwk: &str,
    signer: impl FnOnce(&[u8]) -> Result<Vec<u8>, E>,
) -> Result<Result<Vec<u8>, E>, Error> {
    Key::from_jwk(jwk)?;
    let taken: Taken = wire::read("schema 1 payload", payload)?;
    if taken.signatures {
        // What nobody signed may be there all the same, as `null`: a second one would make the document unreadable.
        return Err(Error::Signed {
            reason: "the payload has a key \"signatures\" of its own",
        });
    }
    let (len, tail) = layout(payload)?;
    let protected = format!(
        r#"{{"formatLength":{len},"formatTail":"{}","time":{}}}"#,
        BASE64_URL_SAFE_NO_PAD.encode(tail),
        go_json::string(time),
    );
    let protected = BASE64_URL_SAFE_NO_PAD.encode(protected);
    let raw = match signer(&signed_bytes(&protected, payload)) {
        Ok(raw) => raw,
        Err(error) => return Ok(Err(error)),
    };
    let signature = Signature {
        algorithm: algorithm.into(),
        jwk: Some(go_json::compact(jwk).into()),
        chain: Vec::new(),
        protected: protected.into(),
        signature: BASE64_URL_SAFE_NO_PAD.encode(raw).into(),
    };
    format(payload, &[signature]).map(Ok)
}

fn signed_bytes(protected: &str, payload: &[u8]) -> Vec<u8> {
    format!("{protected}.{}", BASE64_URL_SAFE_NO_PAD.encode(payload)).into_bytes()
}

/// Where the signatures go: behind the last character that is not white space before the closing
/// brace. The length up to there, and the rest.
fn layout(payload: &[u8]) -> Result<(usize, &[u8]), Error> {
    let body = payload.trim_ascii_end().strip_suffix(b"}");
    let body = body
        .map(<[u8]>::trim_ascii_end)
        .filter(|body| body.trim_ascii_start() != b"{");
    let len = body
        .ok_or(Error::Signed {
            reason: "not an object with keys",
        })?
        .len();
    Ok((len, payload.get(len..).unwrap_or_default()))
}

/// What the payload's own lines start with: the text between `{` and a new line, and the first
/// quote. Empty if it is not indented.
fn indent(payload: &[u8]) -> &str {
    let lines = payload.strip_prefix(b"{\n").unwrap_or_default();
    let quote = lines
        .iter()
        .position(|byte| *byte == b'"')
        .unwrap_or_default();
    str::from_utf8(lines.get(..quote).unwrap_or_default()).unwrap_or_default()
}

#[derive(Deserialize)]
#[serde(remote = "Self")]
struct Block<'a> {
    #[serde(borrow, default)]
    header: Header<'a>,
    #[serde(borrow, default)]
    signature: Text<'a>,
    #[serde(borrow, default)]
    protected: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, remote = "Self")]
struct Header<'a> {
    #[serde(borrow)]
    jwk: Option<&'a RawValue>,
    #[serde(borrow)]
    alg: Text<'a>,
    #[serde(borrow)]
    x5c: Option<Vec<Text<'a>>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase", remote = "Self")]
struct Protected<'a> {
    format_length: Number,
    #[serde(borrow)]
    format_tail: Text<'a>,
}

/// Whether the place for signatures is taken.
#[derive(Default, Deserialize)]
#[serde(default, remote = "Self")]
struct Taken {
    #[serde(deserialize_with = "is_there")]
    signatures: bool,
}

fn is_there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

wire::from_objects!(Block<'a>, Header<'a>, Protected<'a>, Taken);

impl Block<'_> {
    fn to_signature(&self) -> Signature {
        let chain = self.header.x5c.as_deref().unwrap_or_default();
        Signature {
            algorithm: (*self.header.alg.0).into(),
            jwk: self
                .header
                .jwk
                .map(|jwk| go_json::compact(jwk.get()).into()),
            chain: chain.iter().map(|text| (*text.0).into()).collect(),
            protected: (*self.protected.0).into(),
            signature: (*self.signature.0).into(),
        }
    }
}

/// How many signatures are read; real documents have one.
const SIGNATURES_MAX: usize = 64;
