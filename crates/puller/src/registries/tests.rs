#![allow(clippy::too_many_lines, reason = "tables")]

use std::{fs, path::Path};

use longshore_reference::Parsed;

use super::*;

const DIGEST: &str = "@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

fn read(text: &str) -> RegistriesConf {
    RegistriesConf::parse(text, "base.conf").unwrap()
}

fn refusal(text: &str) -> Invalid {
    match RegistriesConf::parse(text, "base.conf") {
        Err(Error::Invalid { origin, source }) => {
            assert_eq!(origin, "base.conf");
            source
        }
        other => panic!("{text}: {other:?}"),
    }
}

fn locations(registries: &RegistriesConf) -> Vec<&str> {
    let registries = registries.registries().iter();
    registries.map(|r| r.endpoint.location.as_str()).collect()
}

#[test]
fn locations_lose_trailing_slashes_and_may_have_no_scheme() {
    for (text, expected) in [
        ("example.com", "example.com"),
        ("example.com/", "example.com"),
        ("example.com//////", "example.com"),
        ("example.com:5000/with/path", "example.com:5000/with/path"),
        ("john.doe@example.com", "john.doe@example.com"),
        ("", ""),
    ] {
        assert_eq!(document::location(text).unwrap(), expected);
    }
    for text in ["https://example.com", "http://example.com/"] {
        assert_eq!(
            document::location(text).unwrap_err().to_string(),
            format!("invalid location '{text}': URI schemes are not supported")
        );
    }
}

#[test]
fn prefixes_match_whole_components() {
    let digest = &["example.com/foo", DIGEST].concat();
    let other = &digest.replace('a', "b");
    let nested = &["example.com/foo/bar", DIGEST].concat();
    let table: &[(&str, &str, Option<&str>)] = &[
        // A host.
        ("docker.io", "docker.io", Some("docker.io")),
        ("docker.io", "example.com", None),
        (
            "example.com:5000",
            "example.com:5000",
            Some("example.com:5000"),
        ),
        ("example.com:50000", "example.com:5000", None),
        ("example.com:5000", "example.com", Some("example.com")),
        ("example.com/foo", "example.com", Some("example.com")),
        ("example.com/foo/bar", "example.com", Some("example.com")),
        (
            "example.com/foo/bar:baz",
            "example.com",
            Some("example.com"),
        ),
        (nested, "example.com", Some("example.com")),
        // A namespace or a repository.
        ("docker.io", "docker.io/library", None),
        (
            "docker.io/library",
            "docker.io/library",
            Some("docker.io/library"),
        ),
        ("example.com/library", "docker.io/library", None),
        ("docker.io/libraryy", "docker.io/library", None),
        (
            "docker.io/library/busybox",
            "docker.io/library",
            Some("docker.io/library"),
        ),
        ("docker.io", "docker.io/library/busybox", None),
        (
            "docker.io/library/busybox",
            "docker.io/library/busybox",
            Some("docker.io/library/busybox"),
        ),
        (
            "example.com/library/busybox",
            "docker.io/library/busybox",
            None,
        ),
        (
            "docker.io/library/busybox2",
            "docker.io/library/busybox",
            None,
        ),
        // One image.
        ("example.com", "example.com/foo:bar", None),
        ("example.com/foo", "example.com/foo:bar", None),
        (
            "example.com/foo:bar",
            "example.com/foo:bar",
            Some("example.com/foo:bar"),
        ),
        ("example.com/foo:bar2", "example.com/foo:bar", None),
        ("example.com", digest, None),
        ("example.com/foo", digest, None),
        (digest, digest, Some(digest)),
        (other, digest, None),
        ("example.com/foo", "*", None),
    ];
    for (reference, prefix, expected) in table {
        assert_eq!(
            matched(reference, prefix),
            expected.map(str::len),
            "{reference} under {prefix}"
        );
    }
}

