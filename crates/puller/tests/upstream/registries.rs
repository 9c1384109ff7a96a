//! The client for many registries.

use std::sync::Arc;

use futures_util::TryStreamExt;
use longshore_manifest::{Descriptor, MediaType, Platform, Preference};
use longshore_puller::{Fault as Wrong, Keychain, Lookup, Pulled, Registries, Resolved, Timeouts};
use tokio::io::AsyncReadExt;

use crate::common::*;

/// A client that knows this registry by its name.
fn registries(origin: &Origin) -> Registries {
    let registries = Registries::new();
    registries.configure(config(&[origin])).unwrap();
    registries
}

/// A client that soon takes a server that answers no TLS for a plain one.
fn hasty() -> Registries {
    let mut timeouts = Timeouts::default();
    timeouts.connect = std::time::Duration::from_millis(300);
    Registries::new().with_timeouts(timeouts)
}

fn amd64() -> Preference {
    Preference::only(&Platform::new("linux", "amd64", ""))
}

/// Every layer and the configuration of an image, each verified.
async fn pull(registries: &Registries, name: &str) -> Vec<Vec<u8>> {
    let reference = Reference::parse(name).unwrap();
    let image = registries.image(&reference, amd64()).await.unwrap();
    let mut pulled = Vec::new();
    let blobs = image.manifest.config().into_iter();
    for descriptor in blobs.chain(image.manifest.layers()) {
        let blob = registries.blob(reference.named(), descriptor).await;
        let mut bytes = Vec::new();
        blob.unwrap().read_to_end(&mut bytes).await.unwrap();
        assert_eq!(Digest::sha256(&bytes), descriptor.digest);
        pulled.push(bytes);
    }
    pulled
}

#[tokio::test]
async fn an_image_of_a_platform_by_a_host_without_a_scheme() {
    let origin = Origin::start().await;
    let index = origin.index("library/app", "1", &["arm64", "amd64"], &[1000, 2000]);
    let pulled = pull(&hasty(), &format!("{}/library/app:1", origin.host())).await;
    let expected: Vec<_> = index.images[1]
        .blobs()
        .map(|blob| origin.blob(blob).bytes())
        .collect();
    assert_eq!(pulled, expected);
}

#[tokio::test]
async fn an_image_in_an_index_in_an_index() {
    let origin = Origin::start().await;
    let inner = origin.index("library/app", "inner", &["amd64"], &[1000]);
    let entry = serde_json::json!({
        "mediaType": MediaType::OciIndex.as_str(), "digest": inner.digest, "size": inner.manifest.len(),
    });
    let outer = serde_json::json!({
        "schemaVersion": 2, "mediaType": MediaType::OciIndex.as_str(), "manifests": [entry],
    });
    origin.push_manifest(
        "library/app",
        Some("1"),
        outer.to_string(),
        MediaType::OciIndex.as_str(),
    );
    let registries = registries(&origin);
    let image = registries
        .image(&tagged("library/app:1"), amd64())
        .await
        .unwrap();
    assert_eq!(image.descriptor.digest.to_string(), inner.images[0].digest);
    let windows = Preference::only(&Platform::new("windows", "amd64", ""));
    let error = registries
        .image(&tagged("library/app:1"), windows)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Unusable { .. }), "{error:?}");
}

/// An image of 40 layers in an index costs no request more than the protocol needs, however slow it is: one challenge,
/// one token, one manifest a level, one GET a blob.
#[tokio::test]
async fn an_image_of_forty_layers_costs_no_request_too_many() {
    let origin = Origin::start().await;
    let sizes: Vec<u64> = (1..=40).map(|n| n * 100).collect();
    let index = origin.index("library/app", "1", &["arm64", "amd64"], &sizes);
    origin.require_bearer(Bearer::default());
    let latency = std::time::Duration::from_millis(50);
    origin.order_always(On::path("/"), Fault::SlowHeaders(latency));
    assert_eq!(
        pull(&registries(&origin), "registry.test/library/app:1")
            .await
            .len(),
        41
    );
    assert_eq!(origin.count("GET", "/token"), 1);
    assert_eq!(
        origin.count("GET", "/v2/library/app/manifests/1"),
        2,
        "the challenge first"
    );
    let child = format!("/v2/library/app/manifests/{}", index.images[1].digest);
    assert_eq!(origin.count("GET", &child), 1);
    for blob in index.images[1].blobs() {
        assert_eq!(
            origin.count("GET", &format!("/v2/library/app/blobs/{blob}")),
            1
        );
    }
    assert_eq!(origin.requests().len(), 1 + 2 + 1 + 41);
}

#[tokio::test]
async fn a_reference_resolves_to_a_descriptor() {
    let origin = Origin::start().await;
    let image = origin.image("library/app", "1", &[1000]);
    let registries = registries(&origin);
    for fault in [Fault::None, Fault::NoDigestHeader] {
        origin.order_always(On::path("/manifests/"), fault.clone());
        let resolved = registries.resolve(&tagged("library/app:1")).await.unwrap();
        let Resolved::Manifest(descriptor) = resolved else {
            panic!("{resolved:?}")
        };
        assert_eq!(descriptor.digest.to_string(), image.digest, "{fault:?}");
        assert_eq!(descriptor.media_type, MediaType::OciManifest);
        assert_eq!(descriptor.size, Some(image.manifest.len() as u64));
        origin.behave();
    }
    let fetched = registries.fetch(&tagged("library/app:1")).await.unwrap();
    let Pulled::Manifest(document) = fetched else {
        panic!("{fetched:?}")
    };
    assert_eq!(&document.manifest.bytes()[..], &image.manifest[..]);
}

