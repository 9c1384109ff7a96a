#![allow(clippy::too_many_lines, reason = "tables")]

use super::*;
use crate::registries::Aliases;

const DIGEST: &str = "@sha256:d366a4665ab44f0648d7a00ae3fae139d55e32f9712c67accd604bb55df9d05a";

const ALIASES: &str = r#"
short-name-mode = "enforcing"
[aliases]
docker = "docker.io/library/foo"
"quay/foo" = "quay.io/library/foo"
example = "example.com/library/foo"
empty = ""
"#;
const NO_REGISTRY: &str = "[aliases]\n\"repo/image\" = \"quay.io/repo/image\"\n";
const ONE: &str = "unqualified-search-registries = [\"quay.io\"]\n";
const TWO: &str = "unqualified-search-registries = [\"quay.io\", \"registry.com\"]\n";

fn configuration(text: &str) -> RegistriesConf {
    RegistriesConf::parse(text, "aliases.conf").unwrap()
}

/// A table writes `@` for a digest.
fn full(text: &str) -> String {
    text.replace('@', DIGEST)
}

fn candidates(name: &str, lookup: &Lookup<'_>) -> Result<Vec<String>, Error> {
    let resolved = resolve(&full(name), lookup)?;
    assert!(resolved.candidates().iter().all(|c| !c.record));
    let candidates = resolved.candidates().iter();
    Ok(candidates.map(|c| c.reference.to_string()).collect())
}

#[test]
fn names_without_a_registry_are_short() {
    for name in [
        "fedora",
        "fedora:latest",
        "library/fedora",
        "library/fedora:latest",
        "busybox@",
        "busybox:latest@",
    ] {
        assert!(is_short(&full(name)), "{name}");
    }
    for name in [
        "quay.io/fedora",
        "docker.io/fedora",
        "docker.io/library/fedora:latest",
        "localhost/fedora",
        "localhost:5000/fedora:latest",
        "example.foo.this.may.be.garbage.but.maybe.not:1234/fedora:latest",
        "docker.io/library/busybox@",
        "docker.io/library/busybox:latest@",
        "docker.io/fedora@",
    ] {
        assert!(!is_short(&full(name)), "{name}");
        assert!(
            matches!(split(&full(name)), Ok(NameInput::Full(_))),
            "{name}"
        );
    }
    for name in ["", "$$$", "::", "docker://quay.io/library/foo:bar", " "] {
        assert!(!is_short(name), "{name}");
        assert!(split(name).is_err(), "{name}");
    }
}

#[test]
fn names_are_split_from_tags_and_digests() {
    for (name, repository, tagged, digested) in [
        ("fedora", "fedora", false, false),
        ("repo/fedora", "repo/fedora", false, false),
        ("registry.com/fedora", "registry.com/fedora", false, false),
        ("fedora:tag", "fedora", true, false),
        ("repo/fedora:tag", "repo/fedora", true, false),
        (
            "registry.com/fedora:latest",
            "registry.com/fedora",
            true,
            false,
        ),
        ("fedora@", "fedora", false, true),
        ("repo/fedora@", "repo/fedora", false, true),
        ("registry.com/fedora@", "registry.com/fedora", false, true),
    ] {
        let (got, tag, digest) = match split(&full(name)).unwrap() {
            NameInput::Short { name, tag, digest } => (name.to_string(), tag, digest),
            NameInput::Full(parsed) => {
                let name = parsed.named().to_string();
                (name, parsed.tag().cloned(), parsed.digest())
            }
        };
        assert_eq!(got, repository);
        assert_eq!(
            (tag.is_some(), digest.is_some()),
            (tagged, digested),
            "{name}"
        );
    }
}