#[test]
fn wildcards_match_subdomains_only() {
    let yet = &["yet.another.example.com/foo/bar", DIGEST].concat();
    let sub = &["yet.another.sub.example.com/foo/bar", DIGEST].concat();
    let deep = "another.example.com/namespace.com/foo/bar/bbq:baz";
    let table: &[(&str, &str, Option<&str>)] = &[
        ("docker.io", "*.io", Some("docker.io")),
        ("docker.io/foo", "*.com", None),
        ("example.com/foo", "*.co", None),
        ("example.com/foo", "*.example.com", None),
        ("example.com/foo", "*.com", Some("example.com")),
        ("example.com/foo:bar", "*.com", Some("example.com")),
        ("example.com/foo/bar:baz", "*.com", Some("example.com")),
        ("yet.another.example.com/foo", "**.example.com", None),
        (
            "yet.another.example.com/foo",
            "***.another.example.com",
            None,
        ),
        (
            "yet.another.example.com/foo",
            "**********.another.example.com",
            None,
        ),
        (
            "yet.another.example.com/foo/bar",
            "**********.another.example.com",
            None,
        ),
        (
            "yet.another.example.com/foo/bar",
            "*.another.example.com",
            Some("yet.another.example.com"),
        ),
        (deep, "*.example.com", Some("another.example.com")),
        (
            "example.net/namespace-ends-in.com/foo/bar/bbq:baz",
            "*.com",
            None,
        ),
        (deep, "*.namespace.com", None),
        ("sub.example.com/foo/bar", "*.com", Some("sub.example.com")),
        (
            "sub.example.com/foo/bar",
            "*.example.com",
            Some("sub.example.com"),
        ),
        (
            "another.sub.example.com/foo/bar/bbq:baz",
            "*.example.com",
            Some("another.sub.example.com"),
        ),
        (
            "another.sub.example.com/foo/bar/bbq:baz",
            "*.sub.example.com",
            Some("another.sub.example.com"),
        ),
        (yet, "*.example.com", Some("yet.another.example.com")),
        (
            sub,
            "*.sub.example.com",
            Some("yet.another.sub.example.com"),
        ),
    ];
    for (reference, prefix, expected) in table {
        assert_eq!(
            matched(reference, prefix),
            expected.map(str::len),
            "{reference} under {prefix}"
        );
    }
}

#[test]
fn references_are_rewritten_to_the_location() {
    let rows: &[[&str; 4]] = &[
        [
            "example.com/image",
            "example.com",
            "example.com",
            "example.com/image",
        ],
        [
            "example.com/image:latest",
            "example.com",
            "example.com",
            "example.com/image:latest",
        ],
        [
            "example.com:5000/image",
            "example.com:5000",
            "example.com:5000",
            "example.com:5000/image",
        ],
        [
            "example.com/foo@",
            "example.com",
            "example.com",
            "example.com/foo@",
        ],
        [
            "example.com/foo/image:latest",
            "example.com/foo",
            "example.com",
            "example.com/image:latest",
        ],
        [
            "example.com/foo/image:latest",
            "example.com/foo",
            "example.com/path",
            "example.com/path/image:latest",
        ],
        [
            "docker.io/library/image:latest",
            "docker.io",
            "docker.io",
            "docker.io/library/image:latest",
        ],
        [
            "docker.io/library/image",
            "docker.io/library",
            "example.com",
            "example.com/image",
        ],
        [
            "docker.io/library/image",
            "docker.io",
            "example.com",
            "example.com/library/image",
        ],
        [
            "docker.io/library/prefix/image",
            "docker.io/library/prefix",
            "example.com",
            "example.com/image",
        ],
        [
            "docker.io/namespace/image",
            "*.io",
            "example.com",
            "example.com/namespace/image",
        ],
        [
            "docker.io/library/prefix/image",
            "*.io",
            "example.com",
            "example.com/library/prefix/image",
        ],
        [
            "sub.example.io/library/prefix/image",
            "*.example.io",
            "example.com",
            "example.com/library/prefix/image",
        ],
        [
            "another.sub.example.io:5000/library/prefix/image:latest",
            "*.sub.example.io",
            "example.com",
            "example.com:5000/library/prefix/image:latest",
        ],
        [
            "foo.bar.io/ns1/ns2/ns3/ns4",
            "*.bar.io",
            "omg.bbq.com/roflmao",
            "omg.bbq.com/roflmao/ns1/ns2/ns3/ns4",
        ],
        // An empty location under a wildcard leaves the name as it is.
        [
            "abc.internal.registry.com/foo:bar",
            "*.internal.registry.com",
            "",
            "abc.internal.registry.com/foo:bar",
        ],
        [
            "blah.foo.bar.com/omg:bbq",
            "*.com",
            "",
            "blah.foo.bar.com/omg:bbq",
        ],
        [
            "alien.foobar.io:5000/omg",
            "*.foobar.io",
            "",
            "alien.foobar.io:5000/omg",
        ],
        [
            "alien.foobar.io:5000/foo@",
            "*.foobar.io",
            "",
            "alien.foobar.io:5000/foo@",
        ],
    ];
    for [reference, prefix, location, expected] in rows {
        let full = |text: &str| text.replace('@', DIGEST);
        let reference = Parsed::parse_canonical(&full(reference)).unwrap();
        let location = Location::new((*location).to_owned());
        let rewritten = location.rewrite(&reference, prefix).unwrap();
        assert_eq!(rewritten.to_string(), full(expected));
    }
}