/// In the algorithm of the digest.
#[tokio::test]
async fn manifests_and_blobs_of_sha512() {
    let origin = Origin::start().await;
    let content = longshore_tests::Content::seeded(1, 5000);
    let digest = content.digest_sha512();
    origin.push_blob_as("library/app", content.clone(), &digest);
    let registries = registries(&origin);
    let named = tagged("library/app:1").named().clone();
    let layer = Descriptor::new(MediaType::OciLayer, Digest::parse(&digest).unwrap(), None);
    let blob = registries.blob(&named, &layer).await.unwrap();
    let bytes: Vec<_> = blob.try_collect().await.unwrap();
    assert_eq!(bytes.concat(), content.bytes());
}

#[tokio::test]
async fn the_last_chunk_is_withheld_until_the_digest_is_right() {
    let origin = Origin::start().await;
    for size in [0, 1, 1000, 3_000_000] {
        let content = longshore_tests::Content::seeded(size, size);
        let digest = origin.push_blob("library/app", content.clone());
        let path = format!("/v2/library/app/blobs/{digest}");
        let digest = Digest::parse(&digest).unwrap();
        // A size that lies is no reason to refuse right bytes.
        let layer = Descriptor::new(MediaType::OciLayer, digest, Some(size + 1));
        let named = tagged("library/app:1").named().clone();
        let registries = registries(&origin);
        let blob = registries.blob(&named, &layer).await.unwrap();
        let bytes: Vec<_> = blob.try_collect().await.unwrap();
        assert_eq!(bytes.concat(), content.bytes());
        let Some(last) = size.checked_sub(1) else {
            continue;
        };
        for at in [0, last] {
            origin.order(On::get(&path), [Fault::WrongBytes(at)]);
            let mut blob = registries.blob(&named, &layer).await.unwrap();
            let (mut came, mut buffer) = (0, vec![0; 10_000]);
            let error = loop {
                match blob.read(&mut buffer).await {
                    Ok(0) => panic!("{size}: a wrong blob ended well"),
                    Ok(count) => came += count as u64,
                    Err(error) => break error,
                }
            };
            let error = error
                .get_ref()
                .and_then(|inner| inner.downcast_ref::<Error>());
            let wrong = matches!(
                error,
                Some(Error::Misbehaved {
                    fault: Wrong::Digest,
                    ..
                })
            );
            assert!(wrong && came < size, "{size} {came}: {error:?}");
        }
    }
}

#[tokio::test]
async fn tags_of_all_pages() {
    let list = |tags: &str, next: Option<&str>| {
        let mut headers = vec![("Content-Type".to_owned(), "application/json".to_owned())];
        headers.extend(next.map(|next| ("Link".to_owned(), next.to_owned())));
        let body = format!(r#"{{"name":"library/app","tags":{tags}}}"#);
        Fault::Status(200, headers, body.into())
    };
    let origin = Origin::start().await;
    let path = On::get("/v2/library/app/tags/list");
    let pages = [
        list(
            r#"["1","not a tag","2"]"#,
            Some("</v2/x?last=2>; rel=\"next\""),
        ),
        list(
            "[]",
            Some("<http://elsewhere.test/v2/x?last=2&n=5>; rel=\"next\""),
        ),
        list(r#"["3"]"#, None),
    ];
    origin.order(path.clone(), pages);
    let registries = registries(&origin);
    let named = tagged("library/app:1").named().clone();
    let tags: Vec<_> = registries.tags(&named).try_collect().await.unwrap();
    let tags: Vec<_> = tags.iter().map(ToString::to_string).collect();
    assert_eq!(tags, ["1", "2", "3"]);
    let queries: Vec<_> = origin
        .requests()
        .into_iter()
        .map(|seen| seen.query)
        .collect();
    assert_eq!(queries, ["", "last=2", "last=2&n=5"]);
    // A page that is its own next page ends the list; an error ends it too.
    let again = list(r#"["1"]"#, Some("</v2/x?last=1>; rel=\"next\""));
    origin.order(path.clone(), [again.clone(), again]);
    let tags: Vec<_> = registries.tags(&named).try_collect().await.unwrap();
    assert_eq!(tags.len(), 2);
    origin.order(path.clone(), [list("null", None)]);
    let tags: Vec<_> = registries.tags(&named).try_collect().await.unwrap();
    assert_eq!(tags.len(), 0);
    origin.order(path, [Fault::error(403, "DENIED")]);
    let failed: Result<Vec<_>, _> = registries.tags(&named).try_collect().await;
    assert!(matches!(failed, Err(Error::Denied { .. })), "{failed:?}");
}

#[tokio::test]
async fn referrers_by_the_call_and_by_the_tag() {
    let origin = Origin::start().await;
    let image = origin.image("library/app", "1", &[1000]);
    let subject = canonical("library/app", &image.digest);
    let signature = origin.image("library/app", "signature", &[100]);
    let registries = registries(&origin);
    assert_eq!(registries.referrers(&subject).await.unwrap(), []);
    let call = On::get("/referrers/");
    for unsupported in [Fault::bare(404, &[]), Fault::bare(501, &[]), Fault::Html200] {
        origin.order_always(call.clone(), unsupported);
        assert_eq!(registries.referrers(&subject).await.unwrap(), []);
    }
    let entry = serde_json::json!({
        "mediaType": signature.media_type, "digest": signature.digest,
        "size": signature.manifest.len(), "artifactType": "application/example",
    });
    let index = serde_json::json!({
        "schemaVersion": 2, "mediaType": MediaType::OciIndex.as_str(), "manifests": [entry],
    });
    let tag = image.digest.replace(':', "-");
    origin.push_manifest(
        "library/app",
        Some(&tag),
        index.to_string(),
        MediaType::OciIndex.as_str(),
    );
    let found = registries.referrers(&subject).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].digest.to_string(), signature.digest);
    origin.behave();
    origin.order(call, [Fault::error(403, "DENIED")]);
    let denied = registries.referrers(&subject).await;
    assert!(matches!(denied, Err(Error::Denied { .. })), "{denied:?}");
}

#[derive(Debug)]
struct Mine;

impl Keychain for Mine {
    fn find(&self, registry: &str, repository: &str) -> Lookup<'_> {
        let wanted = registry.starts_with("127.0.0.1:") && repository == "library/app";
        let found = wanted.then(|| Credentials::Basic {
            username: "me".to_owned(),
            password: Secret::value("secret"),
        });
        Box::pin(async move { Ok(found) })
    }
}

