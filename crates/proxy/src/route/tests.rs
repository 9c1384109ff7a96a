use super::*;
use proptest::prelude::*;

const DIGEST: &str = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

fn names() -> Names {
    let hosts = ["quay.mirror.example".to_owned()];
    let configured: [(&str, &[String]); 3] = [
        ("up.test:5000", &[]),
        ("localhost:5100", &[]),
        ("quay.io", &hosts),
    ];
    let public = names::PUBLIC
        .iter()
        .filter(|(name, _)| *name != "quay.io")
        .map(|(name, _)| (*name, &[][..]));
    Names::new(configured.into_iter().chain(public))
}

fn parse(path: &str, host: Option<&str>) -> Result<Route, Refusal> {
    Route::parse(&Method::GET, &path.parse::<Uri>().unwrap(), host, &names())
}

/// What a route is, in one line.
fn text(route: &Result<Route, Refusal>) -> String {
    let query = |query: &Option<String>| query.clone().map(|query| format!("?{query}"));
    match route {
        Ok(Route::Version) => "version".to_owned(),
        Ok(Route::Health) => "health".to_owned(),
        Ok(Route::Ready) => "ready".to_owned(),
        Ok(Route::Metrics) => "metrics".to_owned(),
        Ok(Route::Manifest { reference, .. }) => format!("manifest {reference}"),
        Ok(Route::Blob { canonical, .. }) => format!("blob {canonical}"),
        Ok(Route::Tags {
            named, query: q, ..
        }) => format!("tags {named}{}", query(q).unwrap_or_default()),
        Ok(Route::Referrers {
            canonical,
            query: q,
            ..
        }) => format!("referrers {canonical}{}", query(q).unwrap_or_default()),
        Err(refusal) => format!("{refusal:?}"),
    }
}

#[test]
fn every_shape_of_one_image() {
    for path in [
        "/v2/alpine/manifests/3",
        "/v2/library/alpine/manifests/3",
        "/v2/library/alpine/manifests/3?ns=docker.io",
        "/v2/alpine/manifests/3?ns=DOCKER.io",
        "/v2/alpine/manifests/3?ns=registry-1.docker.io",
        "/v2/alpine/manifests/3?ns=index.docker.io",
        "/v2/alpine/manifests/3?ns=docker.io%3A443",
        "/v2/alpine/manifests/3?x=y&ns=docker.io",
        "/v2/alpine/manifests/3?ns=",
        "/v2/alpine/manifests/3?ns=&ns=docker.io&ns=quay.io",
        "/v2/docker.io/alpine/manifests/3",
        "/v2/Docker.io/alpine/manifests/3",
        "/v2/registry-1.docker.io/library/alpine/manifests/3",
        "/v2/docker.io/library/alpine/manifests/3?ns=docker.io",
        "/v2/docker.io/library/alpine/manifests/3?ns=quay.io",
        "/docker.io/v2/alpine/manifests/3",
        "/docker.io/v2/library/alpine/manifests/3",
        "/docker.io/v2/library/alpine/manifests/3?ns=quay.io",
        "/v2/library/%61lpine/manifests/%33",
    ] {
        assert_eq!(
            text(&parse(path, None)),
            "manifest docker.io/library/alpine:3",
            "{path}"
        );
    }
}