#[test]
fn references_that_cannot_be_rewritten_are_refused() {
    for [reference, prefix, location] in [
        // No reference results.
        [
            "example.com/foo/image:latest",
            "example.com/foo",
            "example.com/path/",
        ],
        ["example.com/foo@", "example.com/foo", "example.com"],
        ["example.com:5000/image:latest", "example.com", ""],
        [
            "example.com:5000/image:latest",
            "example.com",
            "example.com:5000",
        ],
        // Not under the prefix.
        [
            "example.com/foo/image:latest",
            "example.com//foo",
            "example.com/path",
        ],
        ["example.com/image:latest", "image", "anotherimage"],
        [
            "example.com/foo/image:latest",
            "example.com/foo/",
            "example.com",
        ],
        ["example.com/foo/image", "example.com/f", "example.com/foo"],
        ["example.com/foo:latest", "example.com/f", "example.com/foo"],
        ["example.com/foo@", "example.com/f", "example.com/foo"],
        ["docker.io/library/image", "example.com", "example.com"],
        ["docker.io/library/image", "*.com", "example.com"],
        [
            "foo.docker.io/library/image",
            "*.example.com",
            "example.com/image",
        ],
        [
            "foo.docker.io/library/image",
            "*.docker.com",
            "example.com/image",
        ],
    ] {
        let reference = Parsed::parse_canonical(&reference.replace('@', DIGEST)).unwrap();
        let location = Location::new(location.to_owned());
        assert!(
            location.rewrite(&reference, prefix).is_err(),
            "{reference} {prefix}"
        );
    }
}

/// Registries by prefix and location.
fn find_registry() -> RegistriesConf {
    let table = |prefix: &str, location: &str| {
        format!("[[registry]]\nprefix = \"{prefix}\"\nlocation = \"{location}\"\n")
    };
    let tables: String = [
        ("simple-prefix.com", "registry.com:5000"),
        (
            "complex-prefix.com:4000/with/path",
            "another-registry.com:5000",
        ),
        ("another-registry.com", "registry.com:5000"),
        ("no-prefix.com", "no-prefix.com"),
        ("", "empty-prefix.com"),
        ("*.so.simple-prefix.com", "subdomain-prefix.com"),
        ("*.simple-prefix.com", "subdomain-prefix-2.com"),
        ("*.not.quite.simple-prefix.com", "subdomain-prefix-1.com"),
        ("*.docker.io", "subdomain-prefix-2.com"),
        ("*.bar.example.com", "subdomain-prefix-3.com"),
        ("*.bar.docker.io", "subdomain-prefix-4.com"),
        ("foo.bar.example.com:5000", "subdomain-prefix-5.com"),
        ("*.internal.registry.com", ""),
        ("*.com", ""),
        ("*.foobar.io", ""),
    ]
    .map(|(prefix, location)| table(prefix, location))
    .concat();
    let mut registries = read(&tables);
    for (prefix, location) in [
        ("*.not.quite.simple-prefix.com", "override-1.com"),
        ("*.docker.com", "override-2.com"),
        ("*.bar.example.com", "override-3.com"),
    ] {
        let text = table(prefix, location);
        registries.merge_drop_in(&text, "drop-in.conf").unwrap();
    }
    registries
}

#[test]
fn the_longest_prefix_wins() {
    let registries = find_registry();
    assert_eq!(registries.registries().len(), 16);
    for (reference, expected) in [
        ("simple-prefix.com/foo/bar:latest", "registry.com:5000"),
        ("simple-prefix.com/", "registry.com:5000"),
        ("simple-prefix.com", "registry.com:5000"),
        ("not.so.simple-prefix.com/", "subdomain-prefix.com"),
        ("not.quite.simple-prefix.com/", "subdomain-prefix-2.com"),
        (
            "not.quite.simple-prefix.com:5000/with/path/and/beyond:tag",
            "subdomain-prefix-2.com",
        ),
        // Replaced by a drop-in with the same prefix.
        (
            "really.not.quite.simple-prefix.com:5000/with/path:tag",
            "override-1.com",
        ),
        (
            "foo.docker.io:5000/omg/wtf/bbq:foo",
            "subdomain-prefix-2.com",
        ),
        ("foo.bar.example.com:6000/omg/wtf/bbq", "override-3.com"),
        (
            "foo.bar.docker.io:5000/omg/wtf/bbq:foo",
            "subdomain-prefix-4.com",
        ),
        (
            "foo.bar.example.com:5000/omg/wtf/bbq:foo",
            "subdomain-prefix-5.com",
        ),
        (
            "complex-prefix.com:4000/with/path/and/beyond:tag",
            "another-registry.com:5000",
        ),
        ("no-prefix.com/foo:tag", "no-prefix.com"),
        ("empty-prefix.com/foo:tag", "empty-prefix.com"),
        ("a.internal.registry.com/x", ""),
    ] {
        let found = registries.find(reference).unwrap();
        assert_eq!(found.endpoint.location, expected, "{reference}");
    }
    assert_eq!(registries.find("simple-prefix.comx"), None);
    assert_eq!(registries.find("elsewhere.org/app"), None);
}

