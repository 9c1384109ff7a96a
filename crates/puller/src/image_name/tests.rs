#![allow(clippy::too_many_lines, reason = "tables")]

use std::fs;

use longshore_reference::Parsed;

use super::*;

const DIGEST: &str = "@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A table writes `@D` for a digest.
fn full(text: &str) -> String {
    text.replace("@D", DIGEST)
}

fn docker(text: &str) -> Result<(String, bool), Error> {
    let name = DockerName::parse(&full(text))?;
    Ok((name.reference().to_string(), name.is_unknown_digest()))
}

#[test]
fn names_need_a_known_transport() {
    for (name, expected) in [
        (
            "",
            "invalid image name \"\", expected colon-separated transport:reference",
        ),
        (
            "busybox",
            "invalid image name \"busybox\", expected colon-separated transport:reference",
        ),
        (
            ":busybox",
            "invalid image name \":busybox\", unknown transport \"\"",
        ),
        ("docker:", "docker: image reference  does not start with //"),
        (
            "busybox:latest",
            "invalid image name \"busybox:latest\", unknown transport \"busybox\"",
        ),
    ] {
        assert_eq!(ImageName::parse(name).unwrap_err().to_string(), expected);
    }
}

#[test]
fn transports_that_are_not_supported_are_refused_by_name() {
    for transport in [
        "atomic",
        "containers-storage",
        "docker-daemon",
        "ostree",
        "sif",
        "tarball",
    ] {
        let name = format!("{transport}:/x");
        assert_eq!(
            ImageName::parse(&name).unwrap_err().to_string(),
            format!("invalid image name {name:?}, transport {transport} is not supported")
        );
        assert!(!Transport::of_name(transport).unwrap().is_supported());
    }
}

#[test]
fn the_transport_stands_before_the_colon() {
    assert_eq!(
        Transport::of_image_name("dir:/tmp/test"),
        Some(Transport::Dir)
    );
    assert_eq!(Transport::of_image_name("unknown:ref:test"), None);
    assert_eq!(Transport::of_image_name("unknown"), None);
}

#[test]
fn names_are_printed_as_they_are_read() {
    for (name, expected) in [
        ("dir:/etc", "dir:/etc"),
        ("docker://busybox", "docker://busybox:latest"),
        ("docker://busybox:notlatest", "docker://busybox:notlatest"),
        ("docker://busybox@D", "docker://busybox@D"),
        (
            "docker://docker.io/library/busybox:latest",
            "docker://busybox:latest",
        ),
        (
            "docker://example.com/ns/foo:bar",
            "docker://example.com/ns/foo:bar",
        ),
        (
            "docker://example.com/ns/busybox@@unknown-digest@@",
            "docker://example.com/ns/busybox@@unknown-digest@@",
        ),
        (
            "docker://busybox@@unknown-digest@@",
            "docker://busybox@@unknown-digest@@",
        ),
        // In short it would be read as the name of another registry.
        ("docker://docker.io/a.b/c:1", "docker://docker.io/a.b/c:1"),
        (
            "docker-archive:/var/lib/oci/busybox.tar:busybox:latest",
            "docker-archive:/var/lib/oci/busybox.tar:docker.io/library/busybox:latest",
        ),
        (
            "docker-archive:busybox.tar:busybox:latest",
            "docker-archive:busybox.tar:docker.io/library/busybox:latest",
        ),
        ("docker-archive:/pathonly", "docker-archive:/pathonly"),
        (
            "docker-archive:/path:example.com/ns/foo:bar",
            "docker-archive:/path:example.com/ns/foo:bar",
        ),
        ("docker-archive:/path:@0", "docker-archive:/path:@0"),
        (
            "docker-archive:/path:@999999",
            "docker-archive:/path:@999999",
        ),
        ("oci:/etc:someimage", "oci:/etc:someimage"),
        ("oci:/etc:someimage:mytag", "oci:/etc:someimage:mytag"),
        ("oci:/dir3:", "oci:/dir3:"),
        ("oci:/dir3", "oci:/dir3:"),
        ("oci:/dir4:@1", "oci:/dir4:@1"),
        ("oci-archive:/etc:someimage", "oci-archive:/etc:someimage"),
        (
            "oci-archive:/etc:someimage:mytag",
            "oci-archive:/etc:someimage:mytag",
        ),
        ("oci-archive:/etc", "oci-archive:/etc:"),
    ] {
        let read = ImageName::parse(&full(name)).unwrap();
        assert_eq!(read.to_string(), full(expected));
        assert_eq!(ImageName::parse(&read.to_string()).unwrap(), read);
    }
}

