//! The look-ups of the ECS agent.

use std::error::Error as _;

use longshore_reference::{Digest, ErrorKind, ecs};

use crate::SHA256;

#[test]
fn a_digest_in_a_reference() {
    let digest = Digest::parse(SHA256).unwrap();
    let table = [
        (&*format!("a@{SHA256}"), Some(digest)),
        (&format!("a:1@{SHA256}"), Some(digest)),
        ("a:1", None),
        ("A", None),
        ("", None),
        // A bare digest reads as a name with a tag.
        (SHA256, None),
        (&format!("a@{SHA256}0"), None),
    ];
    for (image, expected) in table {
        assert_eq!(ecs::digest_in(image), expected, "{image}");
    }
}

#[test]
fn a_digest_among_repo_digests() {
    let (one, two) = (Digest::sha256(b"1"), Digest::sha256(b"2"));
    let held = [
        "?".to_owned(),
        "app".to_owned(),
        "app:1".to_owned(),
        format!("app@{one}"),
        format!("app@{two}"),
        format!("quay.io/app@{two}"),
    ];
    let table = [
        ("app", Ok(one)),
        ("app:9", Ok(one)),
        ("docker.io/library/app", Ok(one)),
        ("index.docker.io/app", Ok(one)),
        ("quay.io/app:1", Ok(two)),
        ("quay.io/other", Err(ErrorKind::NoRepoDigest)),
        ("App", Err(ErrorKind::Image)),
    ];
    for (image, expected) in table {
        assert_eq!(
            ecs::digest_among(&held, image).map_err(|error| error.kind()),
            expected,
            "{image}"
        );
    }
    let error = ecs::digest_among::<&str>([], "a:1").unwrap_err();
    assert_eq!(error.to_string(), "found no repo digest matching 'a:1'");
}

#[test]
fn an_image_pinned() {
    let digest = Digest::sha256(b"1");
    for (image, expected) in [
        ("alpine", "alpine"),
        ("alpine:3", "alpine"),
        (&*format!("foo/bar:3@{SHA256}"), "foo/bar"),
        ("docker.io/library/a", "docker.io/library/a"),
    ] {
        assert_eq!(
            ecs::canonical(image, digest).unwrap().to_string(),
            format!("{expected}@{digest}")
        );
    }
}

#[test]
fn an_unreadable_image_is_named() {
    let digest = Digest::sha256(b"1");
    let long = "A".repeat(5000);
    let among = |image| ecs::digest_among::<&str>([], image).map(|_| ());
    let pinned = |image| ecs::canonical(image, digest).map(|_| ());
    for (result, named, source) in [
        (
            among("App"),
            "App",
            "invalid reference format: repository name (library/App) must be lowercase",
        ),
        (pinned("App"), "App", "repository name must be lowercase"),
        (
            pinned(&long),
            &long[..1024],
            "repository name must be lowercase",
        ),
    ] {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Image);
        let expected = format!("failed to parse image reference '{named}'");
        assert_eq!(error.to_string(), expected);
        assert_eq!(error.source().unwrap().to_string(), source);
    }
}
