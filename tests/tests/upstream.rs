//! What upstream is asked, and registries with habits: tokens, redirects, headers, several endpoints.

use longshore_tests::{Bearer, Client, Content, Fault, On, Origin, Proxy, media};

const PREFIX: &str = "/v2/library/app";

/// What upstream is asked for does not depend on the client.
#[tokio::test]
async fn upstream_is_asked_in_one_way() {
    let origin = Origin::start().await;
    let index = origin.index("library/app", "1", &["amd64", "arm64"], &[100]);
    let proxy = Proxy::start(&origin).await;
    let client = proxy
        .client()
        .with("Accept", "text/none")
        .with("Accept-Encoding", "gzip")
        .with("Cookie", "a=b");
    let read = client
        .with("Authorization", "Basic eDp5")
        .read(&format!("{PREFIX}/manifests/1"))
        .await;
    assert_eq!((read.status, read.body), (200, index.manifest));
    for seen in origin.requests() {
        let accept = seen.header("accept").unwrap_or_default();
        for media_type in [
            media::OCI_INDEX,
            media::OCI_MANIFEST,
            media::LIST,
            media::SCHEMA2,
        ] {
            assert!(accept.contains(media_type), "{accept}");
        }
        assert!(accept.trim_end().ends_with("*/*"), "{accept}");
        assert_eq!(seen.header("accept-encoding"), Some("identity"));
        assert_eq!(
            (seen.header("authorization"), seen.header("cookie")),
            (None, None)
        );
    }
    for image in &index.images {
        client.pull(&origin, PREFIX, image, &image.digest, "").await;
    }
    let by_digest = client
        .read(&format!("{PREFIX}/manifests/{}", index.digest))
        .await;
    assert_eq!(by_digest.header("content-type"), Some(media::OCI_INDEX));
}

/// "bearer … challenges learnt from any 401 (and from `/v2/` when the object's 401 has none), token
/// cache with one exchange in flight".
#[tokio::test]
async fn bearer_tokens_are_exchanged_once() {
    for challenge_on_objects in [true, false] {
        for (credentials, lines) in [
            (None, ""),
            (
                Some(("ann".to_owned(), "secret".to_owned())),
                r#"credentials = { username = "ann", password = "secret" }"#,
            ),
        ] {
            let origin = Origin::start().await;
            let image = origin.image("library/app", "1", &[1000, 2000, 3000, 4000]);
            origin.require_bearer(Bearer {
                credentials,
                challenge_on_objects,
                ..Bearer::default()
            });
            let proxy = Proxy::with(&Origin::start().await)
                .upstream("corp.example", &[&origin], lines)
                .start()
                .await;
            let prefix = "/v2/corp.example/library/app";
            let paths: Vec<_> = image
                .blobs()
                .map(|blob| format!("{prefix}/blobs/{blob}"))
                .collect();
            let reads = paths.iter().map(|path| {
                let (client, path) = (proxy.client(), path.clone());
                tokio::spawn(async move { client.read(&path).await.status })
            });
            for read in reads.collect::<Vec<_>>() {
                assert_eq!(read.await.unwrap(), 200);
            }
            proxy.client().pull(&origin, prefix, &image, "1", "").await;
            assert_eq!(
                origin.count("GET", "/token"),
                1,
                "{challenge_on_objects} {lines}"
            );
            origin.expire_tokens();
            assert_eq!(
                proxy
                    .client()
                    .read(&format!("{prefix}/manifests/2"))
                    .await
                    .status,
                404
            );
            assert_eq!(
                origin.count("GET", "/token"),
                2,
                "a token that ended is exchanged again"
            );
        }
    }
}

/// Basic; and secrets are never written down.
#[tokio::test]
async fn basic_credentials_of_the_configuration() {
    let origin = Origin::start().await;
    let image = origin.image("library/app", "1", &[1000]);
    origin.require_basic("ann", "s3cr3t-word");
    let lines = r#"credentials = { username = "ann", password = "s3cr3t-word" }"#;
    let proxy = Proxy::with(&Origin::start().await)
        .upstream("corp.example", &[&origin], lines)
        .start()
        .await;
    proxy
        .client()
        .pull(&origin, "/v2/corp.example/library/app", &image, "1", "")
        .await;
    let log = proxy.log();
    assert!(!log.is_empty() && !log.contains("s3cr3t-word"), "{log}");
    assert!(!log.contains("YW5uOnMzY3IzdC13b3Jk"), "{log}");
}

