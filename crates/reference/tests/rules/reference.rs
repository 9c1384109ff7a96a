//! What every other crate relies on.

use longshore_reference::{Canonical, Digest, ErrorKind, Named, Reference, Tagged, Verifier};

#[test]
fn references_normalise() {
    let table = [
        ("alpine", "docker.io/library/alpine:latest"),
        ("index.docker.io/alpine:1", "docker.io/library/alpine:1"),
        ("foo/bar", "docker.io/foo/bar:latest"),
        ("foo_bar/x", "docker.io/foo_bar/x:latest"),
        ("Foo/bar", "Foo/bar:latest"),
        ("localhost/x", "localhost/x:latest"),
        ("[::1]:5000/x", "[::1]:5000/x:latest"),
        ("docker.io/library/x/y", "docker.io/library/x/y:latest"),
    ];
    for (text, expected) in table {
        let reference: Reference = text.parse().unwrap();
        assert_eq!(reference.to_string(), expected);
        assert_eq!(
            reference.to_string().parse::<Reference>().unwrap(),
            reference
        );
    }
}

#[test]
fn names_are_checked() {
    let table = [
        ("quay.io", "a/b", Ok("quay.io/a/b")),
        ("docker.io", "a", Ok("docker.io/library/a")),
        ("index.docker.io", "a/b", Ok("docker.io/a/b")),
        ("foo", "a", Err(ErrorKind::NotCanonical)),
        ("quay.io", "", Err(ErrorKind::InvalidFormat)),
        ("quay.io", "A", Err(ErrorKind::Uppercase)),
        ("quay.io/x", "a", Err(ErrorKind::InvalidFormat)),
        ("quay.io", "../a", Err(ErrorKind::InvalidFormat)),
        ("quay.io", "a:b", Err(ErrorKind::InvalidFormat)),
    ];
    for (domain, path, expected) in table {
        let named = Named::new(domain, path).map_err(|error| error.kind());
        assert_eq!(
            named.as_ref().map(Named::as_str),
            expected.as_ref().copied(),
            "{domain} {path}"
        );
    }
}

#[test]
fn content_is_verified() {
    for content in [&b"hello"[..], b""] {
        let mut verifier = Verifier::new(Digest::sha256(b"hello"));
        verifier.update(content);
        assert_eq!(verifier.verify(), content == b"hello");
    }
}

#[test]
fn kinds_of_reference() {
    let digest = Digest::sha256(b"");
    let both = format!("a:1@{digest}");
    assert_eq!(
        both.parse::<Canonical>().unwrap().to_string(),
        format!("docker.io/library/a@{digest}")
    );
    assert_eq!(
        both.parse::<Tagged>().unwrap_err().kind(),
        ErrorKind::HasDigest
    );
    assert_eq!(
        "a:1".parse::<Canonical>().unwrap_err().kind(),
        ErrorKind::NoDigest
    );
}