const ROUTES: &[(&str, &str)] = &[
    ("/v2/", "version"),
    ("/v2", "version"),
    ("/v2/?ns=docker.io", "version"),
    ("/v2/?ns=never.heard.of.example", "version"),
    ("/docker.io/v2/", "version"),
    ("/docker.io/v2", "version"),
    ("/up.test%3A5000/v2/", "version"),
    ("/never.heard.of.example/v2/", "Upstream"),
    ("/healthz", "health"),
    ("/readyz", "ready"),
    ("/metrics", "metrics"),
    ("/healthz/", "Path"),
    ("/", "Path"),
    ("/v1/_ping", "Path"),
    ("/v2/_catalog", "Path"),
    ("/v22/x/manifests/1", "Path"),
    ("/favicon.ico", "Path"),
    ("/v2/x/manifests", "Path"),
    ("/v2/x/y/z", "Path"),
    ("/v2/x/tags/list/", "Path"),
    ("/v2/x/tags/lists", "Path"),
    ("/v2/x/blobs/uploads/0", "Path"),
    // Upstreams.
    ("/v2/a/b/manifests/1?ns=ghcr.io", "manifest ghcr.io/a/b:1"),
    ("/v2/a/manifests/1?ns=ghcr.io", "manifest ghcr.io/a:1"),
    (
        "/v2/a/manifests/1?ns=up.test%3A5000",
        "manifest up.test:5000/a:1",
    ),
    (
        "/v2/a/manifests/1?ns=up.test%3a5000",
        "manifest up.test:5000/a:1",
    ),
    (
        "/v2/up.test:5000/a/manifests/1",
        "manifest up.test:5000/a:1",
    ),
    (
        "/v2/up.test%3A5000/a/manifests/1",
        "manifest up.test:5000/a:1",
    ),
    (
        "/up.test:5000/v2/a/manifests/1",
        "manifest up.test:5000/a:1",
    ),
    (
        "/v2/localhost:5100/a/manifests/1",
        "manifest localhost:5100/a:1",
    ),
    (
        "/v2/us-docker.pkg.dev/p/r/i/manifests/1",
        "manifest us-docker.pkg.dev/p/r/i:1",
    ),
    ("/v2/up.test/a/manifests/1", "Upstream"),
    ("/v2/up.test:5001/a/manifests/1", "Upstream"),
    ("/up.test/v2/a/manifests/1", "Upstream"),
    ("/nothing/v2/a/manifests/1", "Upstream"),
    ("/v2/a/manifests/1?ns=up.test", "Upstream"),
    ("/v2/a/manifests/1?ns=169.254.169.254", "Upstream"),
    ("/v2/a/manifests/1?ns=ghcr.io%2Fx", "Upstream"),
    ("/v2/a/manifests/1?ns=%67hcr.io", "manifest ghcr.io/a:1"),
    ("/v2/a/manifests/1?ns=%2567hcr.io", "Upstream"),
    ("/v2/a/manifests/1?ns=%ff", "Upstream"),
    ("/v2/a/manifests/1?ns=ghcr.io%0d%0aX-A:b", "Upstream"),
    ("/v2/a.b/c/manifests/1", "Upstream"),
    ("/v2/a.b/manifests/1", "manifest docker.io/library/a.b:1"),
    (
        "/v2/a.b/c/manifests/1?ns=ghcr.io",
        "manifest ghcr.io/a.b/c:1",
    ),
    ("/ghcr.io/v2/a.b/c/manifests/1", "manifest ghcr.io/a.b/c:1"),
    (
        "/v2/localhost/c/manifests/1",
        "manifest docker.io/localhost/c:1",
    ),
    // Names with components that look like parts of the API.
    (
        "/v2/ghcr.io/manifests/blobs/manifests/tags",
        "manifest ghcr.io/manifests/blobs:tags",
    ),
    ("/v2/a/tags/list/tags/list", "tags docker.io/a/tags/list"),
    ("/v2/a/manifests/tags/list", "tags docker.io/a/manifests"),
    ("/v2/v2/v2/manifests/v2", "manifest docker.io/v2/v2:v2"),
    ("/ghcr.io/v2/v2/manifests/v2", "manifest ghcr.io/v2:v2"),
    // Queries.
    (
        "/v2/a/tags/list?n=5&ns=ghcr.io&last=%3Ax",
        "tags ghcr.io/a?n=5&last=%3Ax",
    ),
    ("/v2/ghcr.io/a/tags/list?ns", "tags ghcr.io/a"),
    ("/v2/ghcr.io/a/tags/list?", "tags ghcr.io/a"),
    (
        "/v2/ghcr.io/a/tags/list?nsx=1&xns=2",
        "tags ghcr.io/a?nsx=1&xns=2",
    ),
    // Names, tags and digests that are none.
    ("/v2/A/manifests/1", "Name"),
    ("/v2/../manifests/1", "Name"),
    ("/v2/ghcr.io/../../etc/manifests/1", "Name"),
    ("/v2/%2e%2e/manifests/1", "Name"),
    ("/v2/a%2fb/manifests/1", "Name"),
    ("/v2/a%2Fb/manifests/1", "Name"),
    ("/v2/a%252fb/manifests/1", "Name"),
    ("/v2/a%5cb/manifests/1", "Name"),
    ("/v2/a%00/manifests/1", "Name"),
    ("/v2/a%ff/manifests/1", "Name"),
    ("/v2/d%C3%B6/manifests/1", "Name"),
    ("/v2/a//b/manifests/1", "Name"),
    ("/v2//manifests/1", "Name"),
    ("/v2/ghcr.io//manifests/1", "Name"),
    ("/v2/a-/manifests/1", "Name"),
    ("/v2/a/manifests/", "Tag"),
    ("/v2/a/manifests/.x", "Tag"),
    ("/v2/a/manifests/..", "Tag"),
    ("/v2/a/manifests/x%2Fy", "Tag"),
    ("/v2/a/manifests/x%20y", "Tag"),
    ("/v2/a/manifests/sha256:1", "Digest"),
    (
        "/v2/a/manifests/md5:d41d8cd98f00b204e9800998ecf8427e",
        "Digest",
    ),
    ("/v2/a/blobs/latest", "Digest"),
    ("/v2/a/blobs/..", "Digest"),
    ("/v2/a/blobs/", "Digest"),
    ("/v2/a/blobs/uploads", "Digest"),
    ("/v2/a/referrers/x", "Digest"),
];