const PULL_SOURCES: &str = r#"
[[registry]]
prefix = "registry-a.com/foo"
location = "registry-a.com/bar"
[[registry.mirror]]
location = "mirror-1"
[[registry.mirror]]
location = "mirror-2"
insecure = true
[[registry]]
prefix = "registry-b.com/foo"
location = "registry-b.com/bar"
mirror-by-digest-only = true
[[registry.mirror]]
location = "mirror-1"
[[registry.mirror]]
location = "mirror-2"
[[registry]]
prefix = "registry-c.com/foo"
location = "registry-c.com/bar"
[[registry.mirror]]
location = "mirror-1"
[[registry.mirror]]
location = "mirror-2"
pull-from-mirror = "digest-only"
[[registry]]
prefix = "registry-e.com/foo"
location = "registry-e.com/bar"
[[registry.mirror]]
location = "mirror-1"
pull-from-mirror = "tag-only"
[[registry.mirror]]
location = "mirror-2"
pull-from-mirror = "tag-only"
[[registry]]
prefix = "registry-f.com/foo"
location = "registry-f.com/bar"
[[registry.mirror]]
location = "mirror-1"
[[registry.mirror]]
location = "mirror-2"
pull-from-mirror = "tag-only"
[[registry]]
prefix = "registry-g.com/foo"
location = "registry-g.com/bar"
[[registry.mirror]]
location = "mirror-1"
pull-from-mirror = "digest-only"
[[registry.mirror]]
location = "mirror-2"
pull-from-mirror = "tag-only"
[[registry.mirror]]
location = "mirror-3"
[[registry.mirror]]
location = "mirror-4"
pull-from-mirror = "all"
"#;

#[test]
fn mirrors_serve_digests_tags_or_both() {
    let registries = read(&PULL_SOURCES.replace("\"mirror-", "\"m.example/"));
    for (letter, by_digest, by_tag) in [
        ('a', &["1", "2"][..], &["1", "2"][..]),
        ('b', &["1", "2"], &[]),
        ('c', &["1", "2"], &["1"]),
        ('e', &[], &["1", "2"]),
        ('f', &["1"], &["1", "2"]),
        ('g', &["1", "3", "4"], &["2", "3", "4"]),
    ] {
        for (suffix, mirrors) in [(DIGEST, by_digest), (":aaa", by_tag)] {
            let reference = format!("registry-{letter}.com/foo/image{suffix}");
            let reference = Parsed::parse_canonical(&reference).unwrap();
            let sources = registries.sources(&reference).unwrap();
            let got: Vec<String> = sources.iter().map(|s| s.reference.to_string()).collect();
            let mirrors = mirrors.iter();
            let expected: Vec<String> = mirrors
                .map(|mirror| format!("m.example/{mirror}/image{suffix}"))
                .chain([format!("registry-{letter}.com/bar/image{suffix}")])
                .collect();
            assert_eq!(got, expected);
        }
    }
    let reference = Parsed::parse("registry-a.com/foo/image:aaa").unwrap();
    let insecure: Vec<bool> = registries
        .sources(&reference)
        .unwrap()
        .iter()
        .map(|s| s.endpoint.insecure)
        .collect();
    assert_eq!(insecure, [false, true, false]);
}

#[test]
fn a_reference_of_no_registry_is_its_own_source() {
    let reference = Parsed::parse("quay.io/app:1").unwrap();
    let sources = read("").sources(&reference).unwrap();
    assert_eq!(sources.len(), 1);
    assert_eq!(sources[0].reference, reference);
    assert_eq!(sources[0].endpoint, Location::new("quay.io".to_owned()));
}

#[test]
fn a_blocked_registry_has_no_sources() {
    let registries = read("[[registry]]\nlocation = \"blocked.registry.com\"\nblocked = true");
    let blocked = |text| registries.sources(&Parsed::parse(text).unwrap());
    assert_eq!(
        blocked("blocked.registry.com/app").unwrap_err().to_string(),
        "registry blocked.registry.com is blocked in base.conf"
    );
    assert!(blocked("registry.com/app").is_ok());
}