#[test]
fn aliases_come_first_and_full_names_stay() {
    let registries = configuration(ALIASES);
    let lookup = Lookup::new(&registries);
    let hub_only = Lookup {
        docker_hub_only: true,
        ..lookup.clone()
    };
    for (name, expected, hub) in [
        (
            "docker",
            "docker.io/library/foo:latest",
            "docker.io/library/docker:latest",
        ),
        (
            "docker:tag",
            "docker.io/library/foo:tag",
            "docker.io/library/docker:tag",
        ),
        (
            "docker@",
            "docker.io/library/foo@",
            "docker.io/library/docker@",
        ),
        (
            "quay/foo",
            "quay.io/library/foo:latest",
            "docker.io/quay/foo:latest",
        ),
        (
            "quay/foo:tag",
            "quay.io/library/foo:tag",
            "docker.io/quay/foo:tag",
        ),
        ("quay/foo@", "quay.io/library/foo@", "docker.io/quay/foo@"),
        (
            "example",
            "example.com/library/foo:latest",
            "docker.io/library/example:latest",
        ),
        (
            "example:tag",
            "example.com/library/foo:tag",
            "docker.io/library/example:tag",
        ),
        (
            "example@",
            "example.com/library/foo@",
            "docker.io/library/example@",
        ),
        (
            "registry.com/repo/image",
            "registry.com/repo/image:latest",
            "registry.com/repo/image:latest",
        ),
        (
            "registry.com/repo/image:tag",
            "registry.com/repo/image:tag",
            "registry.com/repo/image:tag",
        ),
        (
            "registry.com/repo/image@",
            "registry.com/repo/image@",
            "registry.com/repo/image@",
        ),
    ] {
        assert_eq!(candidates(name, &lookup).unwrap(), [full(expected)]);
        assert_eq!(candidates(name, &hub_only).unwrap(), [full(hub)]);
    }
    // An alias without a value stands for nothing.
    for name in ["doesnotexist", "empty"] {
        assert_eq!(
            candidates(name, &lookup).unwrap_err().to_string(),
            format!(
                "short-name {name:?} did not resolve to an alias and no unqualified-search registries are defined in \"aliases.conf\""
            )
        );
    }
    assert_eq!(
        candidates("doesnotexist", &hub_only).unwrap(),
        ["docker.io/library/doesnotexist:latest"]
    );
    for name in ["", "Invalid#$"] {
        assert!(matches!(
            candidates(name, &lookup),
            Err(Error::Reference { .. })
        ));
    }
    let missing = RegistriesConf::default();
    assert_eq!(
        candidates("app", &Lookup::new(&missing))
            .unwrap_err()
            .to_string(),
        "short-name \"app\" did not resolve to an alias and no containers-registries.conf(5) was found"
    );
}

#[test]
fn kept_aliases_come_before_those_of_the_configuration() {
    let registries =
        configuration(&[TWO, "[aliases]\na = \"quay.io/a\"\nb = \"quay.io/b\"\n"].concat());
    let kept = Aliases::parse("[aliases]\na = \"kept.example/a\"\nb = \"\"", "kept.conf").unwrap();
    let lookup = Lookup {
        aliases: Some(&kept),
        ..Lookup::new(&registries)
    };
    assert_eq!(candidates("a:1", &lookup).unwrap(), ["kept.example/a:1"]);
    let resolved = resolve("a:1", &lookup).unwrap();
    assert_eq!(
        resolved.description().unwrap(),
        "Resolved \"a\" as an alias (kept.conf)"
    );
    assert_eq!(
        candidates("b", &lookup).unwrap(),
        ["quay.io/b:latest", "registry.com/b:latest"],
        "an alias that was taken back"
    );
}

#[test]
fn every_search_registry_is_a_candidate() {
    let registries = configuration(&[TWO, NO_REGISTRY].concat());
    let lookup = Lookup::new(&registries);
    for (name, expected) in [
        (
            "foo",
            &["quay.io/foo:latest", "registry.com/foo:latest"][..],
        ),
        ("foo:tag", &["quay.io/foo:tag", "registry.com/foo:tag"]),
        ("foo@", &["quay.io/foo@", "registry.com/foo@"]),
        (
            "repo/foo",
            &["quay.io/repo/foo:latest", "registry.com/repo/foo:latest"],
        ),
        (
            "repo/foo:tag",
            &["quay.io/repo/foo:tag", "registry.com/repo/foo:tag"],
        ),
        (
            "repo/foo@",
            &["quay.io/repo/foo@", "registry.com/repo/foo@"],
        ),
        ("repo/image", &["quay.io/repo/image:latest"]),
        ("repo/image:tag", &["quay.io/repo/image:tag"]),
        ("repo/image@", &["quay.io/repo/image@"]),
    ] {
        let expected: Vec<String> = expected.iter().map(|text| full(text)).collect();
        assert_eq!(candidates(name, &lookup).unwrap(), expected);
    }
}

#[test]
fn modes_decide_what_is_done_without_a_terminal() {
    use ShortNameMode::{Disabled, Enforcing, Permissive};
    for (mode, name, counts) in [
        (Permissive, "repo/image", [Some(1), Some(1), Some(1)]),
        (Permissive, "doesnotexist", [None, Some(1), Some(2)]),
        (Disabled, "repo/image", [Some(1), Some(1), Some(1)]),
        (Disabled, "doesnotexist", [None, Some(1), Some(2)]),
        (Enforcing, "repo/image", [Some(1), Some(1), Some(1)]),
        (Enforcing, "doesnotexist", [None, Some(1), None]),
    ] {
        for (search, expected) in ["", ONE, TWO].into_iter().zip(counts) {
            let registries = configuration(&[search, NO_REGISTRY].concat());
            let lookup = Lookup {
                mode: Some(mode),
                ..Lookup::new(&registries)
            };
            let got = candidates(name, &lookup).ok().map(|found| found.len());
            assert_eq!(got, expected, "{mode:?} {name} {search}");
        }
    }
    let registries = configuration(&[TWO, "short-name-mode = \"enforcing\""].concat());
    let refused = candidates("doesnotexist", &Lookup::new(&registries)).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "short-name resolution enforced but cannot prompt without a TTY"
    );
}

