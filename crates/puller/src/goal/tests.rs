#![allow(clippy::too_many_lines, reason = "tables")]

use super::*;
use crate::{
    registries::RegistriesConf,
    short_names::{self, Lookup},
};

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A table writes `@D` for a digest and `@ID` for an image id.
fn full(text: &str) -> String {
    let digest = ["@sha256:", ID].concat();
    text.replace("@ID", &["@", ID].concat())
        .replace("@D", &digest)
}

fn source(name: &str) -> ImageName {
    ImageName::parse(&full(name)).unwrap()
}

#[test]
fn names_are_taken_apart() {
    for (name, registry, path, tag) in [
        (
            "docker.io/library/busybox",
            Some("docker.io"),
            "library/busybox",
            "latest",
        ),
        (
            "example.com/ns/busybox",
            Some("example.com"),
            "ns/busybox",
            "latest",
        ),
        ("busybox", None, "busybox", "latest"),
        ("ns/busybox", None, "ns/busybox", "latest"),
        (
            "example.com/ns/busybox:notlatest",
            Some("example.com"),
            "ns/busybox",
            "notlatest",
        ),
        (
            "example.com/ns/busybox@D",
            Some("example.com"),
            "ns/busybox",
            "none",
        ),
        (
            "example.com/ns/busybox:notlatest@D",
            Some("example.com"),
            "ns/busybox",
            "notlatest",
        ),
    ] {
        let parts = decompose(&full(name)).unwrap();
        assert_eq!(
            (parts.registry(), parts.name(), parts.search_tag()),
            (registry, path, tag)
        );
        assert_eq!(base_name(&full(name)).unwrap(), "busybox");
    }
    assert!(decompose("#").is_err());
}

#[test]
fn names_get_a_registry() {
    for (name, hub, other) in [
        (
            "busybox",
            "docker.io/library/busybox",
            "example.com/busybox",
        ),
        (
            "ns/busybox",
            "docker.io/ns/busybox",
            "example.com/ns/busybox",
        ),
        (
            "ns/busybox:notlatest",
            "docker.io/ns/busybox:notlatest",
            "example.com/ns/busybox:notlatest",
        ),
        (
            "ns/busybox@D",
            "docker.io/ns/busybox@D",
            "example.com/ns/busybox@D",
        ),
        (
            "ns/busybox:notlatest@D",
            "docker.io/ns/busybox:notlatest@D",
            "example.com/ns/busybox:notlatest@D",
        ),
    ] {
        let parts = decompose(&full(name)).unwrap();
        assert_eq!(
            parts.with_registry("docker.io").unwrap().to_string(),
            full(hub)
        );
        assert_eq!(
            parts.with_registry("example.com").unwrap().to_string(),
            full(other)
        );
        assert!(matches!(parts.normalized(), Err(Error::NoRegistry(_))));
    }
    let qualified = decompose("example.com/ns/busybox").unwrap();
    assert!(matches!(
        qualified.with_registry("docker.io"),
        Err(Error::HasRegistry(_))
    ));
    let busybox = decompose("busybox").unwrap();
    assert!(matches!(
        busybox.with_registry("invalid@domain"),
        Err(Error::Reference { .. })
    ));
}

#[test]
fn names_with_a_registry_are_normalised() {
    for (name, expected) in [
        ("docker.io/busybox", "docker.io/library/busybox"),
        ("example.com/busybox", "example.com/busybox"),
        ("docker.io/ns/busybox", "docker.io/ns/busybox"),
        ("example.com/ns/busybox", "example.com/ns/busybox"),
        (
            "example.com/ns/busybox:notlatest",
            "example.com/ns/busybox:notlatest",
        ),
        ("example.com/ns/busybox@D", "example.com/ns/busybox@D"),
        (
            "example.com/ns/busybox:notlatest@D",
            "example.com/ns/busybox:notlatest@D",
        ),
    ] {
        let parts = decompose(&full(name)).unwrap();
        assert_eq!(parts.normalized().unwrap().to_string(), full(expected));
    }
}

