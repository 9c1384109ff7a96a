//! Short names.

use longshore_reference::{ErrorKind, NameInput, Named, ShortName, Tag};

use crate::SHA256;

#[test]
fn what_is_short() {
    let table = [
        ("alpine", Ok("alpine")),
        ("foo/bar", Ok("foo/bar")),
        ("Foo/bar", Ok("Foo/bar")),
        ("foo_bar/x", Ok("foo_bar/x")),
        ("localhost", Ok("localhost")),
        ("quay.io", Ok("quay.io")),
        ("localhost/x", Err("localhost/x")),
        ("foo:80/x", Err("foo:80/x")),
        ("foo.bar/x", Err("foo.bar/x")),
        ("docker.io/x", Err("docker.io/library/x")),
        ("index.docker.io/x", Err("docker.io/library/x")),
    ];
    for (text, expected) in table {
        match NameInput::parse(&format!("{text}:1@{SHA256}")).unwrap() {
            NameInput::Short { name, tag, digest } => {
                assert_eq!(Ok(name.as_str()), expected);
                assert_eq!(tag, Some(Tag::parse("1").unwrap()));
                assert_eq!(digest.unwrap().to_string(), SHA256);
                assert_eq!(ShortName::parse(text), Ok(name));
            }
            NameInput::Full(parsed) => {
                assert_eq!(Err(parsed.named().as_str()), expected);
                assert_eq!(parsed.to_string(), format!("{}:1@{SHA256}", parsed.named()));
                assert_eq!(
                    ShortName::parse(text).unwrap_err().kind(),
                    ErrorKind::HasDomain
                );
            }
        }
    }
}

#[test]
fn keys_and_values_of_aliases() {
    let digest = format!("a@{SHA256}");
    for (text, kind) in [
        ("a:1", ErrorKind::HasTag),
        (&*digest, ErrorKind::HasDigest),
        ("quay.io/a", ErrorKind::HasDomain),
        ("", ErrorKind::NameEmpty),
    ] {
        assert_eq!(ShortName::parse(text).unwrap_err().kind(), kind, "{text}");
    }
    let digest = format!("quay.io/a@{SHA256}");
    for (text, expected) in [
        ("quay.io/a/b", Ok("quay.io/a/b")),
        ("docker.io/a", Ok("docker.io/library/a")),
        ("a/b", Err(ErrorKind::NoDomain)),
        ("a", Err(ErrorKind::NoDomain)),
        ("quay.io/a:1", Err(ErrorKind::HasTag)),
        (&digest, Err(ErrorKind::HasDigest)),
        ("quay.io/A", Err(ErrorKind::Uppercase)),
    ] {
        let named = Named::parse_qualified(text).map_err(|error| error.kind());
        assert_eq!(
            named.as_ref().map(Named::as_str),
            expected.as_ref().copied(),
            "{text}"
        );
    }
}

#[test]
fn candidates_are_normalised() {
    let name = ShortName::parse("a").unwrap();
    let table = [
        ("docker.io", Ok("docker.io/library/a")),
        ("quay.io", Ok("quay.io/a")),
        ("quay.io/org", Ok("quay.io/org/a")),
        ("localhost", Ok("localhost/a")),
        ("corp", Err(ErrorKind::NoDomain)),
        ("", Err(ErrorKind::InvalidFormat)),
        ("http://quay.io", Err(ErrorKind::InvalidFormat)),
    ];
    for (location, expected) in table {
        let named = name.under(location).map_err(|error| error.kind());
        assert_eq!(
            named.as_ref().map(Named::as_str),
            expected.as_ref().copied(),
            "{location}"
        );
    }
    let upper = ShortName::parse("Foo/a").unwrap();
    assert_eq!(
        upper.under("quay.io").unwrap_err().kind(),
        ErrorKind::Uppercase
    );
}
