//! Normalisation.

use longshore_reference::{AnyReference, Digest, ErrorKind, Named, Parsed, Raw, Tag, sort};

use crate::SHA256;

const ID: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

#[test]
fn short_forms_are_completed() {
    let table = [
        ("foo", "docker.io", "library/foo"),
        ("foo/bar", "docker.io", "foo/bar"),
        ("foo_bar/x", "docker.io", "foo_bar/x"),
        ("library/foo", "docker.io", "library/foo"),
        ("docker.io/foo", "docker.io", "library/foo"),
        ("docker.io/library/x/y", "docker.io", "library/x/y"),
        ("index.docker.io/foo", "docker.io", "library/foo"),
        ("index.docker.io/foo/bar", "docker.io", "foo/bar"),
        ("index.docker.io", "docker.io", "library/index.docker.io"),
        ("localhost", "docker.io", "library/localhost"),
        ("localhost/foo", "localhost", "foo"),
        ("localhost:5000/foo/bar", "localhost:5000", "foo/bar"),
        ("LOCALHOST/foo", "LOCALHOST", "foo"),
        ("Foo/bar", "Foo", "bar"),
        ("foo.bar/x", "foo.bar", "x"),
        ("foo:1/x", "foo:1", "x"),
        ("192.168.0.1", "docker.io", "library/192.168.0.1"),
        ("192.168.0.1/x", "192.168.0.1", "x"),
        ("[::1]:5000/x", "[::1]:5000", "x"),
        ("[::1]/x/y", "[::1]", "x/y"),
        ("Docker.io/x", "Docker.io", "x"),
        ("registry-1.docker.io/x", "registry-1.docker.io", "x"),
        // With a domain, 64 digits are a name.
        (
            &format!("docker.io/{ID}"),
            "docker.io",
            &format!("library/{ID}"),
        ),
        (&format!("x/{ID}"), "docker.io", &format!("x/{ID}")),
    ];
    for (text, domain, path) in table {
        for tail in ["", ":Tag", &format!("@{SHA256}"), &format!(":Tag@{SHA256}")] {
            let parsed = Parsed::parse(&format!("{text}{tail}")).unwrap();
            assert_eq!(
                (parsed.named().domain(), parsed.named().path()),
                (domain, path),
                "{text}{tail}"
            );
            assert_eq!(parsed.to_string(), format!("{domain}/{path}{tail}"));
        }
    }
}

#[test]
fn normalising_refuses() {
    let (long, hex63) = ("a".repeat(248), "f".repeat(63));
    let table = [
        (ID, ErrorKind::Identifier),
        ("", ErrorKind::InvalidFormat),
        (":x", ErrorKind::InvalidFormat),
        ("http://a.b/c", ErrorKind::InvalidFormat),
        ("docker.io/", ErrorKind::InvalidFormat),
        ("[::1]", ErrorKind::InvalidFormat),
        ("a/b:C@x", ErrorKind::InvalidFormat),
        ("a@b.c/d", ErrorKind::InvalidFormat),
        ("Foo_bar/x", ErrorKind::Uppercase),
        (&long, ErrorKind::NameTooLong),
        // The deviation: Docker takes this for a name without a domain.
        ("foo_bar.com/x", ErrorKind::InvalidFormat),
        (&format!("a@sha256:{hex63}"), ErrorKind::DigestLength),
        (&format!("a@crc:{hex63}"), ErrorKind::DigestUnsupported),
        (&format!("a@sha256:{hex63}E"), ErrorKind::DigestFormat),
    ];
    for (text, kind) in table {
        let error = Parsed::parse(text).unwrap_err();
        assert_eq!((error.kind(), error.input()), (kind, text));
    }
    assert!(Parsed::parse(&long[1..]).is_ok());
}

