//! The grammar without normalisation.

use longshore_reference::{Digest, ErrorKind, Raw, Tag};

use crate::SHA256;

#[test]
fn the_grammar_splits() {
    // Text, domain, path, tag; a digest is added to each in turn.
    let table = [
        ("foo", None, "foo", None),
        ("foo:5000", None, "foo", Some("5000")),
        ("foo/bar", Some("foo"), "bar", None),
        ("foo:5000/bar", Some("foo:5000"), "bar", None),
        ("foo:5000/bar:5000", Some("foo:5000"), "bar", Some("5000")),
        ("foo_bar/x", None, "foo_bar/x", None),
        ("foo_bar.com:8080", None, "foo_bar.com", Some("8080")),
        ("foo_bar.com/x", None, "foo_bar.com/x", None),
        ("Foo/bar", Some("Foo"), "bar", None),
        ("a--b/c---d__e.f_g", Some("a--b"), "c---d__e.f_g", None),
        (
            "127.0.0.1:5000/a/b/c:T",
            Some("127.0.0.1:5000"),
            "a/b/c",
            Some("T"),
        ),
        ("[::1]/x", Some("[::1]"), "x", None),
        (
            "[2001:DB8::a]:443/x/y:1",
            Some("[2001:DB8::a]:443"),
            "x/y",
            Some("1"),
        ),
        ("[:]/x", Some("[:]"), "x", None),
        (
            "xn--n3h.com/x:xn--n3h",
            Some("xn--n3h.com"),
            "x",
            Some("xn--n3h"),
        ),
        ("a:_", None, "a", Some("_")),
        ("a:A.b-c_", None, "a", Some("A.b-c_")),
        ("index.docker.io/x", Some("index.docker.io"), "x", None),
        ("0/0:0", Some("0"), "0", Some("0")),
    ];
    for (text, domain, path, tag) in table {
        for digest in [None, Some(Digest::parse(SHA256).unwrap())] {
            let text = text.to_owned()
                + &digest
                    .map(|digest| format!("@{digest}"))
                    .unwrap_or_default();
            let raw = Raw::parse(&text).unwrap();
            assert_eq!((raw.domain(), raw.path()), (domain, path), "{text}");
            assert_eq!(
                (raw.tag().map(Tag::as_str), raw.digest()),
                (tag, digest),
                "{text}"
            );
            assert_eq!(raw.to_string(), text);
        }
    }
}

#[test]
fn a_bare_digest_is_a_name_with_a_tag() {
    let raw = Raw::parse(SHA256).unwrap();
    assert_eq!(
        (raw.path(), raw.tag().map(|tag| tag.as_str().len())),
        ("sha256", Some(64))
    );
}

#[test]
fn the_grammar_refuses() {
    let invalid = ErrorKind::InvalidFormat;
    let table = [
        ("", ErrorKind::NameEmpty),
        (":tag", invalid),
        (" ", invalid),
        ("a ", invalid),
        ("a\n", invalid),
        ("a\0", invalid),
        ("é", invalid),
        ("É", invalid),
        ("a/", invalid),
        ("/a", invalid),
        ("a//b", invalid),
        ("a:", invalid),
        ("a:b:c", invalid),
        ("a:.b", invalid),
        ("a:-b", invalid),
        ("a:é", invalid),
        (&format!("a:{}", "t".repeat(129)), invalid),
        ("-a", invalid),
        ("a-", invalid),
        ("a.", invalid),
        ("a..b", invalid),
        ("a_.b", invalid),
        ("a___b", invalid),
        ("a-/b/c", invalid),
        ("-a.b/c", invalid),
        ("a.-b/c", invalid),
        ("a-.b/c", invalid),
        ("a..b/c", invalid),
        (".a/c", invalid),
        ("a./c", invalid),
        ("_a", invalid),
        ("../a", invalid),
        ("a/../b", invalid),
        ("http://a/b", invalid),
        ("a:80b/c", invalid),
        ("a:/c", invalid),
        ("[::1]", invalid),
        ("[::1]:5000", invalid),
        ("[]/x", invalid),
        ("[::g]/x", invalid),
        ("[fe80::1%eth0]/x", invalid),
        ("[::ffff:192.0.2.1]/x", invalid),
        ("[::1]x/y", invalid),
        ("::1/x", invalid),
        ("A", ErrorKind::Uppercase),
        ("A:tag", ErrorKind::Uppercase),
        ("a/B/c", ErrorKind::Uppercase),
        // The Kelvin sign and the dotted capital I become ASCII letters.
        ("\u{212a}", ErrorKind::Uppercase),
        ("\u{130}", ErrorKind::Uppercase),
        ("A..b", invalid),
    ];
    for (text, kind) in table {
        let error = Raw::parse(text).unwrap_err();
        assert_eq!((error.kind(), error.input()), (kind, text), "{text:?}");
    }
}

