//! Familiar forms and patterns.

use longshore_reference::{AnyReference, ErrorKind, Named, Parsed, Reference};

use crate::SHA256;

#[test]
fn short_forms() {
    let table = [
        ("docker.io/library/a", "a"),
        ("docker.io/library/a/b", "library/a/b"),
        ("docker.io/a/b", "a/b"),
        ("docker.io/libraryx/b", "libraryx/b"),
        ("quay.io/library/a", "quay.io/library/a"),
        ("Docker.io/library/a", "Docker.io/library/a"),
        ("localhost/a", "localhost/a"),
    ];
    for (text, name) in table {
        for tail in ["", ":1", &format!("@{SHA256}"), &format!(":1@{SHA256}")] {
            let parsed = Parsed::parse(&format!("{text}{tail}")).unwrap();
            assert_eq!(parsed.familiar().to_string(), format!("{name}{tail}"));
            assert_eq!(parsed.familiar().name(), name);
        }
        assert_eq!(text.parse::<Named>().unwrap().familiar().to_string(), name);
    }
    assert_eq!(
        AnyReference::parse(SHA256).unwrap().familiar().to_string(),
        SHA256
    );
    match Reference::parse("a").unwrap() {
        Reference::Tagged(tagged) => assert_eq!(tagged.familiar().to_string(), "a:latest"),
        Reference::Canonical(_) => panic!("by tag"),
    }
    match Reference::parse(&format!("a@{SHA256}")).unwrap() {
        Reference::Canonical(canonical) => {
            assert_eq!(canonical.familiar().to_string(), format!("a@{SHA256}"))
        }
        Reference::Tagged(_) => panic!("by digest"),
    }
}

#[test]
fn patterns_match_the_form_or_the_name() {
    let table = [
        ("a", "docker.io/library/a:1", true),
        ("a:1", "docker.io/library/a:1", true),
        ("a:*", "docker.io/library/a:1", true),
        ("a:2", "docker.io/library/a:1", false),
        ("*", "docker.io/library/a:1", true),
        ("*/*", "docker.io/library/a:1", false),
        ("docker.io/*", "docker.io/library/a:1", false),
        ("*.io/*", "quay.io/a:1", true),
        ("quay.io/*", "quay.io/a/b:1", false),
        ("sha256:*", SHA256, true),
        ("", SHA256, false),
        ("a@sha256:2c*", &format!("a@{SHA256}"), true),
    ];
    for (pattern, text, expected) in table {
        assert_eq!(
            AnyReference::parse(text)
                .unwrap()
                .familiar()
                .matches(pattern),
            Ok(expected),
            "{pattern} {text}"
        );
    }
}

#[test]
fn a_malformed_pattern_is_an_error() {
    let reference = Reference::parse("a").unwrap();
    for pattern in ["[-x]", "[", "\\", "zzz[]"] {
        let error = reference.familiar().matches(pattern).unwrap_err();
        assert_eq!((error.kind(), error.input()), (ErrorKind::Pattern, pattern));
        assert_eq!(error.to_string(), "syntax error in pattern");
    }
}
