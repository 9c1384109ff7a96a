use crate::common::*;

/// A registry with one blob of 1000 bytes that wants a token.
async fn guarded() -> (Origin, Canonical, String) {
    let origin = Origin::start().await;
    let image = origin.image("library/app", "1", &[1000]);
    origin.require_bearer(Bearer::default());
    let blob = canonical("library/app", &image.layers[0]);
    let path = format!("/v2/library/app/blobs/{}", image.layers[0]);
    (origin, blob, path)
}

#[tokio::test]
async fn storage_gets_no_authorization() {
    for (status, relative) in [
        (302, true),
        (307, false),
        (303, false),
        (301, true),
        (308, true),
    ] {
        let (origin, blob, path) = guarded().await;
        origin.order_always(
            On::get(&path),
            Fault::RedirectToStorage { status, relative },
        );
        let mut download = upstream(&[&origin])
            .blob(&blob, 0, Some(1000))
            .await
            .unwrap();
        assert_eq!(read(&mut download).await.unwrap().len(), 1000, "{status}");
        let seen = origin.requests();
        let storage: Vec<_> = seen
            .iter()
            .filter(|s| s.path.starts_with("/storage/"))
            .collect();
        assert_eq!(storage.len(), 1);
        assert_eq!(storage[0].header("authorization"), None);
    }
}

#[tokio::test]
async fn another_origin_gets_no_authorization_but_the_range() {
    let (origin, blob, path) = guarded().await;
    let other = Origin::start().await;
    other.image("library/app", "1", &[1000]);
    origin.order_always(
        On::get(&path),
        Fault::Redirect(format!("{}{path}", other.url()), 307),
    );
    let upstream = upstream(&[&origin]);
    upstream.manifest(&tagged("library/app:1")).await.unwrap();
    let mut download = upstream.blob(&blob, 400, None).await.unwrap();
    assert_eq!(read(&mut download).await.unwrap().len(), 600);
    let seen = other.requests();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].header("authorization"), None);
    assert_eq!(seen[0].range(), Some("bytes=400-"));
    assert!(
        origin
            .requests()
            .iter()
            .any(|s| s.path == path && s.header("authorization").is_some())
    );
}

#[tokio::test]
async fn a_registry_behind_a_redirect_may_want_a_token_of_its_own() {
    let (front, back) = (Origin::start().await, guarded().await);
    let path = "/v2/library/app/manifests/1";
    front.order_always(
        On::path(path),
        Fault::Redirect(format!("{}{path}", back.0.url()), 307),
    );
    upstream(&[&front])
        .manifest(&tagged("library/app:1"))
        .await
        .unwrap();
    assert_eq!(back.0.count("GET", "/token"), 1);
}

#[tokio::test]
async fn storage_that_refuses_is_asked_for_again_once() {
    for status in [400, 401, 403] {
        let (origin, blob, path) = guarded().await;
        let storage = Origin::start().await;
        storage.image("library/app", "1", &[1000]);
        origin.order_always(
            On::get(&path),
            Fault::Redirect(format!("{}{path}", storage.url()), 307),
        );
        let upstream = upstream(&[&origin]);
        storage.order(On::get(&path), [Fault::bare(status, &[])]);
        upstream.blob(&blob, 0, None).await.unwrap();
        assert_eq!(storage.count("GET", &path), 2);

        storage.order(
            On::get(&path),
            [Fault::bare(status, &[]), Fault::bare(status, &[])],
        );
        let error = upstream.blob(&blob, 0, None).await.unwrap_err();
        assert!(matches!(error, Error::Misbehaved { .. }), "{error:?}");
        assert_eq!(storage.count("GET", &path), 4);
    }
}

#[tokio::test]
async fn a_circle_ends() {
    let (origin, blob, path) = guarded().await;
    origin.order_always(On::get(&path), Fault::Redirect(path.clone(), 302));
    let error = upstream(&[&origin]).blob(&blob, 0, None).await.unwrap_err();
    assert!(matches!(error, Error::Misbehaved { .. }), "{error:?}");
    assert_eq!(origin.count("GET", &path), 11);
}
