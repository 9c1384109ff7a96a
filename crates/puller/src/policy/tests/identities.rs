//! Which signed names stand for an image.

use super::*;

const RHEL: &str = "registry.access.redhat.com/rhel7/rhel:7.2.3";
const OTHER: &str = "@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// A table writes `@D` and `@O` for digests.
fn text(text: &str) -> String {
    full(&text.replace("@O", OTHER))
}

/// Two names and whether they are the same; either may be the image's.
const EXACT: &[(&str, &str, bool)] = &[
    ("busybox:latest", "busybox:latest", true),
    (RHEL, RHEL, true),
    ("busybox@D", "busybox@D", true),
    ("library/busybox:latest", "busybox:latest", true),
    ("docker.io/library/busybox:latest", "busybox:latest", true),
    ("library/busybox@D", "busybox@D", true),
    ("busybox:latest", "busybox:notlatest", false),
    ("busybox:latest", "notbusybox:latest", false),
    (
        "busybox:latest",
        "hostname/library/busybox:notlatest",
        false,
    ),
    (
        "hostname/library/busybox:latest",
        "busybox:notlatest",
        false,
    ),
    ("busybox:latest", RHEL, false),
    ("busybox@D", "notbusybox@D", false),
    ("busybox:latest", "busybox@D", false),
    ("busybox@D", "busybox@O", false),
    ("busybox", "busybox:latest", false),
    ("busybox", "busybox@D", false),
    ("busybox", "busybox", false),
    ("busybox:latest@D", "busybox:latest@D", true),
    ("busybox:latest@D", "busybox:latest@O", false),
    ("busybox:latest@D", "busybox:notlatest@D", false),
    ("busybox:latest@D", "busybox@D", false),
    ("busybox:latest@D", "busybox:latest", false),
    (
        "UPPERCASE_IS_INVALID_IN_DOCKER_REFERENCES",
        "busybox:latest",
        false,
    ),
    ("", "UPPERCASE_IS_INVALID_IN_DOCKER_REFERENCES", false),
    ("INVALID", "INVALID", false),
];

/// Two names and whether they are of one repository.
const REPOSITORY: &[(&str, &str, bool)] = &[
    ("busybox:latest", "busybox:latest", true),
    (RHEL, RHEL, true),
    ("busybox@D", "busybox@D", true),
    ("library/busybox:latest", "busybox:latest", true),
    ("docker.io/library/busybox:latest", "busybox:latest", true),
    ("library/busybox@D", "busybox@D", true),
    ("busybox:latest", "busybox:notlatest", true),
    (
        "registry.access.redhat.com/rhel7/rhel:7.2.3tagsuffix",
        RHEL,
        true,
    ),
    ("library/busybox:latest", "busybox:notlatest", true),
    ("busybox:latest", "library/busybox:notlatest", true),
    (
        "docker.io/library/busybox:notlatest",
        "busybox:latest",
        true,
    ),
    (
        "busybox:notlatest",
        "docker.io/library/busybox:latest",
        true,
    ),
    ("busybox:latest", "busybox@D", true),
    ("busybox@D", "busybox@O", true),
    ("busybox", "busybox:notlatest", true),
    (RHEL, "registry.access.redhat.com/rhel7/rhel", true),
    ("busybox", "busybox@D", true),
    ("library/busybox", "busybox", true),
    ("docker.io/library/busybox", "busybox", true),
    ("busybox:latest", "notbusybox:latest", false),
    (
        "hostname/library/busybox:latest",
        "busybox:notlatest",
        false,
    ),
    ("busybox:latest", RHEL, false),
    ("busybox@D", "notbusybox@D", false),
    ("busybox:latest@D", "busybox:latest@D", true),
    ("busybox:latest@D", "busybox:latest@O", true),
    ("busybox:latest@D", "busybox:notlatest@D", true),
    ("busybox:latest@D", "busybox@D", true),
    ("busybox:latest@D", "busybox:latest", true),
    (
        "UPPERCASE_IS_INVALID_IN_DOCKER_REFERENCES",
        "busybox:latest",
        false,
    ),
    ("", "UPPERCASE_IS_INVALID_IN_DOCKER_REFERENCES", false),
    ("INVALID", "INVALID", false),
];

