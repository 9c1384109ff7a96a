//! Sizes that upstream claims: only the digest decides, and a wrong claim leaves nothing behind.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use longshore_tests::{Content, Fault, On, Origin, Proxy, media};

const SMALL: u64 = 100_000;
const LARGE: u64 = (3 << 20) + 5;

fn path(repository: &str, digest: &str) -> String {
    format!("/v2/{repository}/blobs/{digest}")
}

/// Pulls the blob, restarts, and pulls it again, whole and in part.
async fn comes_right(proxy: &mut Proxy, path: &str, content: &Content, what: &str) {
    let read = proxy.client().read(path).await;
    assert_eq!(read.status, 200, "{what}");
    assert!(read.body == content.bytes(), "{what}: wrong bytes");
    proxy.settled().await;
    proxy.restart().await;
    proxy.client().pull_blob(path, content).await;
    let tail = proxy.client().range("-9").read(path).await;
    let (from, to) = (content.len() - 9, content.len());
    assert_eq!(
        (tail.status, tail.body),
        (206, content.slice(from, to)),
        "{what}"
    );
    let head = proxy.client().head(path).await;
    let size = content.len().to_string();
    assert_eq!(head.header("content-length"), Some(size.as_str()), "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_length_that_head_once_claimed_wrongly_is_forgotten() {
    for (seed, size) in [(1, SMALL), (2, LARGE)] {
        for claim in [17, size - 1, size + 1, 1 << 40] {
            for manifest in [false, true] {
                let origin = Origin::start().await;
                let image = origin.image("library/app", "1", &[size + seed]);
                let content = origin.blob(&image.layers[0]);
                let path = path("library/app", &image.layers[0]);
                let mut proxy = Proxy::start(&origin).await;
                let off = claim as i64 - content.len() as i64;
                origin.order(On::head(&path), [Fault::LengthLies(off)]);
                assert_eq!(proxy.client().head(&path).await.status, 200);
                origin.behave();
                if manifest {
                    let tag = proxy.client().read("/v2/library/app/manifests/1").await;
                    assert_eq!(tag.status, 200);
                }
                let what = format!("{size} {claim} {manifest}");
                comes_right(&mut proxy, &path, &content, &what).await;
            }
        }
    }
}

/// A manifest whose only layer has this size.
fn claiming(config: &str, layer: &str, size: &str) -> String {
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","config":{{"mediaType":"{}","digest":"{config}","size":2}},
            "layers":[{{"mediaType":"{}","digest":"{layer}","size":{size}}}]}}"#,
        media::OCI_MANIFEST,
        media::OCI_CONFIG,
        media::OCI_LAYER
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_descriptor_with_a_wrong_size_refuses_no_right_bytes() {
    for size in [SMALL, LARGE] {
        for claim in [
            (size + 1).to_string(),
            (size - 1).to_string(),
            "0".to_owned(),
            "1".to_owned(),
            (1_u64 << 63).to_string(),
            "10000000000000".to_owned(),
        ] {
            for chunked in [false, true] {
                let origin = Origin::start().await;
                let content = Content::seeded(size, size);
                let layer = origin.push_blob("library/app", content.clone());
                let config = origin.push_blob("library/app", "{}");
                let right = claiming(&config, &layer, &size.to_string());
                let wrong = claiming(&config, &layer, &claim);
                origin.push_manifest("library/app", Some("right"), right, media::OCI_MANIFEST);
                origin.push_manifest("library/app", Some("wrong"), wrong, media::OCI_MANIFEST);
                let path = path("library/app", &layer);
                if chunked {
                    origin.order_always(On::get(&path), Fault::Chunked);
                }
                let mut proxy = Proxy::start(&origin).await;
                for tag in ["right", "wrong"] {
                    let manifest = format!("/v2/library/app/manifests/{tag}");
                    assert_eq!(proxy.client().read(&manifest).await.status, 200);
                }
                let what = format!("{size} {claim} chunked: {chunked}");
                if chunked {
                    // Without a length from upstream the descriptor's may go out, and this very body be cut.
                    let first = proxy.client().read(&path).await;
                    assert!(first.body.len() as u64 <= size, "{what}");
                    proxy.settled().await;
                }
                comes_right(&mut proxy, &path, &content, &what).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_bytes_are_possible_for_the_empty_digest_alone() {
    for size in [SMALL, LARGE] {
        let origin = Origin::start().await;
        let content = Content::seeded(size, size);
        let digest = origin.push_blob("library/app", content.clone());
        let path = path("library/app", &digest);
        let mut proxy = Proxy::start(&origin).await;
        origin.order_always(On::path(&path), Fault::Short(size));
        let head = proxy.client().head(&path).await;
        assert_ne!(
            (head.status, head.header("content-length")),
            (200, Some("0"))
        );
        assert_eq!(proxy.client().read(&path).await.status, 502, "{size}");
        origin.behave();
        comes_right(&mut proxy, &path, &content, &size.to_string()).await;
    }
    let origin = Origin::start().await;
    let empty = Content::from("");
    for digest in [empty.digest(), empty.digest_sha512()] {
        origin.push_blob_as("library/app", empty.clone(), &digest);
        let proxy = Proxy::start(&origin).await;
        let path = path("library/app", &digest);
        let head = proxy.client().head(&path).await;
        assert_eq!(
            (head.status, head.header("content-length")),
            (200, Some("0"))
        );
        let read = proxy.client().read(&path).await;
        assert_eq!((read.status, read.body.len()), (200, 0), "{digest}");
    }
}