#[test]
fn references_of_registries_have_a_tag_or_a_digest() {
    for (text, expected) in [
        ("//busybox:notlatest", "docker.io/library/busybox:notlatest"),
        ("//busybox@D", "docker.io/library/busybox@D"),
        ("//busybox", "docker.io/library/busybox:latest"),
        (
            "//docker.io/library/busybox:latest",
            "docker.io/library/busybox:latest",
        ),
    ] {
        assert_eq!(docker(text), Ok((full(expected), false)));
    }
    for (text, expected) in [
        ("//busybox@@unknown-digest@@", "docker.io/library/busybox"),
        (
            "//example.com/ns/busybox@@unknown-digest@@",
            "example.com/ns/busybox",
        ),
    ] {
        assert_eq!(docker(text), Ok((expected.to_owned(), true)));
    }
    assert!(matches!(docker("busybox"), Err(Error::NoSlashes(_))));
    assert_eq!(docker("//busybox:latest@D"), Err(Error::TagAndDigest));
    assert!(matches!(
        docker("//UPPERCASEISINVALID"),
        Err(Error::Reference { .. })
    ));
    for text in [
        "//example.com/ns/busybox:tag1@@unknown-digest@@",
        "//example.com/ns/busybox@D@@unknown-digest@@",
    ] {
        assert!(
            matches!(docker(text), Err(Error::UnknownDigest(_))),
            "{text}"
        );
    }
    let parsed = |text| Parsed::parse(&full(text)).unwrap();
    assert!(matches!(
        DockerName::new(parsed("busybox")),
        Err(Error::NameOnly(_))
    ));
    assert_eq!(
        DockerName::new(parsed("busybox:notlatest@D")),
        Err(Error::TagAndDigest)
    );
    assert!(matches!(
        DockerName::unknown_digest(parsed("busybox:1")),
        Err(Error::UnknownDigest(_))
    ));
}

#[test]
fn archives_have_images_by_tag_or_by_place() {
    let tagged = |text: &str| ArchiveImage::Tagged(Parsed::parse(text).unwrap());
    for (text, image) in [
        ("/path", ArchiveImage::Only),
        (
            "/path:busybox:notlatest",
            tagged("docker.io/library/busybox:notlatest"),
        ),
        ("/path:busybox", tagged("docker.io/library/busybox:latest")),
        (
            "/path:docker.io/library/busybox:latest",
            tagged("docker.io/library/busybox:latest"),
        ),
        ("/path:@0", ArchiveImage::Index(0)),
        ("/path:@999999", ArchiveImage::Index(999_999)),
    ] {
        let name = ArchiveName::parse(text).unwrap();
        assert_eq!((name.path(), name.image()), ("/path", &image));
    }
    for text in [
        "",
        "/path:busybox@D",
        "/path:busybox:latest@D",
        "/path:UPPERCASEISINVALID",
        "/path:@",
        "/path:@-2",
        "/path:@-1",
        "/path:busybox@0",
        "/path:@0:busybox",
        "/path:",
    ] {
        assert!(ArchiveName::parse(&full(text)).is_err(), "{text}");
    }
    for path in ["relative", "/absolute"] {
        for image in [
            ArchiveImage::Only,
            tagged("busybox:notlatest"),
            ArchiveImage::Index(9_999_990),
        ] {
            assert!(ArchiveName::new(path, image).is_ok());
        }
        for reference in ["busybox:notlatest@D", "busybox@D", "busybox"] {
            assert!(ArchiveName::new(path, tagged(&full(reference))).is_err());
        }
    }
    assert!(matches!(
        ArchiveName::new("with:colon", ArchiveImage::Only),
        Err(Error::ColonInPath { .. })
    ));
}

#[test]
fn layouts_have_images_by_name_or_by_place() {
    for path in ["/", "/etc", "relativepath", "/tmp/thisdoesnotexist"] {
        for (suffix, image) in [
            (
                ":notlatest:image",
                LayoutImage::Named("notlatest:image".to_owned()),
            ),
            (":latestimage", LayoutImage::Named("latestimage".to_owned())),
            (":notlatest@1", LayoutImage::Named("notlatest@1".to_owned())),
            (":", LayoutImage::Only),
            ("", LayoutImage::Only),
            (":@0", LayoutImage::Index(0)),
            (":@10", LayoutImage::Index(10)),
            (":@999999", LayoutImage::Index(999_999)),
        ] {
            let read = ImageName::parse(&["oci:", path, suffix].concat()).unwrap();
            let ImageName::Oci(name) = &read else {
                panic!("{read}");
            };
            assert_eq!((name.path(), name.image()), (path, &image));
            let archive = ImageName::parse(&["oci-archive:", path, suffix].concat());
            match image {
                LayoutImage::Index(_) => assert!(archive.is_err(), "{suffix}"),
                LayoutImage::Only | LayoutImage::Named(_) => {
                    assert!(matches!(archive, Ok(ImageName::OciArchive(got)) if got == *name));
                }
            }
        }
    }
    for text in [
        "oci:/x:invalid'image!value@",
        "oci:/x:@-3",
        "oci:/x:@-5",
        "oci:/x:@invalidIndex",
        "oci-archive:/x:invalid'image!value@",
    ] {
        assert!(ImageName::parse(text).is_err(), "{text}");
    }
    assert!(matches!(
        LayoutName::new("/has:colon", LayoutImage::Only),
        Err(Error::ColonInPath { .. })
    ));
    assert!(LayoutName::new("/x", LayoutImage::Named("invalid'image!value@".to_owned())).is_err());
}

