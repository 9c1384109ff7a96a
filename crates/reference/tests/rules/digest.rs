//! Digests and tags.

use longshore_reference::{Algorithm, Digest, ErrorKind, Tag, Verifier};

use crate::SHA256;

#[test]
fn digests_of_known_content() {
    // FIPS 180-4, the message "abc".
    let table = [
        (
            Algorithm::Sha256,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        ),
        (
            Algorithm::Sha384,
            "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
        ),
        (
            Algorithm::Sha512,
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
             2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        ),
    ];
    for (algorithm, hex) in table {
        let digest = Digest::of(algorithm, b"abc");
        assert_eq!(&*digest.hex(), hex);
        assert_eq!(hex.len(), algorithm.hex_len());
        assert_eq!(digest.as_bytes().len() * 2, hex.len());
        assert_eq!(digest.to_string(), format!("{algorithm}:{hex}"));
        assert_eq!(Digest::from_hex(algorithm, hex), Ok(digest));
        assert_eq!(algorithm.as_str().parse(), Ok(algorithm));
    }
}

#[test]
fn validation_order() {
    let hex = &SHA256[7..];
    let table = [
        ("", ErrorKind::DigestFormat),
        (":", ErrorKind::DigestFormat),
        (hex, ErrorKind::DigestFormat),
        ("sha256:", ErrorKind::DigestFormat),
        (&format!(":{hex}"), ErrorKind::DigestFormat),
        (&format!("SHA256:{hex}"), ErrorKind::DigestFormat),
        (&format!("sha 256:{hex}"), ErrorKind::DigestFormat),
        (&format!("-sha:{hex}"), ErrorKind::DigestFormat),
        (&format!("a..b:{hex}"), ErrorKind::DigestFormat),
        ("md5:a b", ErrorKind::DigestFormat),
        ("md5:a:b", ErrorKind::DigestFormat),
        ("md5:x", ErrorKind::DigestUnsupported),
        (
            "sha256+b64u:LCa0a2j_xo-5m0U8HTBBNBNCLXBkg7=",
            ErrorKind::DigestUnsupported,
        ),
        (&format!("sha1:{hex}"), ErrorKind::DigestUnsupported),
        ("sha256:x", ErrorKind::DigestLength),
        (&format!("sha256:{hex}0"), ErrorKind::DigestLength),
        (&format!("sha384:{hex}"), ErrorKind::DigestLength),
        (&format!("sha512:{hex}"), ErrorKind::DigestLength),
        // The length is looked at first.
        ("sha256:!", ErrorKind::DigestLength),
        (
            &SHA256.to_uppercase().replace("SHA", "sha"),
            ErrorKind::DigestFormat,
        ),
        (&format!("sha256:g{}", &hex[1..]), ErrorKind::DigestFormat),
        (&format!("sha256::{}", &hex[1..]), ErrorKind::DigestFormat),
        (&format!("sha256:é{}", &hex[2..]), ErrorKind::DigestFormat),
    ];
    for (text, kind) in table {
        let error = Digest::parse(text).unwrap_err();
        assert_eq!((error.kind(), error.input()), (kind, text));
    }
}

#[test]
fn errors_have_their_texts() {
    let table = [
        ("x", "invalid checksum digest format"),
        ("md5:x", "unsupported digest algorithm"),
        ("sha256:x", "invalid checksum digest length"),
    ];
    for (text, message) in table {
        assert_eq!(Digest::parse(text).unwrap_err().to_string(), message);
    }
    assert_eq!(
        "sha1".parse::<Algorithm>().unwrap_err().kind(),
        ErrorKind::DigestUnsupported
    );
    assert_eq!(
        Tag::parse("-").unwrap_err().to_string(),
        "invalid tag format"
    );
}

#[test]
fn content_is_verified_in_any_chunks() {
    let content: Vec<u8> = (0..=255).cycle().take(1000).collect();
    for algorithm in Algorithm::ALL {
        let digest = Digest::of(algorithm, &content);
        for size in [1, 7, 64, 127, 128, 1000] {
            let mut verifier = Verifier::new(digest);
            assert_eq!(verifier.expected(), digest);
            content
                .chunks(size)
                .for_each(|chunk| verifier.update(chunk));
            let mut longer = verifier.clone();
            longer.update(b"\0");
            assert!(verifier.verify() && !longer.verify());
        }
        assert!(!Verifier::new(digest).verify());
    }
}

#[test]
fn digests_order_like_their_texts() {
    let mut digests: Vec<_> = Algorithm::ALL
        .into_iter()
        .flat_map(|algorithm| (0..20).map(move |n| Digest::of(algorithm, &[n])))
        .collect();
    digests.reverse();
    let mut texts: Vec<_> = digests.iter().map(Digest::to_string).collect();
    digests.sort_unstable();
    texts.sort_unstable();
    assert_eq!(
        digests.iter().map(Digest::to_string).collect::<Vec<_>>(),
        texts
    );
}

#[test]
fn tags_are_checked() {
    for text in ["a", "_", "_.-", "0", "A-b.c_D", &"t".repeat(128)] {
        assert_eq!(Tag::parse(text).unwrap().as_str(), text);
    }
    for text in [
        "",
        "-a",
        ".a",
        "a b",
        "a:b",
        "a/b",
        "é",
        "a\n",
        "a+b",
        &"t".repeat(129),
    ] {
        assert_eq!(
            Tag::parse(text).unwrap_err().kind(),
            ErrorKind::InvalidTag,
            "{text}"
        );
    }
    assert_eq!(Tag::latest(), Tag::parse("latest").unwrap());
}