/// The image, the signed name, and whether they fit where a digest stands for its repository.
const DIGEST_OR_EXACT: &[(&str, &str, bool)] = &[
    ("busybox:latest", "busybox:notlatest", false),
    (
        "registry.access.redhat.com/rhel7/rhel:7.2.3tagsuffix",
        RHEL,
        false,
    ),
    ("library/busybox:latest", "busybox:notlatest", false),
    ("busybox:latest", "library/busybox:notlatest", false),
    (
        "docker.io/library/busybox:notlatest",
        "busybox:latest",
        false,
    ),
    (
        "busybox:notlatest",
        "docker.io/library/busybox:latest",
        false,
    ),
    ("busybox", "busybox:latest", false),
    ("busybox:latest", "busybox", false),
    ("busybox", "busybox@D", false),
    ("busybox@D", "busybox", false),
    (RHEL, "registry.access.redhat.com/rhel7/rhel", false),
    ("busybox", "busybox", false),
    ("busybox:latest", "busybox@D", false),
    ("busybox@D", "busybox:latest", true),
    ("busybox@D", "busybox@O", true),
    ("busybox:latest@D", "busybox:latest", false),
    ("busybox:latest@D", "busybox:notlatest", false),
    ("busybox:latest", "busybox:latest@D", false),
    ("busybox:latest@D", "busybox:latest@O", false),
    ("busybox:latest@D", "busybox:notlatest@O", false),
];

/// Checks a row, unless no image can have that name.
fn check(matches: &IdentityMatch, image: &str, signed: &str, expected: bool) {
    if let Ok(parsed) = Parsed::parse(&text(image)) {
        let got = matches.matches(Some(&parsed), &text(signed));
        assert_eq!(got, expected, "{matches:?}: {image} and {signed}");
    }
}

fn both_ways(
    table: &[(&'static str, &'static str, bool)],
    only: Option<bool>,
) -> Vec<(&'static str, &'static str, bool)> {
    let rows = table
        .iter()
        .filter(|row| only.is_none_or(|only| row.2 == only));
    rows.flat_map(|(a, b, expected)| [(*a, *b, *expected), (*b, *a, *expected)])
        .collect()
}

#[test]
fn exact_names() {
    for (image, signed, expected) in both_ways(EXACT, None) {
        check(&IdentityMatch::MatchExact, image, signed, expected);
        if let Ok(wanted) = Parsed::parse(&text(image)) {
            let exact = IdentityMatch::ExactReference(wanted);
            assert_eq!(
                exact.matches(None, &text(signed)),
                expected,
                "{image} and {signed}"
            );
        }
    }
}

#[test]
fn names_of_a_repository() {
    for (image, signed, expected) in both_ways(REPOSITORY, None) {
        check(&IdentityMatch::MatchRepository, image, signed, expected);
        if let Ok(wanted) = Parsed::parse(&text(image)) {
            let exact = IdentityMatch::ExactRepository(wanted.into_named());
            assert_eq!(
                exact.matches(None, &text(signed)),
                expected,
                "{image} and {signed}"
            );
        }
    }
}

/// What fits where a digest stands for its repository: all that is exact, nothing of another repository, and the rest.
fn digest_or_exact() -> Vec<(&'static str, &'static str, bool)> {
    let mut rows = both_ways(EXACT, Some(true));
    rows.extend(both_ways(REPOSITORY, Some(false)));
    rows.extend(DIGEST_OR_EXACT);
    rows
}