#[test]
fn capitals_name_the_path() {
    let table = [
        ("Foo", "library/Foo"),
        ("foo/Bar:T", "foo/Bar"),
        ("a.b/C", "C"),
        ("a.b/É", "É"),
        ("index.docker.io/C", "library/C"),
        ("docker.io/a/B@x", "a/B@x"),
    ];
    for (text, path) in table {
        let error = Parsed::parse(text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PathUppercase);
        let message =
            format!("invalid reference format: repository name ({path}) must be lowercase");
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn errors_have_their_texts() {
    let table = [
        ("_", "invalid reference format"),
        ("Foo_bar/x", "repository name must be lowercase"),
        (
            &"a".repeat(256),
            "repository name must not be more than 255 characters",
        ),
        (
            ID,
            &format!("invalid repository name ({ID}), cannot specify 64-byte hexadecimal strings"),
        ),
    ];
    for (text, message) in table {
        assert_eq!(Parsed::parse(text).unwrap_err().to_string(), message);
    }
    let error = Raw::parse("").unwrap_err();
    assert_eq!(
        error.to_string(),
        "repository name must have at least one component"
    );
}

#[test]
fn a_name_comes_alone() {
    let table = [
        ("a", Ok("docker.io/library/a")),
        ("a:1", Err(ErrorKind::HasTag)),
        (&format!("a@{SHA256}"), Err(ErrorKind::HasDigest)),
        ("a:", Err(ErrorKind::InvalidFormat)),
    ];
    for (text, expected) in table {
        let named = text.parse::<Named>().map_err(|error| error.kind());
        assert_eq!(
            named.as_ref().map(Named::as_str),
            expected.as_ref().copied()
        );
    }
}

#[test]
fn canonical_forms_stay() {
    let table = [
        ("docker.io/library/a", Ok(())),
        ("docker.io/library/a:1", Ok(())),
        ("quay.io/a", Ok(())),
        ("a", Err(ErrorKind::NotCanonical)),
        ("docker.io/a", Err(ErrorKind::NotCanonical)),
        ("index.docker.io/a/b", Err(ErrorKind::NotCanonical)),
        ("a/b", Err(ErrorKind::NotCanonical)),
        ("A", Err(ErrorKind::PathUppercase)),
    ];
    for (text, expected) in table {
        assert_eq!(
            Parsed::parse_canonical(text)
                .map(drop)
                .map_err(|error| error.kind()),
            expected,
            "{text}"
        );
    }
    assert_eq!(
        Parsed::parse_canonical("a").unwrap_err().to_string(),
        "repository name must be canonical"
    );
}

#[test]
fn latest_only_where_nothing_is() {
    for (text, expected) in [
        ("a", ":latest"),
        ("a:1", ":1"),
        (&format!("a@{SHA256}"), &format!("@{SHA256}")),
    ] {
        let parsed = Parsed::parse(text).unwrap().or_latest();
        assert_eq!(parsed.to_string(), format!("docker.io/library/a{expected}"));
        assert_eq!(parsed.clone().or_latest(), parsed);
    }
}

#[test]
fn parts_are_replaced() {
    let digest = Digest::parse(SHA256).unwrap();
    let parsed = Parsed::parse("a:1").unwrap();
    let both = parsed
        .with_digest(digest)
        .with_tag(Tag::parse("2").unwrap());
    assert_eq!(both.to_string(), format!("docker.io/library/a:2@{digest}"));
    assert_eq!(
        Parsed::from(both.into_named()).to_string(),
        "docker.io/library/a"
    );
}

#[test]
fn a_digest_may_stand_alone() {
    let table = [
        (ID, SHA256),
        (SHA256, SHA256),
        // Not valid as digests, so they are names with tags.
        (
            &SHA256[..70],
            &*format!("docker.io/library/{}", &SHA256[..70]),
        ),
        (&ID[1..], &format!("docker.io/library/{}", &ID[1..])),
        (
            &format!("a:1@{SHA256}"),
            &format!("docker.io/library/a:1@{SHA256}"),
        ),
    ];
    for (text, expected) in table {
        let any = AnyReference::parse(text).unwrap();
        assert_eq!(any.to_string(), expected);
        assert_eq!(matches!(any, AnyReference::Digest(_)), expected == SHA256);
        assert_eq!(any.digest().is_some(), text.ends_with(ID));
    }
    assert_eq!(
        AnyReference::parse("A").unwrap_err().kind(),
        ErrorKind::PathUppercase
    );
}

#[test]
fn references_sort_by_what_they_carry() {
    let (b_both, b_digest) = (format!("b:2@{SHA256}"), format!("b@{SHA256}"));
    let given = [
        "?z", "b", ID, &b_digest, "a/b:1", "a:1", "c:3", &b_both, "?a", "a", "x.y/a:0", "x.y/a",
    ];
    let expected = [
        &*format!("docker.io/library/b:2@{SHA256}"),
        "docker.io/a/b:1",
        "docker.io/library/a:1",
        "docker.io/library/c:3",
        "x.y/a:0",
        &format!("docker.io/library/b@{SHA256}"),
        "docker.io/library/a",
        "docker.io/library/b",
        "x.y/a",
        SHA256,
        "?a",
        "?z",
    ];
    assert_eq!(sort(given), expected);
}