#[test]
fn routes() {
    let long = "a".repeat(256);
    let too_long = format!("/v2/ghcr.io/{long}/manifests/1");
    let long_tag = format!("/v2/x/manifests/{}", "t".repeat(129));
    let image = |kind: &str, name: &str| format!("{kind} {name}@{DIGEST}");
    for (path, expected) in ROUTES {
        assert_eq!(&text(&parse(path, None)), expected, "{path}");
    }
    for (path, expected) in [
        (too_long, "Name".to_owned()),
        (long_tag, "Tag".to_owned()),
        (
            format!("/v2/a/manifests/{DIGEST}"),
            image("manifest", "docker.io/library/a"),
        ),
        (
            format!("/v2/a/blobs/{}?ns=ghcr.io", DIGEST.replace(':', "%3A")),
            image("blob", "ghcr.io/a"),
        ),
        (
            format!("/v2/ghcr.io/a/referrers/{DIGEST}?ns=ghcr.io&artifactType=a%2Fb"),
            image("referrers", "ghcr.io/a") + "?artifactType=a%2Fb",
        ),
        (
            format!("/v2/a/blobs/{}", DIGEST.to_uppercase()),
            "Digest".to_owned(),
        ),
        (format!("/v2/a/blobs/{DIGEST}0"), "Digest".to_owned()),
    ] {
        assert_eq!(text(&parse(&path, None)), expected, "{path}");
    }
}

#[test]
fn host_of_the_configuration() {
    for (path, host, expected) in [
        (
            "/v2/a/manifests/1",
            "quay.mirror.example",
            "manifest quay.io/a:1",
        ),
        (
            "/v2/a/manifests/1",
            "Quay.mirror.example:5000",
            "manifest quay.io/a:1",
        ),
        (
            "/v2/a.b/c/manifests/1",
            "quay.mirror.example",
            "manifest quay.io/a.b/c:1",
        ),
        (
            "/v2/ghcr.io/a/manifests/1",
            "quay.mirror.example",
            "manifest ghcr.io/a:1",
        ),
        (
            "/v2/a/manifests/1?ns=ghcr.io",
            "quay.mirror.example",
            "manifest ghcr.io/a:1",
        ),
        (
            "/v2/a/manifests/1",
            "other.example",
            "manifest docker.io/library/a:1",
        ),
        (
            "/v2/a/manifests/1",
            "ghcr.io",
            "manifest docker.io/library/a:1",
        ),
        ("/v2/a/manifests/1", "", "manifest docker.io/library/a:1"),
    ] {
        assert_eq!(text(&parse(path, Some(host))), expected, "{path} {host}");
    }
}

#[test]
fn remembers_upstream_and_ns() {
    let names = names();
    for (path, upstream, ns) in [
        ("/v2/a/manifests/1?ns=ghcr.io", "ghcr.io", Some("ghcr.io")),
        ("/v2/a/manifests/1?ns=Ghcr.io", "ghcr.io", Some("Ghcr.io")),
        (
            "/v2/a/manifests/1?ns=up.test%3A5000",
            "up.test:5000",
            Some("up.test:5000"),
        ),
        (
            "/v2/a/manifests/1?ns=registry-1.docker.io",
            "docker.io",
            Some("registry-1.docker.io"),
        ),
        (
            "/v2/quay.io/a/manifests/1?ns=ghcr.io",
            "quay.io",
            Some("ghcr.io"),
        ),
        (
            "/v2/p/r/i/manifests/1?ns=us-docker.pkg.dev",
            "*.pkg.dev",
            Some("us-docker.pkg.dev"),
        ),
        ("/v2/quay.io/a/manifests/1?ns=%0a", "quay.io", None),
        ("/v2/quay.io/a/manifests/1", "quay.io", None),
    ] {
        let Ok(Route::Manifest { at, .. }) = parse(path, None) else {
            panic!("{path}");
        };
        assert_eq!(names.name(at.upstream), upstream, "{path}");
        let value = at.ns.as_ref().map(|ns| ns.to_str().unwrap());
        assert_eq!(value, ns, "{path}");
    }
}