#[test]
fn a_digest_stands_for_its_repository() {
    for (image, signed, expected) in digest_or_exact() {
        check(
            &IdentityMatch::MatchRepoDigestOrExact,
            image,
            signed,
            expected,
        );
    }
}

#[test]
fn images_without_a_name_have_no_signature() {
    let remap = Remap::new("docker.io", "docker.io").unwrap();
    for matches in [
        IdentityMatch::MatchExact,
        IdentityMatch::MatchRepoDigestOrExact,
        IdentityMatch::MatchRepository,
        IdentityMatch::RemapIdentity(remap),
    ] {
        assert!(!matches.matches(None, ""));
        assert!(!matches.matches(None, "busybox:latest"));
    }
}

#[test]
fn remapped_names_are_matched_as_others() {
    for (image, signed, expected) in digest_or_exact() {
        let nothing = Remap::new("never.example", "never.example").unwrap();
        check(
            &IdentityMatch::RemapIdentity(nothing),
            image,
            signed,
            expected,
        );
        // The same image at a mirror.
        let Ok(parsed) = Parsed::parse(&text(image)) else {
            continue;
        };
        let domain = parsed.named().domain().to_owned();
        let mirrored = ["mirror.example", &parsed.to_string()[domain.len()..]].concat();
        let remap = Remap::new("mirror.example", &domain);
        let remap = IdentityMatch::RemapIdentity(remap.unwrap());
        let mirrored = Parsed::parse(&mirrored).unwrap();
        assert_eq!(
            remap.matches(Some(&mirrored), &text(signed)),
            expected,
            "{mirrored} and {signed}"
        );
    }
    for (prefix, signed_prefix, image, signed, expected) in [
        (
            "does-not-match.com",
            "does-not-match.rewritten",
            "busybox:latest",
            "busybox:latest",
            true,
        ),
        (
            "does-not-match.com",
            "does-not-match.rewritten",
            "busybox:latest",
            "notbusybox:latest",
            false,
        ),
        (
            "mirror.example",
            "public.com",
            "mirror.example/busybox:1",
            "public.com/busybox:1",
            true,
        ),
        (
            "mirror.example",
            "public.com",
            "mirror.example/busybox:1",
            "public.com/busybox:not1",
            false,
        ),
        (
            "mirror.example",
            "docker.io/library",
            "mirror.example/busybox:latest",
            "busybox:latest",
            true,
        ),
        (
            "mirror.example",
            "docker.io/library",
            "mirror.example/alpine:latest",
            "busybox:latest",
            false,
        ),
        (
            "docker.io/library",
            "original.com",
            "copied:latest",
            "original.com/copied:latest",
            true,
        ),
        (
            "docker.io/library",
            "original.com",
            "copied:latest",
            "original.com/ns/copied:latest",
            false,
        ),
        (
            "busybox",
            "example.com/busybox",
            "busybox:latest",
            "example.com/busybox:latest",
            false,
        ),
        (
            "docker.io/library/busybox",
            "busybox",
            "docker.io/library/busybox:latest",
            "busybox:latest",
            false,
        ),
    ] {
        let remap = Remap::new(prefix, signed_prefix).unwrap();
        check(
            &IdentityMatch::RemapIdentity(remap),
            image,
            signed,
            expected,
        );
    }
}