#[tokio::test]
async fn a_keychain_of_the_callers_own() {
    let origin = Origin::start().await;
    for repository in ["library/app", "library/other"] {
        origin.image(repository, "1", &[1000]);
    }
    origin.require_basic("me", "secret");
    let registries = hasty().with_credentials(Credentials::Keychain(Arc::new(Mine)));
    let name = |repository| Reference::parse(&format!("{}/{repository}:1", origin.host())).unwrap();
    registries.fetch(&name("library/app")).await.unwrap();
    let denied = registries.fetch(&name("library/other")).await;
    assert!(matches!(denied, Err(Error::Denied { .. })), "{denied:?}");
}

#[tokio::test]
async fn a_total_deadline() {
    let origin = Origin::start().await;
    origin.order_always(On::path("/v2/"), Fault::HangBeforeHeaders);
    let total = std::time::Duration::from_millis(300);
    let registries = registries(&origin).with_total(total);
    registries.configure(config(&[&origin])).unwrap();
    let start = std::time::Instant::now();
    let late = registries.fetch(&tagged("library/app:1")).await;
    assert!(matches!(late, Err(Error::TimedOut { .. })), "{late:?}");
    assert!(start.elapsed() < std::time::Duration::from_secs(5));
}

/// Tokens too, and every kind of call; of a blob its headers.
#[tokio::test]
async fn a_total_deadline_covers_every_kind_of_call() {
    let total = std::time::Duration::from_millis(300);
    for hangs in ["/v2/library", "/token"] {
        let origin = Origin::start().await;
        let image = origin.image("library/app", "1", &[1000]);
        origin.require_bearer(Bearer::default());
        origin.order_always(On::path(hangs), Fault::HangBeforeHeaders);
        let registries = Registries::new().with_total(total);
        registries.configure(config(&[&origin])).unwrap();
        let reference = tagged("library/app:1");
        let named = reference.named();
        let digest = Digest::parse(&image.digest).unwrap();
        let layer = Descriptor::new(MediaType::OciLayer, digest, None);
        let subject = canonical("library/app", &image.digest);
        let start = std::time::Instant::now();
        for late in [
            registries.resolve(&reference).await.err(),
            registries.fetch(&reference).await.err(),
            registries.blob(named, &layer).await.err(),
            registries.tags(named).try_next().await.err(),
            registries.referrers(&subject).await.err(),
        ] {
            assert!(
                matches!(
                    late,
                    Some(Error::TimedOut { .. } | Error::Unreachable { .. })
                ),
                "{hangs}: {late:?}"
            );
        }
        assert!(
            start.elapsed() < std::time::Duration::from_secs(5),
            "{hangs}: {:?}",
            start.elapsed()
        );
    }
}

/// A server of plain HTTP says nothing to a handshake of TLS.
#[tokio::test]
async fn a_host_without_a_scheme_is_soon_asked_in_plain() {
    let origin = Origin::start().await;
    origin.image("library/app", "1", &[1000]);
    let name = format!("{}/library/app:1", origin.host());
    let reference = Reference::parse(&name).unwrap();
    let start = std::time::Instant::now();
    Registries::new().resolve(&reference).await.unwrap();
    assert!(start.elapsed() < std::time::Duration::from_secs(4));
}