/// "redirects followed by hand with `Authorization` dropped across origins and relative `Location`s".
/// The storage refuses a request with `Authorization`. Queries of URLs are not logged (item 7).
#[tokio::test]
async fn redirects_to_storage() {
    let (origin, storage) = (Origin::start().await, Origin::start().await);
    let image = origin.image("library/app", "1", &[5000, 6000]);
    for layer in &image.layers {
        storage.push_blob("any", origin.blob(layer));
    }
    origin.require_bearer(Bearer::default());
    let to = format!(
        "{}/storage/{}?X-Signature=hidden",
        storage.url(),
        image.layers[0]
    );
    origin.order_always(On::path(&image.layers[0]), Fault::Redirect(to, 307));
    let proxy = Proxy::start(&origin).await;
    proxy
        .client()
        .pull_blob(
            &format!("{PREFIX}/blobs/{}", image.layers[0]),
            &origin.blob(&image.layers[0]),
        )
        .await;
    assert!(
        storage
            .requests()
            .iter()
            .all(|seen| seen.header("authorization").is_none())
    );
    assert_eq!(
        storage
            .requests()
            .iter()
            .filter(|seen| seen.method == "GET")
            .count(),
        1
    );
    assert!(!proxy.log().contains("hidden"), "{}", proxy.log());

    origin.order_always(
        On::path(&image.layers[1]),
        Fault::RedirectToStorage {
            status: 302,
            relative: true,
        },
    );
    let read = proxy
        .client()
        .read(&format!("{PREFIX}/blobs/{}", image.layers[1]))
        .await;
    // The same origin keeps `Authorization`, which this storage refuses: what matters is that it was found.
    assert!(
        origin
            .requests()
            .iter()
            .any(|seen| seen.path.starts_with("/storage/")),
        "{}",
        read.status
    );
}

/// "responses without digest header, without Content-Length, chunked"; HEAD refused as by some registries.
#[tokio::test]
async fn registries_with_habits() {
    for habit in [
        Fault::NoDigestHeader,
        Fault::Chunked,
        Fault::UntilClose,
        Fault::All(vec![
            Fault::NoDigestHeader,
            Fault::Chunked,
            Fault::Header("Content-Type".into(), None),
        ]),
    ] {
        let origin = Origin::start().await;
        let content = Content::seeded(5, 2 << 20);
        let blob = origin.push_blob("library/app", content.clone());
        let image = origin.image("library/app", "1", &[1000]);
        origin.order_always(On::path("/v2/"), habit.clone());
        origin.refuse_blob_head();
        let proxy = Proxy::start(&origin).await;
        let read = proxy.client().read(&format!("{PREFIX}/blobs/{blob}")).await;
        assert_eq!(
            (read.status, read.body == content.bytes()),
            (200, true),
            "{habit:?}"
        );
        proxy.client().pull(&origin, PREFIX, &image, "1", "").await;
        origin.stop().await;
        proxy.client().pull(&origin, PREFIX, &image, "1", "").await;
        proxy
            .client()
            .pull_blob(&format!("{PREFIX}/blobs/{blob}"), &content)
            .await;
    }
    let origin = Origin::start().await;
    let image = origin.image("library/app", "1", &[1000]);
    origin.refuse_head();
    let proxy = Proxy::unsure(&origin).start().await;
    for _ in 0..2 {
        proxy.client().pull(&origin, PREFIX, &image, "1", "").await;
    }
}

/// Endpoints in order; a mirror's 404 only means the next one.
#[tokio::test]
async fn endpoints_are_asked_in_order() {
    let (mirror, origin) = (Origin::start().await, Origin::start().await);
    let both = mirror.image("library/both", "1", &[100]);
    origin.image("library/both", "1", &[100]);
    let only = origin.image("library/only", "1", &[100]);
    let proxy = Proxy::with(&Origin::start().await)
        .upstream("corp.example", &[&mirror, &origin], "")
        .start()
        .await;
    let client: Client = proxy.client();
    client
        .pull(&mirror, "/v2/corp.example/library/both", &both, "1", "")
        .await;
    assert_eq!(origin.requests().len(), 0);
    client
        .pull(&origin, "/v2/corp.example/library/only", &only, "1", "")
        .await;
    mirror.stop().await;
    let again = origin.image("library/only", "2", &[200]);
    client
        .pull(&origin, "/v2/corp.example/library/only", &again, "2", "")
        .await;
}