#[test]
fn invalid_files_are_refused_with_what_is_wrong() {
    let table = |keys: &str| format!("[[registry]]\nlocation = \"registry.com\"\n{keys}\n");
    let mirror = |keys: &str| {
        table(&format!(
            "[[registry.mirror]]\nlocation = \"mirror.com\"\n{keys}"
        ))
    };
    for (text, expected) in [
        (
            table("") + &table("insecure = true"),
            "registry 'registry.com' is defined multiple times with conflicting 'insecure' setting",
        ),
        (
            table("") + &table("blocked = true"),
            "registry 'registry.com' is defined multiple times with conflicting 'blocked' setting",
        ),
        (
            table("[[registry.mirror]]"),
            "invalid condition: mirror location is unset",
        ),
        (
            table("prefix = \"http://schema-is-invalid.com\""),
            "invalid location 'http://schema-is-invalid.com': URI schemes are not supported",
        ),
        (
            mirror("").replace("mirror.com", "https://mirror.com"),
            "invalid location 'https://mirror.com': URI schemes are not supported",
        ),
        (
            "[[registry]]".to_owned(),
            "invalid condition: both location and prefix are unset",
        ),
        (
            "[[registry]]\nprefix = \"example.com\"".to_owned(),
            "invalid condition: location is unset and prefix is not in the format: *.example.com",
        ),
        (
            table("prefix = \"*.example.com:5000\""),
            "Wildcarded prefix should be in the format: *.example.com. Current prefix \"*.example.com:5000\" is incorrectly formatted",
        ),
        (
            table("prefix = \"*.example.com/ns\""),
            "Wildcarded prefix should be in the format: *.example.com. Current prefix \"*.example.com/ns\" is incorrectly formatted",
        ),
        (
            table("prefix = \"registry-a.com/foo\"\npull-from-mirror = \"digest-only\""),
            "pull-from-mirror must not be set for a non-mirror registry \"registry-a.com/foo\"",
        ),
        (
            mirror("pull-from-mirror = \"digest-only\"").replacen(
                '\n',
                "\nmirror-by-digest-only = true\n",
                1,
            ),
            "cannot set mirror usage mirror-by-digest-only for the registry (\"registry.com\") and pull-from-mirror for per-mirror (\"mirror.com\") at the same time",
        ),
        (
            mirror("pull-from-mirror = \"notvalid\""),
            "unsupported pull-from-mirror value \"notvalid\" for mirror \"mirror.com\"",
        ),
        (
            "unqualified-search-registries = [\"registry-a.com/namespace-is-forbidden\"]"
                .to_owned(),
            "Invalid unqualified-search-registries entry \"registry-a.com/namespace-is-forbidden\"",
        ),
        (
            "unqualified-search-registries = [\"\"]".to_owned(),
            "Invalid unqualified-search-registries entry \"\"",
        ),
        (
            "short-name-mode = \"invalid\"".to_owned(),
            "invalid short-name mode: \"invalid\"",
        ),
    ] {
        assert_eq!(refusal(&text).to_string(), expected, "{text}");
    }
}

#[test]
fn every_alias_that_cannot_be_is_told() {
    let aliases = "[aliases]\nimage1 = \"quay.io/repo/image:1\"\nimage2 = \"image:1\"\n\"a:1\" = \"quay.io/a\"";
    let Invalid::Aliases(errors) = refusal(aliases) else {
        panic!("refused for another reason");
    };
    assert_eq!(errors.len(), 3);
}

#[test]
fn what_is_no_toml_is_a_syntax_error() {
    for text in [
        "invalid",
        "[[registry]]\nlocation = 1",
        "unqualified-search-registries = \"quay.io\"",
    ] {
        let read = RegistriesConf::parse(text, "base.conf");
        assert!(
            matches!(read, Err(Error::Syntax { .. })),
            "{text}: {read:?}"
        );
    }
}

#[test]
fn unknown_keys_are_ignored() {
    assert!(
        read("unknown = 1\n[[registry]]\nlocation = \"a.com\"\nlater = true")
            .find("a.com")
            .is_some()
    );
}

#[test]
fn registries_are_sorted_and_the_first_of_a_prefix_counts() {
    let registries = read(
        "[[registry]]\nlocation = \"z.com\"\n[[registry]]\nlocation = \"a.com\"\n\
         [[registry]]\nlocation = \"other.com\"\nprefix = \"z.com\"",
    );
    assert_eq!(locations(&registries), ["a.com", "z.com"]);
}

const V1: &str = r#"
[registries.search]
registries = ["registry-a.com////", "registry-c.com", "registry-d.com"]
[registries.block]
registries = ["registry-b.com"]
[registries.insecure]
registries = ["registry-b.com////", "registry-d.com", "registry-e.com", "registry-a.com"]
"#;