#[test]
fn tags_are_normalised_in_both_ways() {
    for (name, older, newer) in [
        (
            "example.com/busybox",
            "example.com/busybox:latest",
            "example.com/busybox:latest",
        ),
        (
            "example.com/busybox:notlatest",
            "example.com/busybox:notlatest",
            "example.com/busybox:notlatest",
        ),
        (
            "example.com/busybox@D",
            "example.com/busybox@D",
            "example.com/busybox@D",
        ),
        (
            "example.com/busybox:notlatest@D",
            "example.com/busybox:notlatest@D",
            "example.com/busybox@D",
        ),
        (
            "busybox:latest",
            "localhost/busybox:latest",
            "localhost/busybox:latest",
        ),
        (
            "busybox:latest@D",
            "localhost/busybox:latest@D",
            "localhost/busybox@D",
        ),
        (
            "localhost/busybox",
            "localhost/busybox:latest",
            "localhost/busybox:latest",
        ),
        (
            "ns/busybox:latest",
            "localhost/ns/busybox:latest",
            "localhost/ns/busybox:latest",
        ),
        (
            "docker.io/busybox:latest",
            "docker.io/library/busybox:latest",
            "docker.io/library/busybox:latest",
        ),
    ] {
        assert_eq!(
            normalized_tag(&full(name)).unwrap().to_string(),
            full(older)
        );
        assert_eq!(
            normalize_name(&full(name)).unwrap().to_string(),
            full(newer)
        );
    }
    assert!(normalized_tag("#").is_err());
    assert!(normalize_name("#").is_err());
}

#[test]
fn a_digest_leaves_the_tag_out() {
    for (name, expected) in [
        ("fedora", Some("fedora")),
        ("fedora:tag", Some("fedora:tag")),
        ("fedora@D", Some("fedora@D")),
        ("fedora:latest@D", Some("fedora@D")),
        ("repo/fedora:123456@D", Some("repo/fedora@D")),
        ("quay.io/repo/fedora:tag@D", Some("quay.io/repo/fedora@D")),
        ("localhost/fedora:anothertag@D", Some("localhost/fedora@D")),
        (
            "localhost:5000/fedora:v1.2.3.4.5@D",
            Some("localhost:5000/fedora@D"),
        ),
        ("$$garbage", None),
        ("@D", None),
        ("docker://fedora:latest", None),
        ("docker://fedora:latest@D", None),
    ] {
        let got = strip_tag_of_digest(&full(name)).ok();
        assert_eq!(got.map(|raw| raw.to_string()), expected.map(full), "{name}");
    }
}

#[test]
fn pairs_have_a_name_for_people_and_one_to_keep() {
    let dir = "dir:/dev/this-does-not-exist";
    for (from, name, image, kept) in [
        (
            dir,
            "example.com/from",
            "example.com/from",
            "example.com/from:latest",
        ),
        (dir, "from", "localhost/from", "localhost/from:latest"),
        (
            dir,
            "example.com/from:notlatest",
            "example.com/from:notlatest",
            "example.com/from:notlatest",
        ),
        (
            dir,
            "from:notlatest",
            "localhost/from:notlatest",
            "localhost/from:notlatest",
        ),
        (dir, "from@D", "localhost/from@D", "localhost/from@D"),
        (
            dir,
            "example.com/from@D",
            "example.com/from@D",
            "example.com/from@D",
        ),
        (
            dir,
            "ns/from:notlatest",
            "localhost/ns/from:notlatest",
            "localhost/ns/from:notlatest",
        ),
        (dir, "@ID", "@ID", "@ID"),
        // The reference of the source comes first.
        (
            "docker://example.com/busybox:source",
            "docker://example.com/busybox:destination",
            "docker://example.com/busybox:destination",
            "example.com/busybox:source",
        ),
        (
            "docker://busybox",
            "docker://busybox:destination",
            "docker://busybox:destination",
            "docker.io/library/busybox:latest",
        ),
    ] {
        let pair = Pair::new(source(from), &full(name)).unwrap();
        assert_eq!(pair.image, full(image));
        assert_eq!(pair.source, source(from));
        assert_eq!(pair.destination.to_string(), full(kept));
    }
    let refused = Pair::new(source(dir), "tarball:/dev/null").unwrap_err();
    assert_eq!(
        refused.to_string(),
        "error parsing dest reference name \"tarball:/dev/null\""
    );
}

fn goal(name: &str, contents: &Contents<'_>) -> Result<(Vec<(String, String)>, bool), Error> {
    let goal = Goal::from_image_name(&source(name), name, contents)?;
    assert_eq!(goal.searched, None);
    assert!(goal.pairs.iter().all(|pair| pair.source == source(name)));
    let pairs = goal
        .pairs
        .iter()
        .map(|pair| (pair.image.clone(), pair.destination.to_string()));
    Ok((pairs.collect(), goal.all))
}