#[test]
fn prefixes_cover_whole_components() {
    for (reference, prefix, expected) in [
        ("docker.io/image", "docker.io", true),
        ("docker.io/image", "example.com", false),
        ("example.com:5000/image", "example.com:5000", true),
        ("example.com:50000/image", "example.com:5000", false),
        ("example.com:5000/image", "example.com", false),
        ("example.com/foo", "example.com", true),
        ("example.com/foo/bar", "example.com", true),
        ("example.com/foo/bar:baz", "example.com", true),
        ("example.com/foo/bar@D", "example.com", true),
        ("docker.io/ns/image", "docker.io/library", false),
        ("example.com/library", "docker.io/library", false),
        ("docker.io/libraryy/image", "docker.io/library", false),
        ("docker.io/library/busybox", "docker.io/library", true),
        ("example.com/ns/image", "example.com/ns", true),
        ("example.com/ns2/image", "example.com/ns", false),
        ("example.com/n2/image", "example.com/ns", false),
        ("example.com", "example.com/library/busybox", false),
        ("example.com:5000/ns/image", "example.com/ns", false),
        ("example.com/ns/image", "example.com:5000/ns", false),
        (
            "docker.io/library/busybox",
            "docker.io/library/busybox",
            true,
        ),
        (
            "example.com/library/busybox",
            "docker.io/library/busybox",
            false,
        ),
        (
            "docker.io/library/busybox2",
            "docker.io/library/busybox",
            false,
        ),
        ("example.com/ns/image", "example.com/ns/image", true),
        ("example.com/ns/imag2", "example.com/ns/image", false),
        ("example.com/ns/imagee", "example.com/ns/image", false),
        ("example.com:5000/ns/image", "example.com/ns/image", false),
        ("example.com/ns/image", "example.com:5000/ns/image", false),
        ("example.com/ns/image:tag", "example.com/ns/image", true),
        ("example.com/ns/image@D", "example.com/ns/image", true),
        ("example.com/ns/image:tag@D", "example.com/ns/image", true),
    ] {
        let remap = Remap::new(prefix, "docker.io/library/signed-prefix").unwrap();
        let reference = Parsed::parse(&text(reference)).unwrap();
        assert_eq!(
            remap.covers(&reference),
            expected,
            "{reference} under {prefix}"
        );
    }
}

#[test]
fn prefixes_are_replaced() {
    for (prefix, signed_prefix, reference, expected) in [
        (
            "mirror.example",
            "vendor.example",
            "mirror.example/ns/image:tag",
            Some("vendor.example/ns/image:tag"),
        ),
        (
            "mirror.example",
            "vendor.example",
            "different.com/ns/image:tag",
            Some("different.com/ns/image:tag"),
        ),
        (
            "mirror.example/ns",
            "vendor.example/vendor-ns",
            "mirror.example/different-ns/image:tag",
            Some("mirror.example/different-ns/image:tag"),
        ),
        (
            "docker.io",
            "not-docker-signed.example/ns",
            "busybox",
            Some("not-docker-signed.example/ns/library/busybox"),
        ),
        (
            "example.com/mirror",
            "example.com/vendor",
            "example.com/mirror/image:tag",
            Some("example.com/vendor/image:tag"),
        ),
        (
            "example.com/ns/mirror",
            "example.com/ns/vendor",
            "example.com/ns/mirror:tag",
            Some("example.com/ns/vendor:tag"),
        ),
        (
            "mirror.example",
            "vendor.example",
            "prefixmirror.example/ns/image:tag",
            Some("prefixmirror.example/ns/image:tag"),
        ),
        (
            "docker.io",
            "not-docker-signed.example",
            "busybox",
            Some("not-docker-signed.example/library/busybox"),
        ),
        (
            "docker.io/library",
            "not-docker-signed.example/ns",
            "busybox",
            Some("not-docker-signed.example/ns/busybox"),
        ),
        (
            "docker.io/library/busybox",
            "not-docker-signed.example/ns/notbusybox",
            "busybox",
            Some("not-docker-signed.example/ns/notbusybox"),
        ),
        (
            "mirror.example",
            "vendor.example",
            "mirror.example/image",
            Some("vendor.example/image"),
        ),
        (
            "mirror.example",
            "vendor.example",
            "mirror.example/image:tag",
            Some("vendor.example/image:tag"),
        ),
        (
            "mirror.example",
            "vendor.example",
            "mirror.example/image@D",
            Some("vendor.example/image@D"),
        ),
        (
            "mirror.example",
            "vendor.example",
            "mirror.example/image:tag@D",
            Some("vendor.example/image:tag@D"),
        ),
        // No reference results, or one that would be read as one of Docker Hub.
        (
            "mirror.example/ns/image",
            "vendor.example:5000",
            "mirror.example/ns/image:tag",
            None,
        ),
        (
            "mirror.example/ns/image",
            "vendor.example:5000",
            "mirror.example/ns/image@D",
            None,
        ),
        (
            "mirror.example/ns/image",
            "notlocalhost",
            "mirror.example/ns/image:tag",
            None,
        ),
    ] {
        let remap = Remap::new(prefix, signed_prefix).unwrap();
        let reference = Parsed::parse(&text(reference)).unwrap();
        let got = remap
            .rewrite(&reference)
            .ok()
            .map(|rewritten| rewritten.to_string());
        assert_eq!(got, expected.map(text), "{reference} under {prefix}");
    }
}