#[test]
fn the_grammar_of_names_in_a_layout() {
    for (name, expected) in [
        ("a", true),
        ("busybox:latest", true),
        ("example.com/ns/repo:1.2+x", true),
        ("a--b", true),
        ("a@sha256", true),
        ("A_b", true),
        ("", false),
        ("a/", false),
        ("/a", false),
        ("a//b", false),
        ("a-", false),
        ("-a", false),
        ("a---b", false),
        ("a..b", false),
        ("a__b", false),
        ("a b", false),
        ("ä", false),
    ] {
        assert_eq!(oci::is_image_name(name), expected, "{name}");
    }
}

#[test]
fn policies_know_images_of_registries_by_their_full_name() {
    for (name, namespaces) in [
        (
            "example.com/ns/repo",
            &[
                "example.com/ns/repo",
                "example.com/ns",
                "example.com",
                "*.com",
            ][..],
        ),
        (
            "example.com/repo",
            &["example.com/repo", "example.com", "*.com"],
        ),
        (
            "localhost/ns/repo",
            &["localhost/ns/repo", "localhost/ns", "localhost"],
        ),
        ("localhost/repo", &["localhost/repo", "localhost"]),
        (
            "notlocalhost/repo",
            &[
                "docker.io/notlocalhost/repo",
                "docker.io/notlocalhost",
                "docker.io",
                "*.io",
            ],
        ),
        (
            "docker.io/ns/repo",
            &["docker.io/ns/repo", "docker.io/ns", "docker.io", "*.io"],
        ),
        (
            "docker.io/library/repo",
            &[
                "docker.io/library/repo",
                "docker.io/library",
                "docker.io",
                "*.io",
            ],
        ),
        (
            "docker.io/repo",
            &[
                "docker.io/library/repo",
                "docker.io/library",
                "docker.io",
                "*.io",
            ],
        ),
        (
            "ns/repo",
            &["docker.io/ns/repo", "docker.io/ns", "docker.io", "*.io"],
        ),
        (
            "library/repo",
            &[
                "docker.io/library/repo",
                "docker.io/library",
                "docker.io",
                "*.io",
            ],
        ),
        (
            "repo",
            &[
                "docker.io/library/repo",
                "docker.io/library",
                "docker.io",
                "*.io",
            ],
        ),
        (
            "yet.another.example.com:8443/ns/repo",
            &[
                "yet.another.example.com:8443/ns/repo",
                "yet.another.example.com:8443/ns",
                "yet.another.example.com:8443",
                "*.another.example.com",
                "*.example.com",
                "*.com",
            ],
        ),
    ] {
        for suffix in [":tag", DIGEST] {
            let reference = Parsed::parse(&[name, suffix].concat()).unwrap();
            let identity = [namespaces[0], suffix].concat();
            assert_eq!(docker_identity(&reference), Ok(identity.clone()));
            assert_eq!(docker_namespaces(&reference), namespaces);
            let name = ImageName::Docker(DockerName::new(reference).unwrap());
            let known = name.identity().unwrap();
            assert_eq!(known.identity, identity);
            assert_eq!(known.namespaces, namespaces);
        }
    }
    let parsed = |text| Parsed::parse(&full(text)).unwrap();
    assert!(matches!(
        docker_identity(&parsed("busybox")),
        Err(Error::NameOnly(_))
    ));
    assert_eq!(
        docker_identity(&parsed("busybox:notlatest@D")),
        Err(Error::TagAndDigest)
    );
    let untagged = ImageName::parse("docker://busybox@@unknown-digest@@")
        .unwrap()
        .identity()
        .unwrap();
    assert_eq!(untagged.identity, "docker.io/library/busybox");
    assert_eq!(
        untagged.namespaces,
        ["docker.io/library", "docker.io", "*.io"]
    );
}

