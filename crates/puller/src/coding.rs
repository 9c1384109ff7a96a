//! `Content-Encoding` (RFC 9110 section 8.4) of documents: a label that may be right or wrong.

use std::io::Read;

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http::{HeaderMap, header::CONTENT_ENCODING};

/// How a body is labelled. `identity` is always asked for, so any label is odd, and only the bytes decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    Identity,
    Gzip,
    Other,
}

impl Coding {
    /// Of all values of all lines.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let lines = headers.get_all(CONTENT_ENCODING).iter();
        let values = lines.flat_map(|line| line.as_bytes().split(|&byte| byte == b','));
        let mut coding = Self::Identity;
        for value in values {
            let value = value.trim_ascii().to_ascii_lowercase();
            coding = match &*value {
                b"" | b"identity" => coding,
                b"gzip" | b"x-gzip" if coding == Self::Identity => Self::Gzip,
                _ => Self::Other,
            };
        }
        coding
    }

    /// The JSON document that was sent: the bytes as they are, or, where they are labelled so, what they decode to, at
    /// most `limit` bytes. `None` if neither is an object that `is_right` accepts.
    pub(crate) fn document(
        self,
        bytes: &Bytes,
        limit: u64,
        is_right: impl Fn(&Bytes) -> bool,
    ) -> Option<Bytes> {
        let accepted = |bytes: &Bytes| is_object(bytes) && is_right(bytes);
        if accepted(bytes) {
            return Some(bytes.clone());
        }
        if self != Self::Gzip {
            return None;
        }
        decode(bytes, limit).filter(accepted)
    }
}

fn is_object(bytes: &Bytes) -> bool {
    bytes.trim_ascii_start().first() == Some(&b'{')
}

fn decode(bytes: &Bytes, limit: u64) -> Option<Bytes> {
    let mut decoded = Vec::new();
    let mut decoder = MultiGzDecoder::new(&**bytes).take(limit + 1);
    decoder.read_to_end(&mut decoded).ok()?;
    (decoded.len() as u64 <= limit).then(|| decoded.into())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn gzip(bytes: &[u8]) -> Bytes {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap().into()
    }

    #[test]
    fn labels() {
        for (lines, expected) in [
            (&[][..], Coding::Identity),
            (&["identity"], Coding::Identity),
            (&[""], Coding::Identity),
            (&["gzip"], Coding::Gzip),
            (&["X-GZIP"], Coding::Gzip),
            (&["identity, gzip"], Coding::Gzip),
            (&["identity", "gzip"], Coding::Gzip),
            (&["gzip, gzip"], Coding::Other),
            (&["br"], Coding::Other),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(CONTENT_ENCODING, line.parse().unwrap());
            }
            assert_eq!(Coding::of(&headers), expected, "{lines:?}");
        }
    }

    #[test]
    fn the_bytes_decide() {
        let plain = Bytes::from_static(b" {\"a\":1}");
        let packed = gzip(&plain);
        let any = |_: &Bytes| true;
        for (coding, bytes, expected) in [
            (Coding::Identity, &plain, Some(&plain)),
            (Coding::Gzip, &plain, Some(&plain)),
            (Coding::Other, &plain, Some(&plain)),
            (Coding::Gzip, &packed, Some(&plain)),
            (Coding::Identity, &packed, None),
            (Coding::Other, &packed, None),
        ] {
            assert_eq!(coding.document(bytes, 100, any).as_ref(), expected);
        }
        assert_eq!(Coding::Gzip.document(&packed, 7, any), None, "too large");
        let not = |_: &Bytes| false;
        assert_eq!(Coding::Gzip.document(&packed, 100, not), None);
        let cut = packed.slice(..packed.len() - 4);
        assert_eq!(Coding::Gzip.document(&cut, 100, any), None);
        assert_eq!(Coding::Gzip.document(&gzip(b"[1]"), 100, any), None);
    }
}
