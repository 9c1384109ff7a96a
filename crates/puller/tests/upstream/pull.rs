//! Pulls from a registry on a real socket.

use longshore_puller::Fault as Wrong;
use longshore_tests::{Schema1, Signer, V1Image};

use crate::common::*;

#[tokio::test]
async fn an_image_by_tag_and_by_digest() {
    let origin = Origin::start().await;
    let image = origin.image("library/app", "1", &[1000, 3_000_000]);
    let upstream = upstream(&[&origin]);

    let head = upstream.resolve(&tagged("library/app:1")).await.unwrap();
    assert_eq!(head.digest.unwrap().to_string(), image.digest);
    let fetched = upstream.manifest(&tagged("library/app:1")).await.unwrap();
    assert_eq!(fetched.digest, head.digest);
    assert_eq!(Some(fetched.bytes.len() as u64), head.size);
    let by_digest = upstream
        .manifest(&canonical("library/app", &image.digest).into())
        .await
        .unwrap();
    assert_eq!(by_digest.bytes, fetched.bytes);

    for layer in &image.layers {
        let blob = canonical("library/app", layer);
        let content = origin.blob(layer);
        assert_eq!(
            upstream.blob_size(&blob).await.unwrap(),
            Some(content.len())
        );
        let mut download = upstream.blob(&blob, 0, Some(content.len())).await.unwrap();
        assert!(content.matches(0, &read(&mut download).await.unwrap()));
        let mut tail = upstream.blob(&blob, 500, None).await.unwrap();
        assert!(content.matches(500, &read(&mut tail).await.unwrap()));
        assert_eq!(tail.size(), Some(content.len()));
    }
    assert_eq!(origin.connections(), 1, "connections are used again");
    assert!(
        origin
            .requests()
            .iter()
            .all(|seen| seen.header("accept-encoding") == Some("identity"))
    );
}

#[tokio::test]
async fn what_is_not_there() {
    let origin = Origin::start().await;
    origin.image("library/app", "1", &[1000]);
    let upstream = upstream(&[&origin]);
    let missing = tagged("library/app:2");
    for error in [
        upstream.resolve(&missing).await.unwrap_err(),
        upstream.manifest(&missing).await.unwrap_err(),
    ] {
        assert!(
            matches!(
                error,
                Error::NotFound {
                    authoritative: true,
                    ..
                }
            ),
            "{error:?}"
        );
    }
    let blob = canonical("library/app", &format!("sha256:{}", "0".repeat(64)));
    for error in [
        upstream.blob(&blob, 0, None).await.unwrap_err(),
        upstream.blob_size(&blob).await.unwrap_err(),
    ] {
        assert!(
            matches!(
                error,
                Error::NotFound {
                    authoritative: true,
                    ..
                }
            ),
            "{error:?}"
        );
    }
}

const PATH: &str = "/v2/library/app/manifests/1";

#[tokio::test]
async fn head_is_refused() {
    for status in [400, 401, 403, 404, 405, 501] {
        let origin = Origin::start().await;
        let image = origin.image("library/app", "1", &[1000]);
        origin.order(On::head(PATH), [Fault::bare(status, &[])]);
        let head = upstream(&[&origin])
            .resolve(&tagged("library/app:1"))
            .await
            .unwrap();
        assert_eq!(head.digest.unwrap().to_string(), image.digest, "{status}");
        assert_eq!(origin.count("GET", PATH), 1, "{status}");
    }
}

