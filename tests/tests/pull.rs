//! Pulls through the proxy: every shape of URL, one entry of the cache, and the registry stopped.

use longshore_tests::{Client, Content, Fault, Image, On, Origin, Proxy, media};

const PREFIX: &str = "/v2/library/app";

/// Upstream was asked once for each object of the image.
fn asked_once(origin: &Origin, image: &Image) {
    let manifests = origin
        .requests()
        .iter()
        .filter(|seen| seen.method == "GET" && seen.path.contains("/manifests/"))
        .count();
    assert_eq!(manifests, 1, "{:#?}", origin.requests());
    for blob in image.blobs() {
        let path = format!("{PREFIX}/blobs/{blob}");
        assert_eq!(origin.count("GET", &path), 1, "{path}");
        assert_eq!(origin.bytes_sent(&path), origin.blob(blob).len(), "{path}");
    }
}

/// "Each client pulls by tag and by digest; upstream sees every object once; then with the registry stopped
/// each client, emptied, pulls the same again." And after a restart of the proxy: the store is what remembers.
#[tokio::test]
async fn by_tag_and_digest_once_and_again_with_the_registry_stopped() {
    let origin = Origin::start().await;
    let image = origin.image("library/app", "1", &[10, 70_000, 3 << 20]);
    let mut proxy = Proxy::start(&origin).await;
    for name in ["1", image.digest.as_str(), "1"] {
        proxy.client().pull(&origin, PREFIX, &image, name, "").await;
    }
    asked_once(&origin, &image);
    origin.stop().await;
    for name in ["1", image.digest.as_str()] {
        proxy.client().pull(&origin, PREFIX, &image, name, "").await;
    }
    proxy.settled().await;
    proxy.restart().await;
    for name in ["1", image.digest.as_str()] {
        proxy.client().pull(&origin, PREFIX, &image, name, "").await;
    }
}

/// Content is fetched, verified, kept and served by the algorithm of the digest that it is asked for by.
#[tokio::test]
async fn by_sha512() {
    let origin = Origin::start().await;
    let content = Content::seeded(6, 3 << 20);
    let blob = content.digest_sha512();
    origin.push_blob_as("library/app", content.clone(), &blob);
    let document = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","config":{{"mediaType":"{}","digest":"{blob}","size":{}}},"layers":[]}}"#,
        media::OCI_MANIFEST,
        media::OCI_CONFIG,
        content.len()
    );
    let manifest = Content::from(document.clone()).digest_sha512();
    let media_type = media::OCI_MANIFEST;
    origin.push_manifest_as("library/app", "1", document.clone(), media_type, &manifest);
    let objects = [
        ("manifests", &manifest, document.into_bytes()),
        ("blobs", &blob, content.bytes()),
    ];
    let pull = async |client: Client, outcome| {
        for (kind, digest, bytes) in &objects {
            let path = format!("{PREFIX}/{kind}/{digest}");
            let read = client.read(&path).await;
            let found = (read.status, read.header("docker-content-digest"));
            assert_eq!(found, (200, Some(digest.as_str())), "{path}");
            assert_eq!(read.header("x-cache"), Some(outcome), "{path}");
            assert!(read.body == *bytes, "{path}");
            let head = client.head(&path).await;
            let found = (head.status, head.header("docker-content-digest"));
            assert_eq!(found, (200, Some(digest.as_str())), "{path}");
        }
    };
    let mut proxy = Proxy::start(&origin).await;
    pull(proxy.client(), "miss").await;
    proxy.settled().await;
    pull(proxy.client(), "hit").await;
    for (kind, digest, _) in &objects {
        let path = format!("{PREFIX}/{kind}/{digest}");
        assert_eq!(origin.count("GET", &path), 1, "{path}");
    }
    proxy.restart().await;
    pull(proxy.client(), "hit").await;
    origin.stop().await;
    pull(proxy.client(), "hit").await;
    proxy.restart().await;
    pull(proxy.client(), "hit").await;
}