#[test]
fn archives_are_copied_once_for_each_tag() {
    let tags = |tags: &[&str]| tags.iter().map(|tag| (*tag).to_owned()).collect::<Vec<_>>();
    let twice = |name: &str| (name.to_owned(), name.to_owned());
    let archive = "docker-archive:image.tar";
    assert_eq!(
        goal(archive, &Contents::image_id(ID)),
        Ok((vec![twice(&full("@ID"))], false))
    );
    for (given, expected) in [
        (
            &["pretty-empty:latest"][..],
            &["localhost/pretty-empty:latest"][..],
        ),
        (&["example.com/empty:latest"], &["example.com/empty:latest"]),
        (
            &["pretty-empty:latest", "example.com/empty:latest"],
            &["localhost/pretty-empty:latest", "example.com/empty:latest"],
        ),
    ] {
        let expected = expected.iter().map(|name| twice(name)).collect();
        assert_eq!(
            goal(archive, &Contents::tags(&tags(given))),
            Ok((expected, true))
        );
    }
    assert_eq!(goal(archive, &Contents::default()), Err(Error::NoImageId));
    let archive = "oci-archive:image.tar";
    assert_eq!(
        goal(archive, &Contents::image_id(ID)),
        Ok((vec![twice(&full("@ID"))], false))
    );
    for (given, expected) in [
        ("pretty-empty:latest", "localhost/pretty-empty:latest"),
        ("example.com/empty:latest", "example.com/empty:latest"),
    ] {
        assert_eq!(
            goal(archive, &Contents::ref_name(given)),
            Ok((vec![twice(expected)], false))
        );
    }
    assert!(matches!(
        goal(archive, &Contents::ref_name("UPPERCASE_IS_INVALID:1")),
        Err(Error::Destination { .. })
    ));
    let unnamed = Contents {
        ref_name: Some(""),
        ..Contents::image_id(ID)
    };
    assert_eq!(
        goal(archive, &unnamed),
        Ok((vec![twice(&full("@ID"))], false))
    );
}

#[test]
fn folders_and_references_are_one_pair() {
    for (name, image, kept) in [
        (
            "dir:/dev/this-does-not-exist",
            "localhost/dev/this-does-not-exist",
            "localhost/dev/this-does-not-exist:latest",
        ),
        (
            "dir:this-does-not-exist",
            "localhost/this-does-not-exist",
            "localhost/this-does-not-exist:latest",
        ),
        (
            "dir:testdata/this-does-not-exist",
            "localhost/testdata/this-does-not-exist",
            "localhost/testdata/this-does-not-exist:latest",
        ),
        (
            "docker://docker.io/library/busybox:latest",
            "docker://docker.io/library/busybox:latest",
            "docker.io/library/busybox:latest",
        ),
        (
            "docker://busybox",
            "docker://busybox",
            "docker.io/library/busybox:latest",
        ),
    ] {
        let pair = (image.to_owned(), kept.to_owned());
        assert_eq!(goal(name, &Contents::default()), Ok((vec![pair], false)));
    }
    // A layout without its own rule is named as it was given, which is no reference.
    assert!(matches!(
        goal("oci:/layout:x", &Contents::default()),
        Err(Error::Destination { .. })
    ));
}

#[test]
fn names_without_a_registry_are_searched_for() {
    let registries = ["example.com", "docker.io"].map(str::to_owned);
    let check = |name: &str, expected: &[[&str; 3]], searched: Option<&[String]>| {
        let goal = Goal::from_name(&full(name), &registries).unwrap();
        let pairs = goal.pairs.iter();
        let got: Vec<[String; 3]> = pairs
            .map(|p| {
                [
                    p.image.clone(),
                    p.source.to_string(),
                    p.destination.to_string(),
                ]
            })
            .collect();
        let expected: Vec<[String; 3]> = expected.iter().map(|row| row.map(full)).collect();
        assert_eq!(got, expected);
        assert!(!goal.all);
        assert_eq!(goal.searched.as_deref(), searched);
    };
    for (name, row) in [
        (
            "docker.io/library/busybox",
            [
                "docker.io/library/busybox",
                "docker://busybox:latest",
                "docker.io/library/busybox:latest",
            ],
        ),
        (
            "docker.io/busybox",
            [
                "docker.io/busybox",
                "docker://busybox:latest",
                "docker.io/library/busybox:latest",
            ],
        ),
        (
            "example.com/ns/busybox",
            [
                "example.com/ns/busybox",
                "docker://example.com/ns/busybox:latest",
                "example.com/ns/busybox:latest",
            ],
        ),
        (
            "example.com/ns/busybox:notlatest",
            [
                "example.com/ns/busybox:notlatest",
                "docker://example.com/ns/busybox:notlatest",
                "example.com/ns/busybox:notlatest",
            ],
        ),
        (
            "example.com/ns/busybox@D",
            [
                "example.com/ns/busybox@D",
                "docker://example.com/ns/busybox@D",
                "example.com/ns/busybox@D",
            ],
        ),
    ] {
        check(name, &[row], None);
    }
    for (name, rows) in [
        (
            "busybox",
            [
                [
                    "example.com/busybox",
                    "docker://example.com/busybox:latest",
                    "example.com/busybox:latest",
                ],
                [
                    "docker.io/library/busybox",
                    "docker://busybox:latest",
                    "docker.io/library/busybox:latest",
                ],
            ],
        ),
        (
            "ns/busybox",
            [
                [
                    "example.com/ns/busybox",
                    "docker://example.com/ns/busybox:latest",
                    "example.com/ns/busybox:latest",
                ],
                [
                    "docker.io/ns/busybox",
                    "docker://ns/busybox:latest",
                    "docker.io/ns/busybox:latest",
                ],
            ],
        ),
        (
            "busybox:notlatest",
            [
                [
                    "example.com/busybox:notlatest",
                    "docker://example.com/busybox:notlatest",
                    "example.com/busybox:notlatest",
                ],
                [
                    "docker.io/library/busybox:notlatest",
                    "docker://busybox:notlatest",
                    "docker.io/library/busybox:notlatest",
                ],
            ],
        ),
        (
            "busybox@D",
            [
                [
                    "example.com/busybox@D",
                    "docker://example.com/busybox@D",
                    "example.com/busybox@D",
                ],
                [
                    "docker.io/library/busybox@D",
                    "docker://busybox@D",
                    "docker.io/library/busybox@D",
                ],
            ],
        ),
    ] {
        check(name, &rows, Some(&registries));
    }
    for name in [
        "#",
        "example.com/ns/busybox:notlatest@D",
        "busybox:notlatest@D",
    ] {
        assert!(Goal::from_name(&full(name), &registries).is_err(), "{name}");
    }
}