#[tokio::test]
async fn a_bare_404_is_not_believed() {
    let origin = Origin::start().await;
    origin.order_always(On::path(PATH), Fault::bare(404, &[]));
    let upstream = upstream(&[&origin]);
    for error in [
        upstream
            .resolve(&tagged("library/app:1"))
            .await
            .unwrap_err(),
        upstream
            .manifest(&tagged("library/app:1"))
            .await
            .unwrap_err(),
    ] {
        assert!(
            matches!(
                error,
                Error::NotFound {
                    authoritative: false,
                    ..
                }
            ),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn answers_without_a_digest() {
    let origin = Origin::start().await;
    let image = origin.image("library/app", "1", &[1000]);
    origin.order_always(On::path(PATH), Fault::NoDigestHeader);
    let upstream = upstream(&[&origin]);
    assert_eq!(
        upstream
            .resolve(&tagged("library/app:1"))
            .await
            .unwrap()
            .digest,
        None
    );
    let fetched = upstream.manifest(&tagged("library/app:1")).await.unwrap();
    assert_eq!(fetched.digest, None);
    assert_eq!(Digest::sha256(&fetched.bytes).to_string(), image.digest);
}

#[tokio::test]
async fn documents_that_are_wrong() {
    let big = format!("{{{}}}", " ".repeat(4 << 20));
    for (fault, wrong) in [
        (Fault::Html200, Wrong::Html),
        (Fault::WrongDigestHeader, Wrong::Digest),
        (Fault::WrongBytes(20), Wrong::Digest),
        (
            Fault::Status(200, Vec::new(), "<!DOCTYPE html>".into()),
            Wrong::Html,
        ),
        (Fault::Status(200, Vec::new(), "oops".into()), Wrong::Json),
        (Fault::Status(200, Vec::new(), "".into()), Wrong::Json),
        (
            Fault::Status(200, Vec::new(), big.into()),
            Wrong::TooLarge { limit: 4 << 20 },
        ),
        (Fault::bare(204, &[]), Wrong::Status(204)),
        (Fault::bare(206, &[]), Wrong::Status(206)),
    ] {
        let origin = Origin::start().await;
        origin.image("library/app", "1", &[1000]);
        origin.order(On::get(PATH), [fault.clone()]);
        let error = upstream(&[&origin])
            .manifest(&tagged("library/app:1"))
            .await
            .unwrap_err();
        assert!(
            matches!(error, Error::Misbehaved { fault, .. } if fault == wrong),
            "{fault:?}: {error:?}"
        );
    }
}

#[tokio::test]
async fn a_manifest_by_digest_is_verified() {
    let origin = Origin::start().await;
    let image = origin.image("library/app", "1", &[1000]);
    let reference = canonical("library/app", &image.digest).into();
    let path = format!("/v2/library/app/manifests/{}", image.digest);
    let other = Fault::Status(200, Vec::new(), "{}".into());
    origin.order(On::get(&path), [other]);
    let error = upstream(&[&origin]).manifest(&reference).await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::Misbehaved {
                fault: Wrong::Digest,
                ..
            }
        ),
        "{error:?}"
    );
}

/// A signed schema 1 manifest has two digests, that of its payload and that of its bytes; a third one is none of its.
#[tokio::test]
async fn the_announced_digest_of_a_signed_manifest() {
    let origin = Origin::start().await;
    let schema1 = Schema1::of(&V1Image::new("app", &[700]), "library/app", "1");
    let document = schema1.signed(&Signer::es256());
    let of_bytes = Digest::sha256(&document).to_string();
    let other = Digest::sha256(b"other").to_string();
    for (announced, right) in [
        (Some(&schema1.digest), true),
        (Some(&of_bytes), true),
        (None, true),
        (Some(&other), false),
    ] {
        let header = |digest: &String| ("Docker-Content-Digest".to_owned(), digest.clone());
        let headers = announced.map(header).into_iter().collect();
        let answer = Fault::Status(200, headers, document.clone());
        origin.order(On::get("/v2/library/app/manifests/1"), [answer]);
        let result = upstream(&[&origin])
            .manifest(&tagged("library/app:1"))
            .await;
        match right {
            true => assert_eq!(result.unwrap().bytes, document),
            false => assert!(
                matches!(
                    result,
                    Err(Error::Misbehaved {
                        fault: Wrong::Digest,
                        ..
                    })
                ),
                "{result:?}"
            ),
        }
    }
}

#[tokio::test]
async fn what_is_asked_for_is_always_the_same() {
    let origin = Origin::start().await;
    origin.image("library/app", "1", &[1000]);
    let upstream = upstream(&[&origin]);
    upstream.resolve(&tagged("library/app:1")).await.unwrap();
    upstream.manifest(&tagged("library/app:1")).await.unwrap();
    for seen in origin.requests() {
        let accept = seen.header("accept").unwrap();
        for media_type in [
            "vnd.oci.image.index.v1+json",
            "vnd.docker.distribution.manifest.v2+json",
            "prettyjws",
        ] {
            assert!(accept.contains(media_type), "{accept}");
        }
        assert!(accept.ends_with("*/*"));
        assert!(seen.header("user-agent").unwrap().starts_with("longshore/"));
    }
    assert_eq!(origin.connections(), 1);
}

/// What is right by its digest was refused for its label.
#[tokio::test]
async fn manifests_that_are_labelled_as_encoded() {
    let origin = Origin::start().await;
    let image = origin.image("library/app", "1", &[1000]);
    let by_digest: Reference = canonical("library/app", &image.digest).into();
    let upstream = upstream(&[&origin]);
    for label in ["gzip", "x-gzip", "br"] {
        let label = Fault::Header("Content-Encoding".into(), Some(label.into()));
        for reference in [&tagged("library/app:1"), &by_digest] {
            origin.order(On::get("/manifests/"), [label.clone()]);
            let fetched = upstream.manifest(reference).await.unwrap();
            assert_eq!(Digest::sha256(&fetched.bytes).to_string(), image.digest);
        }
    }
    // Compressed although `identity` was asked for: Go's clients do not even notice.
    origin.order(On::get("/manifests/"), [Fault::GzipEncoded]);
    let fetched = upstream.manifest(&by_digest).await.unwrap();
    assert_eq!(Digest::sha256(&fetched.bytes).to_string(), image.digest);
}

/// A server that answers everything with 200 was taken to have any manifest.
#[tokio::test]
async fn a_check_by_digest_believes_only_what_is_about_that_digest() {
    let origin = Origin::start().await;
    let image = origin.image("library/app", "1", &[1000]);
    let reference: Reference = canonical("library/app", &image.digest).into();
    let path = format!("/v2/library/app/manifests/{}", image.digest);
    let other = Digest::sha256(b"other").to_string();
    let manifest_type = "application/vnd.oci.image.manifest.v1+json";
    for headers in [
        vec![],
        vec![("Content-Type", "application/json")],
        vec![
            ("Content-Type", manifest_type),
            ("Docker-Content-Digest", &other),
        ],
    ] {
        let headers = headers
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()));
        let catch_all = Fault::Status(200, headers.collect(), "{}".into());
        let upstream = upstream(&[&origin]);
        origin.order_always(On::path(&path), catch_all.clone());
        let error = upstream.resolve(&reference).await.unwrap_err();
        let wrong = matches!(
            error,
            Error::Misbehaved {
                fault: Wrong::Digest,
                ..
            }
        );
        assert!(wrong, "{catch_all:?}: {error:?}");
        origin.behave();
        // The bytes decide, where the registry has them.
        origin.order(On::head(&path), [catch_all]);
        let head = upstream.resolve(&reference).await.unwrap();
        assert_eq!(
            head.digest.map(|found| found.to_string()),
            Some(image.digest.clone())
        );
    }
    // Several registries send no digest.
    origin.forget_requests();
    origin.order(On::head(&path), [Fault::NoDigestHeader]);
    let head = upstream(&[&origin]).resolve(&reference).await.unwrap();
    assert_eq!((head.digest, origin.requests().len()), (None, 1));
}

/// A repository of another registry was asked for at this one, under the same path.
#[tokio::test]
async fn repositories_of_other_registries_are_refused() {
    let origin = Origin::start().await;
    origin.image("coreos/etcd", "1", &[1000]);
    let upstream = upstream(&[&origin]);
    let reference = Reference::parse("quay.io/coreos/etcd:1").unwrap();
    let digest = Digest::sha256(b"x");
    let blob = Canonical::new(reference.named().clone(), digest);
    for error in [
        upstream.resolve(&reference).await.unwrap_err(),
        upstream.manifest(&reference).await.unwrap_err(),
        upstream.blob(&blob, 0, None).await.unwrap_err(),
        upstream.blob_size(&blob).await.unwrap_err(),
        upstream.tags(reference.named(), None).await.unwrap_err(),
        upstream.referrers(&blob, None).await.unwrap_err(),
    ] {
        assert!(matches!(error, Error::OtherRegistry { .. }), "{error:?}");
    }
    assert_eq!(origin.requests().len(), 0);
}
