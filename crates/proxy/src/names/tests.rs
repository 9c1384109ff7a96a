use super::*;

fn names() -> Names {
    let hosts = ["Hub.Mirror.Example".to_owned(), "[::1]:5001".to_owned()];
    let corp = ["corp.mirror.example:8080".to_owned()];
    let configured: [(&str, &[String]); 3] = [
        ("registry.corp.example:5000", &corp),
        ("docker.io", &hosts),
        ("odd.example:443", &[]),
    ];
    let public = PUBLIC.iter().skip(1).map(|(name, _)| (*name, &[][..]));
    Names::new(configured.into_iter().chain(public))
}

#[test]
fn finds_by_any_spelling() {
    let names = names();
    for (asked, domain, label) in [
        ("docker.io", "docker.io", "docker.io"),
        ("Docker.IO", "docker.io", "docker.io"),
        ("docker.io:443", "docker.io", "docker.io"),
        ("registry-1.docker.io", "docker.io", "docker.io"),
        ("index.docker.io", "docker.io", "docker.io"),
        ("ghcr.io", "ghcr.io", "ghcr.io"),
        (
            "REGISTRY.corp.example:5000",
            "registry.corp.example:5000",
            "registry.corp.example:5000",
        ),
        ("odd.example:443", "odd.example:443", "odd.example:443"),
        ("us-docker.pkg.dev", "us-docker.pkg.dev", "*.pkg.dev"),
        (
            "Europe-West1-docker.pkg.dev:443",
            "europe-west1-docker.pkg.dev",
            "*.pkg.dev",
        ),
    ] {
        let mut buffer = Buffer::default();
        let found = names.find(asked, &mut buffer);
        assert_eq!(found.map(|(_, domain)| domain), Some(domain), "{asked}");
        let id = found.unwrap().0;
        assert_eq!(names.name(id), label, "{asked}");
        assert_eq!(names.header_value(id).unwrap(), label, "{asked}");
    }
}

#[test]
fn refuses_the_rest_of_the_world() {
    let names = names();
    let long = "a".repeat(NAME_BYTES_MAX + 1);
    for asked in [
        "",
        "localhost",
        "127.0.0.1",
        "169.254.169.254",
        "registry.corp.example",
        "registry.corp.example:5001",
        "docker.io:80",
        "docker.io.",
        "evil.docker.io",
        "odd.example",
        "pkg.dev",
        ".pkg.dev",
        "a.b.pkg.dev",
        "a/b.pkg.dev",
        "a@b.pkg.dev",
        "-.pkg.dev",
        "*.pkg.dev",
        "us-docker.pkg.dev.evil.example",
        "us-docker.pkg.dev:8443",
        "d\u{f6}cker.io",
        &long,
    ] {
        assert_eq!(names.find(asked, &mut Buffer::default()), None, "{asked}");
    }
}

#[test]
fn hosts_of_the_configuration() {
    let names = names();
    let name = |host| {
        names
            .by_host(host, &mut Buffer::default())
            .map(|id| names.name(id))
    };
    assert_eq!(name("hub.mirror.example"), Some("docker.io"));
    assert_eq!(name("HUB.mirror.example:5000"), Some("docker.io"));
    assert_eq!(name("[::1]:5001"), Some("docker.io"));
    assert_eq!(
        name("corp.mirror.example:8080"),
        Some("registry.corp.example:5000")
    );
    assert_eq!(name("corp.mirror.example:8081"), None);
    assert_eq!(name("corp.mirror.example"), None);
    assert_eq!(name("docker.io"), None);
    assert_eq!(name(""), None);
    assert_eq!(names.name(names.default_upstream()), "docker.io");
}

#[test]
fn one_spelling() {
    assert_eq!(canonical("Index.Docker.io"), "docker.io");
    assert_eq!(canonical("registry-1.docker.io"), "docker.io");
    assert_eq!(canonical("Quay.io:5000"), "quay.io:5000");
}