#[test]
fn prefixes_are_registries_or_namespaces() {
    for prefix in [
        "localhost",
        "example.com",
        "example.com:80",
        "example.com/repo",
        "example.com/ns1/ns2/ns3/repo.with.dots-dashes_underscores",
        "example.com:80/ns1/ns2/ns3/repo.with.dots-dashes_underscores",
        // Of no use, and accepted by containers/image.
        "shortname",
        "ns/shortname",
    ] {
        assert!(Remap::new(prefix, "docker.io").is_ok(), "{prefix}");
        assert!(Remap::new("docker.io", prefix).is_ok(), "{prefix}");
    }
    for prefix in [
        "",
        "repo_with_underscores",
        "example.com/",
        "example.com/UPPERCASEISINVALID",
        "example.com/repo/",
        "example.com/repo:tag",
        "example.com/repo@D",
        "example.com/repo:tag@D",
    ] {
        assert!(Remap::new(&text(prefix), "docker.io").is_err(), "{prefix}");
        assert!(Remap::new("docker.io", &text(prefix)).is_err(), "{prefix}");
    }
}

#[test]
fn identity_matches_are_read_strictly() {
    let read = |value: &Value| document::identity_match(&value.to_string(), "");
    for (valid, edits) in [
        (json!({"type": "matchExact"}), vec![]),
        (json!({"type": "matchRepoDigestOrExact"}), vec![]),
        (json!({"type": "matchRepository"}), vec![]),
        (
            json!({"type": "exactReference", "dockerReference": "library/busybox:latest"}),
            vec![
                json!({"dockerReference": null}),
                json!({"dockerReference": 1}),
                json!({"dockerReference": ""}),
                json!({"dockerReference": "INVALIDUPPERCASE:latest"}),
                json!({"dockerReference": "library/busybox"}),
            ],
        ),
        (
            json!({"type": "exactRepository", "dockerRepository": "library/busybox:latest"}),
            vec![
                json!({"dockerRepository": null}),
                json!({"dockerRepository": 1}),
                json!({"dockerRepository": ""}),
                json!({"dockerRepository": "INVALIDUPPERCASE"}),
            ],
        ),
        (
            json!({"type": "remapIdentity", "prefix": "example.com/docker-library", "signedPrefix": "docker.io/library"}),
            vec![
                json!({"prefix": null}),
                json!({"prefix": 1}),
                json!({"prefix": "this is invalid"}),
                json!({"signedPrefix": null}),
                json!({"signedPrefix": 1}),
                json!({"signedPrefix": "this is invalid"}),
            ],
        ),
    ] {
        read(&valid).unwrap();
        for edit in edits.iter().chain(&common()) {
            assert!(read(&edited(&valid, edit)).is_err(), "{valid} with {edit}");
        }
        for key in valid.as_object().unwrap().keys() {
            assert!(
                document::identity_match(&doubled(&valid, key), "").is_err(),
                "{key}"
            );
        }
    }
}