/// And bytes that are not those of a digest of sha512 are refused.
#[tokio::test]
async fn wrong_bytes_by_sha512() {
    let origin = Origin::start().await;
    let content = Content::seeded(7, 1000);
    let digest = content.digest_sha512();
    origin.push_blob_as("library/app", content.clone(), &digest);
    let json = Content::from(r#"{"schemaVersion":2,"layers":[]}"#);
    let manifest = json.digest_sha512();
    origin.push_manifest_as(
        "library/app",
        "1",
        json.bytes(),
        media::OCI_MANIFEST,
        &manifest,
    );
    origin.order_always(On::path("/v2/"), Fault::WrongBytes(10));
    let proxy = Proxy::start(&origin).await;
    for path in [
        format!("{PREFIX}/blobs/{digest}"),
        format!("{PREFIX}/manifests/{manifest}"),
    ] {
        assert_eq!(proxy.client().read(&path).await.status, 502, "{path}");
    }
    assert!(!proxy.keeps(&digest) && !proxy.keeps(&manifest));
}

/// The same image by any shape of URL is one entry of the cache.
#[tokio::test]
async fn every_shape_of_url_is_one_entry() {
    let origin = Origin::start().await;
    let image = origin.image("library/app", "1", &[1000]);
    let proxy = Proxy::start(&origin).await;
    for (prefix, query) in [
        ("/v2/library/app", ""),
        ("/v2/app", ""),
        ("/v2/library/app", "?ns=docker.io"),
        ("/v2/app", "?ns=registry-1.docker.io"),
        ("/v2/library/app", "?ns=index.docker.io"),
        ("/v2/library/app", "?ns=DOCKER.io"),
        ("/v2/library/app", "?ns=docker%2Eio"),
        ("/v2/docker.io/library/app", ""),
        ("/v2/docker.io/app", ""),
        ("/v2/docker.io/library/app", "?ns=docker.io"),
        ("/docker.io/v2/library/app", ""),
        ("/docker.io/v2/library/app", "?ns=docker.io"),
    ] {
        for name in ["1", image.digest.as_str()] {
            proxy
                .client()
                .pull(&origin, prefix, &image, name, query)
                .await;
        }
    }
    asked_once(&origin, &image);
    assert!(
        origin.requests().iter().all(|seen| seen.query.is_empty()),
        "ns is never passed on"
    );
}

/// Registries are told apart, by their name in any shape of URL, with a port in it.
#[tokio::test]
async fn two_registries_do_not_mix() {
    let (hub, corp) = (Origin::start().await, Origin::start().await);
    let one = hub.image("team/app", "1", &[100]);
    let other = corp.image("team/app", "1", &[200]);
    let proxy = Proxy::with(&hub)
        .upstream("corp.example:5000", &[&corp], "")
        .start()
        .await;
    let client = proxy.client();
    client.pull(&hub, "/v2/team/app", &one, "1", "").await;
    client
        .pull(&corp, "/v2/team/app", &other, "1", "?ns=corp.example:5000")
        .await;
    client
        .pull(
            &corp,
            "/v2/team/app",
            &other,
            "1",
            "?ns=corp.example%3A5000",
        )
        .await;
    client
        .pull(&corp, "/v2/corp.example:5000/team/app", &other, "1", "")
        .await;
    client
        .pull(
            &corp,
            "/corp.example:5000/v2/team/app",
            &other,
            "1",
            "?ns=docker.io",
        )
        .await;
    assert_eq!(
        corp.requests()
            .iter()
            .filter(|seen| seen.method == "GET")
            .count(),
        3
    );
}

/// A `Host` name given in the configuration stands for its upstream.
#[tokio::test]
async fn a_host_name_stands_for_its_upstream() {
    let (hub, corp) = (Origin::start().await, Origin::start().await);
    let image = corp.image("team/app", "1", &[200]);
    let proxy = Proxy::with(&hub)
        .upstream(
            "corp.example",
            &[&corp],
            r#"hosts = ["mirror.corp.example"]"#,
        )
        .start()
        .await;
    for host in ["mirror.corp.example", "MIRROR.corp.example:5000"] {
        proxy
            .client()
            .with("Host", host)
            .pull(&corp, "/v2/team/app", &image, "1", "")
            .await;
    }
    assert_eq!(hub.connections(), 0);
}

/// An unknown upstream is 404 NAME_UNKNOWN, and nobody is dialled.
#[tokio::test]
async fn an_unknown_upstream_is_not_dialled() {
    let (origin, stranger) = (Origin::start().await, Origin::start().await);
    let proxy = Proxy::start(&origin).await;
    let host = stranger.host();
    for path in [
        format!("/v2/app/manifests/1?ns={host}"),
        format!("/{host}/v2/app/manifests/1"),
        format!("/v2/{host}/app/manifests/1"),
        "/v2/app/manifests/1?ns=169.254.169.254".to_owned(),
        "/v2/app/manifests/1?ns=localhost".to_owned(),
        "/unknown.example/v2/app/blobs/sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855".to_owned(),
    ] {
        let read = proxy.client().read(&path).await;
        assert_eq!((read.status, read.codes()), (404, vec!["NAME_UNKNOWN".to_owned()]), "{path}");
    }
    assert_eq!((stranger.connections(), origin.connections()), (0, 0));
}

/// Start-up and the ping need no upstream.
#[tokio::test]
async fn start_and_ping_need_no_upstream() {
    let origin = Origin::start().await;
    origin.stop().await;
    let proxy = Proxy::start(&origin).await;
    for path in [
        "/v2/",
        "/v2",
        "/v2/?ns=docker.io",
        "/v2/?ns=unknown.example",
        "/docker.io/v2/",
    ] {
        for read in [
            proxy.client().read(path).await,
            proxy.client().head(path).await,
        ] {
            assert_eq!(read.status, 200, "{path}");
            assert_eq!(
                read.header("docker-distribution-api-version"),
                Some("registry/2.0"),
                "{path}"
            );
            assert_eq!(
                read.header("content-type"),
                Some("application/json"),
                "{path}"
            );
        }
        assert!(proxy.client().read(path).await.body.starts_with(b"{"));
    }
}

/// The headers of manifests and blobs, on GET and HEAD, cold and kept.
#[tokio::test]
async fn headers_of_answers() {
    let origin = Origin::start().await;
    let image = origin.image("library/app", "1", &[5000]);
    let proxy = Proxy::start(&origin).await;
    let client = proxy.client().with("Accept-Encoding", "gzip, br");
    let blob = format!("{PREFIX}/blobs/{}", image.layers[0]);
    let cold = client.head(&blob).await;
    assert!(
        origin
            .requests()
            .iter()
            .all(|seen| seen.body_bytes_sent <= 1),
        "a HEAD starts no fill"
    );
    let first = client.read(&blob).await;
    for (what, read) in [
        ("cold HEAD", cold),
        ("GET", first),
        ("HEAD", client.head(&blob).await),
    ] {
        assert_eq!(read.status, 200, "{what}");
        assert_eq!(read.header("content-length"), Some("5000"), "{what}");
        assert_eq!(
            read.header("content-type"),
            Some("application/octet-stream"),
            "{what}"
        );
        assert_eq!(
            read.header("docker-content-digest"),
            Some(image.layers[0].as_str()),
            "{what}"
        );
        assert_eq!(read.header("accept-ranges"), Some("bytes"), "{what}");
        assert_eq!(
            read.header("etag").map(|tag| tag.trim_matches('"')),
            Some(image.layers[0].as_str()),
            "{what}"
        );
        assert_eq!(read.header("content-encoding"), None, "{what}");
    }
    let manifest = format!("{PREFIX}/manifests/1");
    for read in [client.read(&manifest).await, client.head(&manifest).await] {
        assert_eq!(read.header("content-type"), Some(media::OCI_MANIFEST));
        assert_eq!(
            read.header("etag").map(|tag| tag.trim_matches('"')),
            Some(image.digest.as_str())
        );
    }
}

/// `X-Cache` says what a request came to, `OCI-Namespace` repeats `ns`, `ETag` is honoured.
#[tokio::test]
async fn x_cache_namespace_and_conditional_requests() {
    let origin = Origin::start().await;
    let image = origin.image("library/app", "1", &[5000]);
    let proxy = Proxy::start(&origin).await;
    let client = proxy.client();
    for path in [
        format!("{PREFIX}/manifests/1"),
        format!("{PREFIX}/blobs/{}", image.layers[0]),
    ] {
        let path = format!("{path}?ns=docker.io");
        for outcome in ["miss", "hit"] {
            let read = client.read(&path).await;
            assert_eq!(read.header("x-cache"), Some(outcome), "{path}");
            assert_eq!(read.header("oci-namespace"), Some("docker.io"), "{path}");
            proxy.settled().await;
        }
        let tag = client.head(&path).await.header("etag").unwrap().to_owned();
        let same = client.with("If-None-Match", &tag).read(&path).await;
        assert_eq!((same.status, same.body.len()), (304, 0), "{path}");
        let other = client
            .with("If-None-Match", "\"sha256:0\"")
            .read(&path)
            .await;
        assert_eq!(other.status, 200, "{path}");
    }
}

/// Lists and errors say so as well.
#[tokio::test]
async fn lists_and_errors_have_x_cache_and_namespace() {
    let origin = Origin::start().await;
    let image = origin.image("library/app", "1", &[100]);
    let proxy = Proxy::start(&origin).await;
    let client = proxy.client();
    let referrers = format!("{PREFIX}/referrers/{}", image.digest);
    origin.order(On::get(&referrers), [Fault::bare(501, &[])]);
    let absent = format!("sha256:{}", "0".repeat(64));
    for (path, status, outcome) in [
        (format!("{PREFIX}/tags/list"), 200, "bypass"),
        (referrers.clone(), 404, "error"),
        (referrers, 200, "bypass"),
        (format!("{PREFIX}/manifests/2"), 404, "error"),
        (format!("{PREFIX}/blobs/{absent}"), 404, "error"),
    ] {
        let read = client.read(&format!("{path}?ns=docker.io")).await;
        let found = (
            read.status,
            read.header("x-cache"),
            read.header("oci-namespace"),
        );
        assert_eq!(found, (status, Some(outcome), Some("docker.io")), "{path}");
        let plain = client.read(&path).await;
        assert_eq!(plain.header("oci-namespace"), None, "{path}");
    }
    let refused = client.read("/v2/app/manifests/1?ns=unknown.example").await;
    assert_eq!(refused.header("x-cache"), Some("error"));
}

/// Past `revalidate` a HEAD upstream says whether the tag still holds.
#[tokio::test]
async fn a_tag_is_revalidated_and_follows_upstream() {
    let origin = Origin::start().await;
    let image = origin.image("library/app", "1", &[100]);
    let proxy = Proxy::unsure(&origin).start().await;
    let path = format!("{PREFIX}/manifests/1");
    proxy.client().pull(&origin, PREFIX, &image, "1", "").await;
    let same = proxy.client().read(&path).await;
    assert_eq!(
        (same.status, same.header("x-cache")),
        (200, Some("revalidated"))
    );
    assert_eq!(origin.count("GET", &path), 1, "a HEAD is enough");
    let moved = origin.image("library/app", "1", &[200]);
    assert_ne!(moved.digest, image.digest);
    proxy.client().pull(&origin, PREFIX, &moved, "1", "").await;
    assert_eq!(
        origin.count("GET", &path)
            + origin.count("GET", &format!("{PREFIX}/manifests/{}", moved.digest)),
        2
    );
    proxy
        .client()
        .pull(&origin, PREFIX, &image, &image.digest, "")
        .await;
}

/// Writes are 405 UNSUPPORTED with `Allow`; nothing reaches upstream.
#[tokio::test]
async fn writes_are_refused() {
    let origin = Origin::start().await;
    let proxy = Proxy::start(&origin).await;
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        for path in [
            "/v2/",
            "/v2/library/app/blobs/uploads/",
            "/v2/library/app/manifests/1",
            "/docker.io/v2/library/app/manifests/1",
        ] {
            let read = proxy.client().send(method, path).await.read().await;
            assert_eq!(
                (read.status, read.codes()),
                (405, vec!["UNSUPPORTED".to_owned()]),
                "{method} {path}"
            );
            assert_eq!(read.header("allow"), Some("GET, HEAD"), "{method} {path}");
        }
    }
    assert_eq!(origin.connections(), 0);
}