#[test]
fn version_1_is_read_as_version_2() {
    let registries = read(V1);
    assert_eq!(registries.registries().len(), 4);
    assert_eq!(
        registries.search_registries(),
        ["registry-a.com", "registry-c.com", "registry-d.com"]
    );
    let both = registries
        .find("registry-b.com/bar/foo/barfoo:latest")
        .unwrap();
    assert!(both.blocked && both.endpoint.insecure);
    assert!(!registries.find("registry-d.com/x").unwrap().blocked);
    for list in ["search", "block", "insecure"] {
        let list = format!("[registries.{list}]\nregistries = [\"http://schema-is-invalid.com\"]");
        assert!(matches!(refusal(&list), Invalid::Scheme(_)));
    }
}

#[test]
fn versions_are_not_mixed() {
    let v2 = "unqualified-search-registries = [\"registry-a.com\"]\n";
    assert_eq!(refusal(&[v2, V1].concat()), Invalid::Mixed);
    let empty = "unqualified-search-registries = []\n[registries.search]\nregistries = []\n\
                 [registries.block]\nregistries = []\n[registries.insecure]\nregistries = []";
    assert_eq!(refusal(empty), Invalid::Mixed);
    for set in [
        "[[registry]]\nlocation = \"a.com\"\n",
        "credential-helpers = []\n",
        "short-name-mode = \"enforcing\"\n",
        "additional-layer-store-auth-helper = \"x\"\n",
        "[aliases]\n",
    ] {
        assert_eq!(refusal(&[set, V1].concat()), Invalid::Mixed, "{set}");
    }
    let drop_in = RegistriesConf::default()
        .merge_drop_in(V1, "drop-in.conf")
        .unwrap_err();
    assert!(matches!(
        drop_in,
        Error::Invalid {
            source: Invalid::NotV2,
            ..
        }
    ));
}

#[test]
fn drop_ins_replace_lists_and_merge_tables() {
    let mut registries = read(
        "unqualified-search-registries = [\"example.com\"]\nshort-name-mode = \"enforcing\"\n\
         [[registry]]\nlocation = \"base.com\"\ninsecure = true\n[aliases]\n\
         docker = \"docker.io/library/foo\"\n\"quay/foo\" = \"quay.io/library/foo\"\n\
         example = \"example.com/library/foo\"\nempty = \"\"",
    );
    let first = "unqualified-search-registries = [\"example-overwrite.com\"]\n\
                 credential-helpers = [\"to\", \"be\", \"overridden\"]\n[[registry]]\nlocation = \"1.com\"\n\
                 [aliases]\ndocker = \"docker.io/library/config1\"\nconfig1 = \"config1.com/image\"\n\
                 barz = \"barz.com/image/config1\"";
    let second = "short-name-mode = \"permissive\"\ncredential-helpers = [\"dropin-1\", \"dropin-2\"]\n\
                  [[registry]]\nlocation = \"1.com\"\n[[registry]]\nlocation = \"2.com\"\n\
                  [[registry]]\nlocation = \"base.com\"\nblocked = true\n\
                  [aliases]\nconfig2 = \"config2.com/image\"\nbarz = \"barz.com/config2\"\nexample = \"\"";
    registries.merge_drop_in(first, "1.conf").unwrap();
    registries.merge_drop_in(second, "2.conf").unwrap();

    assert_eq!(registries.search_registries(), ["example-overwrite.com"]);
    assert_eq!(registries.search_origin(), Some("1.conf"));
    assert_eq!(locations(&registries), ["1.com", "2.com", "base.com"]);
    let base = registries.find("base.com/test:latest").unwrap();
    assert!(
        base.blocked && !base.endpoint.insecure,
        "the whole table is replaced"
    );
    assert_eq!(registries.short_name_mode(), ShortNameMode::Permissive);
    let helpers: Vec<&str> = registries.credential_helpers().collect();
    assert_eq!(helpers, ["dropin-1", "dropin-2"]);
    assert_eq!(registries.origins(), ["base.conf", "1.conf", "2.conf"]);

    assert_eq!(registries.aliases().len(), 7);
    for (name, value, origin) in [
        ("docker", "docker.io/library/config1", "1.conf"),
        ("quay/foo", "quay.io/library/foo", "base.conf"),
        ("config1", "config1.com/image", "1.conf"),
        ("barz", "barz.com/config2", "2.conf"),
        ("config2", "config2.com/image", "2.conf"),
        ("example", "", "2.conf"),
        ("empty", "", "base.conf"),
    ] {
        let alias = registries.aliases().find(name).unwrap();
        assert_eq!(
            alias.value.as_ref().map_or("", |named| named.as_str()),
            value
        );
        assert_eq!(alias.origin, origin, "{name}");
    }
    assert_eq!(registries.aliases().find("i/do/not/exist"), None);
}