#[test]
fn resolved_short_names_are_tried_in_their_order() {
    let registries = RegistriesConf::parse(
        "unqualified-search-registries = [\"quay.io\", \"docker.io\"]",
        "",
    )
    .unwrap();
    let resolved = short_names::resolve("app:1", &Lookup::new(&registries)).unwrap();
    let goal = Goal::from_short_name(&resolved).unwrap();
    let images: Vec<&str> = goal.pairs.iter().map(|pair| pair.image.as_str()).collect();
    assert_eq!(images, ["quay.io/app:1", "docker.io/library/app:1"]);
    assert!(!goal.all);
}

#[test]
fn every_tag_is_copied() {
    let repository = Parsed::parse("app:ignored").unwrap();
    let tags = ["1", "2"].map(|tag| Tag::parse(tag).unwrap());
    let goal = Goal::all_tags(&repository, &tags).unwrap();
    let kept: Vec<String> = goal
        .pairs
        .iter()
        .map(|pair| pair.destination.to_string())
        .collect();
    assert_eq!(kept, ["docker.io/library/app:1", "docker.io/library/app:2"]);
    assert!(goal.all);
}

#[test]
fn a_failure_says_what_was_tried() {
    let registries = ["example.com", "docker.io"].map(str::to_owned);
    let text = |goal: &Goal, errors: &[&str]| {
        let errors: Vec<String> = errors.iter().map(|e| (*e).to_owned()).collect();
        goal.failure(errors).to_string()
    };
    let full_name = Goal::from_name("example.com/app", &registries).unwrap();
    assert_eq!(full_name.failure(vec!["denied"]), Failure::First("denied"));
    assert_eq!(text(&full_name, &["denied"]), "unable to pull image");
    assert_eq!(
        text(&full_name, &[]),
        "unable to pull image, or you do not have pull access"
    );
    let short = Goal::from_name("app", &registries).unwrap();
    assert_eq!(
        text(&short, &["a", "b"]),
        "2 errors occurred:\n\t* a\n\t* b\n\n"
    );
    assert_eq!(text(&short, &["a"]), "1 error occurred:\n\t* a\n\n");
    let nowhere = Goal::from_name("app", &[]).unwrap();
    assert_eq!(
        text(&nowhere, &[]),
        "image name provided is a short name and no search registries are defined in the registries config file."
    );
}

#[test]
fn labels_are_compared_without_case() {
    for (labels, wanted, expected) in [
        (&["Maintainer", "run"][..], "RUN", true),
        (&["Maintainer"], "maintainer", true),
        (&["Maintainer"], "main", false),
        (&[], "run", false),
    ] {
        assert_eq!(has_label(labels.iter().copied(), wanted), expected);
    }
    assert_eq!(
        no_label("quay.io/app:1", "run"),
        "quay.io/app:1 has no label run"
    );
}

#[test]
fn the_name_of_containerd_comes_first() {
    let of = |set: &[(&str, &'static str)]| {
        name_from_annotations(|key| set.iter().find(|(k, _)| *k == key).map(|(_, v)| *v))
    };
    let (containerd, oci) = (
        "io.containerd.image.name",
        "org.opencontainers.image.ref.name",
    );
    assert_eq!(of(&[(containerd, "a"), (oci, "b")]), Some("a"));
    assert_eq!(of(&[(containerd, ""), (oci, "b")]), Some("b"));
    assert_eq!(of(&[(oci, "")]), None);
    assert_eq!(of(&[]), None);
}