/// `n` and `last` reach upstream, `Link` is relative and in the shape the client used.
#[tokio::test]
async fn tags_are_listed() {
    let origin = Origin::start().await;
    for tag in ["a", "b", "c"] {
        origin.image("library/app", tag, &[1]);
    }
    let proxy = Proxy::start(&origin).await;
    for (prefix, query) in [
        ("/v2/library/app", ""),
        ("/v2/docker.io/library/app", ""),
        ("/docker.io/v2/library/app", ""),
        ("/v2/app", "&ns=docker.io"),
    ] {
        let read = proxy
            .client()
            .read(&format!("{prefix}/tags/list?n=2&last=a{query}"))
            .await;
        assert_eq!(read.status, 200, "{prefix}");
        let body: serde_json::Value = serde_json::from_slice(&read.body).unwrap();
        assert_eq!(body["tags"], serde_json::json!(["b", "c"]), "{prefix}");
        let read = proxy
            .client()
            .read(&format!("{prefix}/tags/list?n=1{query}"))
            .await;
        let link = read.header("link").unwrap();
        let next = link
            .strip_prefix('<')
            .and_then(|link| link.split_once(">; rel=\"next\""))
            .unwrap()
            .0;
        assert!(next.starts_with(prefix), "{link}");
        let read = proxy.client().read(next).await;
        let body: serde_json::Value = serde_json::from_slice(&read.body).unwrap();
        assert_eq!(body["tags"], serde_json::json!(["b"]), "{prefix}");
    }
}