#[test]
fn a_person_chooses_at_a_terminal() {
    use ShortNameMode::{Disabled, Enforcing, Permissive};
    for (search, mode, asks) in [
        (ONE, Permissive, false),
        (ONE, Enforcing, false),
        (TWO, Permissive, true),
        (TWO, Enforcing, true),
        (TWO, Disabled, false),
    ] {
        let registries = configuration(search);
        let lookup = Lookup {
            mode: Some(mode),
            terminal: true,
            ..Lookup::new(&registries)
        };
        assert_eq!(
            resolve("app:1", &lookup).unwrap().must_ask(),
            asks,
            "{mode:?}"
        );
    }
    let registries = configuration(TWO);
    let lookup = Lookup {
        terminal: true,
        ..Lookup::new(&registries)
    };
    let resolved = resolve("app:1", &lookup).unwrap();
    assert_eq!(resolved.clone().choose(2), None);
    let first = &resolved.candidates()[0];
    assert_eq!(resolved.record(first), None, "only what was chosen is kept");
    let chosen = resolved.clone().choose(1).unwrap();
    assert!(!chosen.must_ask());
    assert_eq!(chosen.description(), None);
    let [candidate] = chosen.candidates() else {
        panic!("{chosen:?}");
    };
    let (name, value) = chosen.record(candidate).unwrap();
    assert_eq!((name.as_str(), value.as_str()), ("app", "registry.com/app"));
    let mut kept = Aliases::default();
    kept.add(name.as_str(), value.as_str(), "kept.conf")
        .unwrap();
    let again = Lookup {
        aliases: Some(&kept),
        ..lookup
    };
    assert_eq!(candidates("app:1", &again).unwrap(), ["registry.com/app:1"]);
}

#[test]
fn images_that_are_here_may_be_known_by_several_names() {
    let registries = configuration(&[TWO, NO_REGISTRY].concat());
    let lookup = Lookup::new(&registries);
    let hub_only = Lookup {
        docker_hub_only: true,
        ..lookup.clone()
    };
    for (name, expected, hub) in [
        (
            "repo/image",
            &[
                "quay.io/repo/image:latest",
                "localhost/repo/image:latest",
                "quay.io/repo/image:latest",
                "registry.com/repo/image:latest",
            ][..],
            "docker.io/repo/image:latest",
        ),
        (
            "foo",
            &[
                "localhost/foo:latest",
                "quay.io/foo:latest",
                "registry.com/foo:latest",
            ],
            "docker.io/library/foo:latest",
        ),
        (
            "foo:tag",
            &[
                "localhost/foo:tag",
                "quay.io/foo:tag",
                "registry.com/foo:tag",
            ],
            "docker.io/library/foo:tag",
        ),
        (
            "foo@",
            &["localhost/foo@", "quay.io/foo@", "registry.com/foo@"],
            "docker.io/library/foo@",
        ),
        (
            "localhost/foo",
            &["localhost/foo:latest"],
            "localhost/foo:latest",
        ),
        (
            "localhost/foo:tag",
            &["localhost/foo:tag"],
            "localhost/foo:tag",
        ),
        ("localhost/foo@", &["localhost/foo@"], "localhost/foo@"),
        (
            "registry.com/repo/image@",
            &["registry.com/repo/image@"],
            "registry.com/repo/image@",
        ),
    ] {
        let of = |lookup| -> Vec<String> {
            let found = resolve_locally(&full(name), lookup).unwrap();
            found.iter().map(Parsed::to_string).collect()
        };
        let expected: Vec<String> = expected.iter().map(|text| full(text)).collect();
        assert_eq!(of(&lookup), expected);
        assert_eq!(of(&hub_only), [full(hub)]);
    }
}

#[test]
fn descriptions_say_why() {
    let registries = configuration(&[ONE, NO_REGISTRY].concat());
    let lookup = Lookup::new(&registries);
    let hub_only = Lookup {
        docker_hub_only: true,
        ..lookup.clone()
    };
    let of = |name, lookup| resolve(name, lookup).unwrap().description();
    assert_eq!(
        of("repo/image:1", &lookup).unwrap(),
        "Resolved \"repo/image\" as an alias (aliases.conf)"
    );
    assert_eq!(
        of("app", &lookup).unwrap(),
        "Resolving \"app\" using unqualified-search registries (aliases.conf)"
    );
    assert_eq!(
        of("app", &hub_only).unwrap(),
        "Resolving \"app\" to docker.io (enforced by caller)"
    );
    assert_eq!(of("quay.io/app", &lookup), None);
}

#[test]
fn all_errors_are_listed_and_one_stands_alone() {
    assert_eq!(PullErrors::<String>::new(Vec::new()), None);
    let text = |errors: &[&str]| {
        let errors = errors.iter().map(|e| (*e).to_owned()).collect::<Vec<_>>();
        PullErrors::new(errors).unwrap().to_string()
    };
    assert_eq!(text(&["only"]), "only");
    assert_eq!(
        text(&["a", "b"]),
        "2 errors occurred while pulling:\n * a\n * b"
    );
}
