//! Holds the digest parser against go-digest's rules, and the streaming verifier against the digest of the whole.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use longshore_reference::{Algorithm, Digest, ErrorKind, Verifier};
use regex::Regex;

static WELL_FORMED: LazyLock<Regex> =
    LazyLock::new(|| Regex::new("^[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[a-zA-Z0-9=_-]+$").unwrap());

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let digest = Digest::parse(text);
        assert_eq!(
            digest.as_ref().err().map(|error| error.kind()),
            expected(text),
            "{text:?}"
        );
        if let Ok(digest) = digest {
            assert_eq!(digest.to_string(), text);
            assert_eq!(
                Digest::from_hex(digest.algorithm(), &digest.hex()),
                Ok(digest)
            );
        }
    }
    let algorithm = Algorithm::ALL[bytes.len() % 3];
    let digest = Digest::of(algorithm, bytes);
    assert_eq!(digest.to_string().parse(), Ok(digest));
    let mut verifier = Verifier::new(digest);
    let mut left = bytes;
    while let Some(&first) = left.first() {
        let (chunk, rest) = left.split_at(left.len().min(usize::from(first) + 1));
        verifier.update(chunk);
        left = rest;
    }
    let mut longer = verifier.clone();
    longer.update(b"x");
    assert!(verifier.verify() && !longer.verify());
});

fn expected(text: &str) -> Option<ErrorKind> {
    let (name, digits) = match text.split_once(':') {
        None | Some(("", _) | (_, "")) => return Some(ErrorKind::DigestFormat),
        Some(parts) => parts,
    };
    let wanted = match name {
        "sha256" => 64,
        "sha384" => 96,
        "sha512" => 128,
        _ if WELL_FORMED.is_match(text) => return Some(ErrorKind::DigestUnsupported),
        _ => return Some(ErrorKind::DigestFormat),
    };
    if digits.len() != wanted {
        return Some(ErrorKind::DigestLength);
    }
    let is_hex = digits
        .chars()
        .all(|digit| "0123456789abcdef".contains(digit));
    (!is_hex).then_some(ErrorKind::DigestFormat)
}