#[test]
fn an_empty_list_counts_and_a_missing_one_does_not() {
    let base = "unqualified-search-registries = [\"registry-a.com\"]\ncredential-helpers = [\"helper-1\", \"helper-2\"]";
    let mut registries = read(base);
    registries.merge_drop_in("", "none.conf").unwrap();
    assert_eq!(registries.search_registries(), ["registry-a.com"]);
    assert_eq!(
        registries.credential_helpers().collect::<Vec<_>>(),
        ["helper-1", "helper-2"]
    );
    let empty = "unqualified-search-registries = []\ncredential-helpers = []";
    registries.merge_drop_in(empty, "empty.conf").unwrap();
    assert!(registries.search_registries().is_empty());
    assert_eq!(registries.search_origin(), Some("empty.conf"));
    assert_eq!(
        registries.credential_helpers().collect::<Vec<_>>(),
        [AUTH_FILES]
    );
    assert_eq!(
        read("").credential_helpers().collect::<Vec<_>>(),
        [AUTH_FILES]
    );
}

#[test]
fn short_name_modes_are_three() {
    for (text, expected) in [
        ("disabled", Some(ShortNameMode::Disabled)),
        ("enforcing", Some(ShortNameMode::Enforcing)),
        ("permissive", Some(ShortNameMode::Permissive)),
        ("", None),
        ("xxx", None),
    ] {
        assert_eq!(ShortNameMode::parse(text).ok(), expected);
    }
    assert_eq!(read("").short_name_mode(), ShortNameMode::Permissive);
    let enforcing = read("short-name-mode = \"enforcing\"");
    assert_eq!(enforcing.short_name_mode(), ShortNameMode::Enforcing);
}

#[test]
fn aliases_are_short_names_for_full_ones() {
    let mut aliases = Aliases::default();
    for value in [
        "docker.io/library/fedora",
        "localhost/fedora",
        "localhost:5000/fedora",
        "localhost:5000/namespace/fedora",
    ] {
        aliases.add("name", value, "").unwrap();
        assert_eq!(
            aliases
                .find("name")
                .unwrap()
                .value
                .as_ref()
                .unwrap()
                .as_str(),
            value
        );
    }
    aliases.add("name", "docker.io/fedora", "").unwrap();
    let normalised = aliases.find("name").unwrap().value.as_ref().unwrap();
    assert_eq!(normalised.as_str(), "docker.io/library/fedora");
    for value in [
        "docker.io/library/fedora:latest",
        &["docker.io/library/fedora", DIGEST].concat(),
        "fedora",
        "fedora:latest",
        "library/fedora",
        "library/fedora:latest",
        "$$4455%%",
        "docker://foo",
        "docker-archive://foo",
        "",
        " ",
    ] {
        assert!(aliases.add("name", value, "").is_err(), "{value}");
    }
    for name in ["library/fedora", "fedora", "1234567489"] {
        aliases.add(name, "quay.io/x", "").unwrap();
    }
    for name in [
        "docker.io/library/fedora",
        "docker.io/library/fedora:latest",
        &["fedora", DIGEST].concat(),
        "fedora:latest",
        "library/fedora:latest",
        "$$4455%%",
        "docker://foo",
        "",
    ] {
        assert!(aliases.add(name, "quay.io/x", "").is_err(), "{name}");
    }
}

#[test]
fn only_aliases_of_the_file_are_removed() {
    let mut aliases = Aliases::default();
    aliases
        .add("added", "aliases.conf/added", "aliases.conf")
        .unwrap();
    aliases.remove("added", "aliases.conf").unwrap();
    assert!(aliases.is_empty());
    assert_eq!(
        aliases
            .remove("added", "aliases.conf")
            .unwrap_err()
            .to_string(),
        "short-name alias \"added\" not found in \"aliases.conf\": please check registries.conf files"
    );
    assert!(matches!(
        aliases.remove("added:1", ""),
        Err(AliasError::Name { .. })
    ));
}

fn files() -> Files {
    Files {
        home: Some("/home/u".into()),
        ..Files::default()
    }
}