/// Referrers are passed through; anything but an index is "not supported", which is not NAME_UNKNOWN.
#[tokio::test]
async fn referrers_are_passed_through() {
    let origin = Origin::start().await;
    let image = origin.image("library/app", "1", &[1]);
    let subject = format!(
        r#"{{"artifactType":"a/b","subject":{{"digest":"{}"}}}}"#,
        image.digest
    );
    let referrer = origin.push_manifest("library/app", None, subject, media::OCI_MANIFEST);
    let proxy = Proxy::start(&origin).await;
    let path = format!("{PREFIX}/referrers/{}", image.digest);
    let website = Origin::start().await;
    website.order_always(On::path("/login"), Fault::Html200);
    website.order_always(On::path("/busy"), Fault::bare(429, &[]));
    let read = proxy
        .client()
        .read(&format!("{path}?artifactType=a%2Fb"))
        .await;
    assert_eq!(
        (read.status, read.header("content-type")),
        (200, Some(media::OCI_INDEX))
    );
    assert_eq!(read.header("oci-filters-applied"), Some("artifactType"));
    assert!(String::from_utf8(read.body).unwrap().contains(&referrer));
    for fault in [
        Fault::bare(404, &[]),
        Fault::Redirect(format!("{}/login", website.url()), 303),
        Fault::Redirect(format!("{}/busy", website.url()), 303),
        Fault::Html200,
        Fault::bare(400, &[]),
        Fault::bare(405, &[]),
    ] {
        origin.order_always(On::get("/referrers/"), fault.clone());
        let read = proxy.client().read(&path).await;
        assert_eq!(
            (read.status, read.codes()),
            (404, vec!["UNSUPPORTED".to_owned()]),
            "{fault:?}"
        );
        origin.behave();
    }
}