#[test]
fn the_grammar_refuses_digests() {
    let (hex32, hex64) = ("f".repeat(32), "f".repeat(64));
    let invalid = ErrorKind::InvalidFormat;
    let table = [
        ("a@", invalid),
        (&format!("@sha256:{hex64}"), invalid),
        ("a@b", invalid),
        (&format!("a@sha256:{}", "f".repeat(31)), invalid),
        (&format!("a@2sha:{hex64}"), invalid),
        (&format!("a@sha256+:{hex64}"), invalid),
        (&format!("a@sha256:{hex64}g"), invalid),
        (&format!("a@sha256:{hex64}@sha256:{hex64}"), invalid),
        (&format!("a@sha256:{hex32}"), ErrorKind::DigestLength),
        (&format!("a@sha512:{hex64}"), ErrorKind::DigestLength),
        (
            &format!("a@sha256:{}F", "f".repeat(63)),
            ErrorKind::DigestFormat,
        ),
        (&format!("a@md5:{hex32}"), ErrorKind::DigestUnsupported),
        (&format!("a@MD5:{hex32}"), ErrorKind::DigestFormat),
        (
            &format!("a@sha256+b64u:{hex64}"),
            ErrorKind::DigestUnsupported,
        ),
    ];
    for (text, kind) in table {
        let error = Raw::parse(text).unwrap_err();
        assert_eq!((error.kind(), error.input()), (kind, text), "{text:?}");
    }
}

#[test]
fn the_length_is_that_of_the_path() {
    let table = [
        ("a".repeat(255), Ok(())),
        ("a".repeat(256), Err(ErrorKind::NameTooLong)),
        (format!("{}/{}", "d".repeat(300), "a".repeat(255)), Ok(())),
        (
            format!("d/{}", "a".repeat(256)),
            Err(ErrorKind::NameTooLong),
        ),
        // Without a domain the first component counts.
        (
            format!("d_d/{}", "a".repeat(252)),
            Err(ErrorKind::NameTooLong),
        ),
        (format!("d_d/{}", "a".repeat(251)), Ok(())),
        (format!("{}:{}", "a".repeat(255), "t".repeat(128)), Ok(())),
        // The length is looked at before the digest.
        (
            format!("{}@md5:{}", "a".repeat(256), "f".repeat(32)),
            Err(ErrorKind::NameTooLong),
        ),
    ];
    for (text, expected) in table {
        assert_eq!(
            Raw::parse(&text).map(drop).map_err(|error| error.kind()),
            expected,
            "{text}"
        );
    }
}

#[test]
fn parts_are_replaced() {
    let digest = Digest::parse(SHA256).unwrap();
    let (tag, other) = (Tag::parse("1").unwrap(), Tag::parse("2").unwrap());
    let raw = Raw::parse("foo/bar").unwrap();
    let both = raw.clone().with_tag(tag).with_digest(digest);
    assert_eq!(both.to_string(), format!("foo/bar:1@{digest}"));
    assert_eq!(
        both.clone().with_tag(other).to_string(),
        format!("foo/bar:2@{digest}")
    );
    assert_eq!(
        both.clone().with_digest(Digest::sha256(b"")).tag(),
        both.tag()
    );
    assert_eq!(both.trim(), raw);
}

#[test]
fn what_an_error_keeps_is_bounded() {
    let error = Raw::parse(&"é".repeat(5000)).unwrap_err();
    assert_eq!(error.input(), "é".repeat(512));
    let error = Raw::parse(&format!("x{}", "é".repeat(5000))).unwrap_err();
    assert_eq!(error.input().len(), 1023);
}