#[test]
fn the_file_that_is_read() {
    const OWN: &str = "/home/u/.config/containers/registries.conf";
    const SYSTEM: &str = "/etc/containers/registries.conf";
    let explicit = || Some("/elsewhere/registries.conf".into());
    let rooted = || Some("/root/prefix".into());
    let of = |files: Files, own: bool| {
        let paths = files.paths(|path| own && path == Path::new(OWN));
        (paths.config.to_string_lossy().into_owned(), paths.needed)
    };
    let at = |path: &str, needed| (path.to_owned(), needed);
    assert_eq!(of(files(), false), at(SYSTEM, false));
    assert_eq!(
        of(
            Files {
                config: explicit(),
                ..files()
            },
            false
        ),
        at("/elsewhere/registries.conf", true)
    );
    let root = Files {
        root: rooted(),
        ..files()
    };
    assert_eq!(
        of(root.clone(), false),
        at("/root/prefix/etc/containers/registries.conf", false)
    );
    let both = Files {
        config: explicit(),
        ..root
    };
    assert_eq!(
        of(both.clone(), false),
        at("/elsewhere/registries.conf", true)
    );
    assert_eq!(of(files(), true), at(OWN, false));
    assert_eq!(of(both, true), at("/elsewhere/registries.conf", true));
    // Nothing in a path is expanded.
    let variable = Files {
        config: Some("$HOME".into()),
        ..files()
    };
    assert_eq!(of(variable, false), at("$HOME", true));
}

#[test]
fn the_folders_of_drop_ins() {
    let of = |files: &Files, own| files.paths(|_| own).drop_ins;
    let user = Path::new("/home/u/.config/containers/registries.conf.d");
    let system = Path::new("/etc/containers/registries.conf.d");
    assert_eq!(of(&files(), false), [system, user]);
    assert_eq!(
        of(&files(), true),
        [user],
        "the user's own file leaves the system out"
    );
    let chosen = Files {
        drop_ins: Some("/chosen".into()),
        ..files()
    };
    assert_eq!(of(&chosen, false), [Path::new("/chosen")]);
    assert_eq!(of(&chosen, true), [Path::new("/chosen")]);
}

#[test]
fn the_file_of_aliases() {
    let of = |files: Files| files.paths(|_| false).aliases;
    let name = "containers/short-name-aliases.conf";
    assert_eq!(of(files()), Some(Path::new("/home/u/.cache").join(name)));
    let cache = Files {
        cache_home: Some("/c".into()),
        ..files()
    };
    assert_eq!(of(cache.clone()), Some(Path::new("/c").join(name)));
    assert_eq!(
        of(Files {
            is_root: true,
            ..cache
        }),
        Some(Path::new("/var/cache").join(name))
    );
    assert_eq!(
        of(Files {
            aliases: Some("/a".into()),
            ..files()
        }),
        Some("/a".into())
    );
    assert_eq!(of(Files::default()), None);
}

#[test]
fn the_environment_names_the_file() {
    let env = |set: &'static [(&str, &str)]| {
        Files::from_env(|name| {
            let found = set.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| value.into())
        })
    };
    assert_eq!(
        env(&[("REGISTRIES_CONFIG_PATH", "/old")]).config,
        Some("/old".into())
    );
    let both = env(&[
        ("REGISTRIES_CONFIG_PATH", "/old"),
        ("CONTAINERS_REGISTRIES_CONF", "/new"),
    ]);
    assert_eq!(both.config, Some("/new".into()));
    assert_eq!(env(&[("CONTAINERS_REGISTRIES_CONF", "")]).config, None);
}

#[test]
fn files_are_read_and_merged_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir_all(path("d/sub.conf")).unwrap();
    fs::write(
        path("base.conf"),
        "unqualified-search-registries = [\"base.com\"]",
    )
    .unwrap();
    fs::write(
        path("d/1.conf"),
        "unqualified-search-registries = [\"1.com\"]",
    )
    .unwrap();
    fs::write(path("d/2.conf"), "[aliases]\na = \"2.com/a\"").unwrap();
    fs::write(path("d/3.ignore"), "nonsense").unwrap();
    let files = Files {
        config: Some(path("base.conf")),
        drop_ins: Some(path("d")),
        ..Files::default()
    };
    let registries = files.load().unwrap();
    assert_eq!(registries.search_registries(), ["1.com"]);
    assert_eq!(registries.origins().len(), 3);

    fs::write(path("d/4.conf"), V1).unwrap();
    assert!(matches!(
        files.load(),
        Err(Error::Invalid {
            source: Invalid::NotV2,
            ..
        })
    ));
    let missing = Files {
        config: Some(path("missing.conf")),
        ..Files::default()
    };
    assert!(matches!(missing.load(), Err(Error::Read { .. })));
    // A default file that is missing is an empty one.
    let nowhere = Files {
        root: Some(path("nowhere")),
        ..Files::default()
    };
    assert_eq!(nowhere.load().unwrap(), RegistriesConf::default());
    assert_eq!(nowhere.load_aliases().unwrap(), Aliases::default());
}

#[test]
fn a_file_beyond_the_limit_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.conf");
    fs::write(&path, vec![b'#'; CONFIG_BYTES_MAX as usize + 1]).unwrap();
    let files = Files {
        config: Some(path),
        ..Files::default()
    };
    assert!(matches!(files.load(), Err(Error::Read { .. })));
}