#[test]
fn policies_know_folders_by_their_path() {
    let of = |name: &str| {
        let name = ImageName::parse(name).unwrap();
        let identity = name.identity_with(|path| Ok(path.to_owned())).unwrap();
        (identity.identity, identity.namespaces)
    };
    let at = |identity: &str, namespaces: &[&str]| {
        let namespaces = namespaces
            .iter()
            .map(|n| (*n).to_owned())
            .collect::<Vec<_>>();
        (identity.to_owned(), namespaces)
    };
    assert_eq!(of("dir:/usr/share"), at("/usr/share", &["/usr"]));
    assert_eq!(of("dir:/"), at("/", &[]));
    for transport in ["oci", "oci-archive"] {
        assert_eq!(
            of(&format!("{transport}:/usr/share:x")),
            at("/usr/share", &["/usr/share", "/usr"])
        );
        assert_eq!(of(&format!("{transport}:/:x")), at("/", &[]));
    }
    for image in ["", ":busybox", ":@0"] {
        assert_eq!(of(&format!("docker-archive:/a/b.tar{image}")), at("", &[]));
    }
}

#[test]
fn explicit_paths_have_no_links() {
    let folder = tempfile::tempdir().unwrap();
    let root = fs::canonicalize(folder.path()).unwrap();
    fs::create_dir(root.join("real")).unwrap();
    std::os::unix::fs::symlink("real", root.join("link")).unwrap();
    std::os::unix::fs::symlink("nowhere", root.join("dangling")).unwrap();
    for (path, expected) in [
        ("real", Some("real")),
        ("real/.", Some("real")),
        ("link", Some("real")),
        ("link/../link/missing", Some("real/missing")),
        ("missing", Some("missing")),
        ("dangling", None),
        ("missing/deeper", None),
        ("missing/..", None),
    ] {
        let got = explicit_path(&root.join(path)).ok();
        assert_eq!(got, expected.map(|path| root.join(path)), "{path}");
    }
    let missing = root.join("missing/deeper");
    let name = ImageName::parse(&format!("dir:{}", missing.display())).unwrap();
    assert!(name.identity().is_err());
}

#[test]
fn scopes_fit_their_transport() {
    use Transport::{
        Atomic, ContainersStorage, Dir, Docker, DockerArchive, DockerDaemon, Oci, OciArchive,
        Ostree, Sif, Tarball,
    };
    let names = [
        "registry.example.com/ns/stream@D",
        "registry.example.com/ns/stream:notlatest",
        "registry.example.com/ns/stream",
        "registry.example.com/ns",
        "registry.example.com",
        "*.example.com",
        "*.com",
    ];
    for scope in names {
        for transport in [Docker, Atomic, DockerDaemon, Ostree] {
            assert!(
                validate_scope(transport, &full(scope)).is_ok(),
                "{transport} {scope}"
            );
        }
        for transport in [
            Dir,
            DockerArchive,
            Oci,
            OciArchive,
            Sif,
            Tarball,
            ContainersStorage,
        ] {
            assert!(
                validate_scope(transport, &full(scope)).is_err(),
                "{transport} {scope}"
            );
        }
    }
    for scope in [
        "registry.example.com/too/deep/hierarchy",
        "registry.example.com/ns/stream:tag1:tag2",
        "a/b:c/d",
    ] {
        assert!(validate_scope(Atomic, scope).is_err(), "{scope}");
    }
    let digest = DIGEST.trim_start_matches('@');
    assert!(validate_scope(DockerDaemon, digest).is_err());
    assert!(validate_scope(DockerDaemon, digest.trim_start_matches("sha256:")).is_ok());
    for transport in [Dir, Oci, OciArchive, Sif] {
        for scope in ["/etc", "/this/does/not/exist"] {
            assert!(
                validate_scope(transport, scope).is_ok(),
                "{transport} {scope}"
            );
        }
        for scope in [
            "relative/path",
            "/",
            "/double//slashes",
            "/has/./dot",
            "/has/dot/../dot",
            "/trailing/slash/",
        ] {
            assert!(
                validate_scope(transport, scope).is_err(),
                "{transport} {scope}"
            );
        }
    }
    for scope in ["[/storage]", "[overlay@/storage]docker.io/library"] {
        assert!(validate_scope(ContainersStorage, scope).is_ok(), "{scope}");
    }
    for scope in [
        "docker.io",
        "[]x",
        "[storage]",
        "[@/storage]",
        "[overlay@storage]",
        "[/storage",
    ] {
        assert!(validate_scope(ContainersStorage, scope).is_err(), "{scope}");
    }
    for transport in [Docker, Dir, DockerArchive, Tarball] {
        assert!(
            validate_scope(transport, "").is_ok(),
            "the default of {transport}"
        );
    }
}