#[test]
fn only_reads_are_served() {
    for method in [
        "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get",
    ] {
        let method: Method = method.parse().unwrap();
        for path in [
            "/v2/",
            "/v2/a/blobs/uploads/",
            "/v2/a/manifests/1",
            "/ghcr.io/v2/a/x",
            "/metrics",
        ] {
            let route = Route::parse(&method, &path.parse().unwrap(), None, &names());
            assert_eq!(route, Err(Refusal::Method), "{method} {path}");
        }
        let route = Route::parse(&method, &Uri::from_static("/elsewhere"), None, &names());
        assert_eq!(route, Err(Refusal::Path), "{method}");
    }
    let uri = Uri::from_static("/v2/a/manifests/1");
    let names = names();
    assert_eq!(
        Route::parse(&Method::HEAD, &uri, None, &names),
        Route::parse(&Method::GET, &uri, None, &names)
    );
}

#[test]
fn kinds_of_what_is_refused() {
    for (path, kind) in [
        ("/v2/never.heard.of/a/manifests/1", Kind::Manifest),
        ("/v2/A/blobs/x", Kind::Blob),
        ("/nowhere/v2/a/tags/list", Kind::Tags),
        ("/v2/a/tags/lists", Kind::Other),
        ("/v2/a/referrers/", Kind::Referrers),
        ("/v2/", Kind::Other),
        ("/a/manifests/1", Kind::Other),
        ("", Kind::Other),
    ] {
        assert_eq!(Kind::of_path(path), kind, "{path}");
    }
    let words = Kind::ALL.map(Kind::as_str);
    assert_eq!(words, ["manifest", "blob", "tags", "referrers", "other"]);
}

#[test]
fn refusals_have_their_code() {
    for (refusal, status, code) in [
        (Refusal::Path, 404, "UNSUPPORTED"),
        (Refusal::Upstream, 404, "NAME_UNKNOWN"),
        (Refusal::Name, 400, "NAME_INVALID"),
        (Refusal::Tag, 400, "NAME_INVALID"),
        (Refusal::Digest, 400, "DIGEST_INVALID"),
        (Refusal::Method, 405, "UNSUPPORTED"),
    ] {
        let (is_status, is_code) = refusal.status_and_code();
        assert_eq!((is_status.as_u16(), is_code), (status, code));
    }
}

proptest! {
    #[test]
    fn no_path_panics_or_leaves_the_grammar(
        segments in proptest::collection::vec("[a-zA-Z0-9._:%@~-]{0,12}|v2|manifests|blobs|tags|list|ghcr\\.io", 0..8),
        ns in proptest::option::of("[a-z.%0-9:]{0,12}"),
    ) {
        let mut path = format!("/{}", segments.join("/"));
        if let Some(ns) = ns {
            path = format!("{path}?ns={ns}");
        }
        let Ok(uri) = path.parse::<Uri>() else { return Ok(()); };
        if let Ok(Route::Manifest { reference, .. }) = Route::parse(&Method::GET, &uri, None, &names()) {
            let path = reference.named().path();
            prop_assert!(path.split('/').all(|part| !part.is_empty() && !part.starts_with('.')));
            let mut buffer = Buffer::default();
            let names = names();
            let found = names.find(reference.named().domain(), &mut buffer);
            prop_assert_eq!(found.map(|(_, domain)| domain), Some(reference.named().domain()));
        }
    }

    #[test]
    fn the_shapes_agree(
        path in "[a-z0-9]{1,6}(/[a-z0-9]{1,6}){1,3}",
        tag in "[A-Za-z0-9_][A-Za-z0-9._-]{0,9}",
    ) {
        let expected = format!("manifest ghcr.io/{path}:{tag}");
        for url in [
            format!("/v2/{path}/manifests/{tag}?ns=ghcr.io"),
            format!("/v2/ghcr.io/{path}/manifests/{tag}"),
            format!("/ghcr.io/v2/{path}/manifests/{tag}"),
        ] {
            prop_assert_eq!(text(&parse(&url, None)), expected.clone());
        }
    }
}
