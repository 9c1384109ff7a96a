//! Pulls from a registry on a real socket.

use crate::common::*;

#[tokio::test]
async fn an_image_by_tag_and_by_digest() {
    let origin = Origin::start().await;
    let image = origin.image("library/app", "1", &[1000, 3_000_000]);
    let upstream = upstream(&[&origin]);

    let head = upstream.check(&tagged("library/app:1")).await.unwrap();
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
        upstream.check(&missing).await.unwrap_err(),
        upstream.manifest(&missing).await.unwrap_err(),
    ] {
        assert!(
            matches!(
                error,
                Error::Unknown {
                    confirmed: true,
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
                Error::Unknown {
                    confirmed: true,
                    ..
                }
            ),
            "{error:?}"
        );
    }
}
