//! `longshore store` beside a running server: what it reports, and that the server's next request sees what it changed.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use longshore_tests::{Fault, Image, On, Origin, Proxy, binary, media};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

const PREFIX: &str = "/v2/library/app";
const TAG: &str = "/v2/library/app/manifests/1";

/// Runs `longshore store` on the store in a folder.
fn store(folder: &Path, args: &[&str]) -> Output {
    let url = format!("file://{}", folder.display());
    Command::new(binary())
        .args(["store", "--store", &url])
        .args(args)
        .env_clear()
        .output()
        .unwrap()
}

/// As [`store`]; the result, which is JSON.
fn result(folder: &Path, args: &[&str]) -> Value {
    let output = store(folder, &[args, &["--output", "json"]].concat());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

async fn outcome(proxy: &Proxy, path: &str) -> (u16, String) {
    let read = proxy.client().read(path).await;
    let outcome = read.header("x-cache").unwrap_or_default().to_owned();
    (read.status, outcome)
}

fn file_of(proxy: &Proxy, digest: &str) -> PathBuf {
    let (algorithm, hex) = digest.split_once(':').unwrap();
    proxy
        .store()
        .join("blobs")
        .join(algorithm)
        .join(&hex[..2])
        .join(hex)
}

/// Keeps a signature of an image in an origin; returns its digest and that of its layer.
fn sign(origin: &Origin, image: &Image) -> (String, String) {
    let (config, layer) = ("{}", "a signature");
    let descriptor = |bytes: &str| {
        let digest = origin.push_blob("library/app", bytes.to_owned());
        json!({ "mediaType": "application/vnd.example", "digest": digest, "size": bytes.len() })
    };
    let layer = descriptor(layer);
    let signature = json!({
        "schemaVersion": 2,
        "mediaType": media::OCI_MANIFEST,
        "artifactType": "application/vnd.example.signature",
        "config": descriptor(config),
        "layers": [layer],
        "subject": { "mediaType": image.media_type, "digest": image.digest, "size": image.manifest.len() },
    });
    let signature = serde_json::to_vec_pretty(&signature).unwrap();
    let digest = origin.push_manifest("library/app", None, signature, media::OCI_MANIFEST);
    (digest, layer["digest"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn the_next_request_sees_a_refresh_and_a_purge() {
    let origin = Origin::start().await;
    let image = origin.image("library/app", "1", &[3000, 1000]);
    let proxy = Proxy::start(&origin).await;
    proxy.client().pull(&origin, PREFIX, &image, "1", "").await;
    proxy.settled().await;

    let tags = result(proxy.store(), &["ls"]);
    assert_eq!(tags[0]["repository"], "docker.io/library/app");
    assert_eq!(tags[0]["digest"], image.digest);
    let usage = result(proxy.store(), &["du"]);
    assert_eq!(usage["bytes"], tags[0]["size"]);
    assert_eq!(usage["unreferenced"], 0);

    assert_eq!(outcome(&proxy, TAG).await, (200, "hit".to_owned()));
    result(proxy.store(), &["refresh", "app:1"]);
    assert_eq!(outcome(&proxy, TAG).await, (200, "revalidated".to_owned()));
    assert_eq!(outcome(&proxy, TAG).await, (200, "hit".to_owned()));

    let purged = result(proxy.store(), &["purge", "app:1"]);
    assert_eq!(
        (&purged["tags"][0], &purged["objects"]),
        (&json!("docker.io/library/app:1"), &json!(4))
    );
    assert_eq!(outcome(&proxy, TAG).await, (200, "miss".to_owned()));
    let blob = format!("{PREFIX}/blobs/{}", image.layers[0]);
    assert_eq!(outcome(&proxy, &blob).await, (200, "miss".to_owned()));
}

#[tokio::test]
async fn an_image_crosses_an_air_gap_with_its_signature() {
    let origin = Origin::start().await;
    let image = origin.image("library/app", "1", &[3000, 1000]);
    let (signature, layer) = sign(&origin, &image);
    let paths = [
        format!("{PREFIX}/manifests/{signature}"),
        format!("{PREFIX}/blobs/{layer}"),
    ];
    let proxy = Proxy::start(&origin).await;
    proxy.client().pull(&origin, PREFIX, &image, "1", "").await;
    for path in &paths {
        assert_eq!(proxy.client().read(path).await.status, 200);
    }
    proxy.settled().await;
    let folder = TempDir::new().unwrap();
    for name in ["app.tar", "layout"] {
        let path = folder.path().join(name);
        let exported = result(proxy.store(), &["export", "app:1", path.to_str().unwrap()]);
        assert_eq!(
            (&exported["digest"], &exported["referrers"]),
            (&json!(image.digest), &json!(1))
        );

        // The other side: a server that never reached this upstream.
        let apart = Proxy::unsure(&origin).start().await;
        origin.order_always(On::path("/v2/"), Fault::bare(503, &[]));
        assert_eq!(apart.client().read(TAG).await.status, 502);
        let imported = result(apart.store(), &["import", path.to_str().unwrap()]);
        assert_eq!(imported["images"][0]["tag"], "docker.io/library/app:1");
        assert_eq!(outcome(&apart, TAG).await, (200, "stale".to_owned()));
        apart.client().pull(&origin, PREFIX, &image, "1", "").await;
        for filter in ["", "?artifactType=application%2Fvnd.example.signature"] {
            let list = format!("{PREFIX}/referrers/{}{filter}", image.digest);
            let list = apart.client().read(&list).await;
            let list: Value = serde_json::from_slice(&list.body).unwrap();
            assert_eq!(list["manifests"][0]["digest"], signature);
        }
        for path in &paths {
            assert_eq!(
                outcome(&apart, path).await,
                (200, "hit".to_owned()),
                "{path}"
            );
        }
        origin.behave();
        assert_eq!(outcome(&apart, TAG).await.0, 200, "upstream is back");
    }
}

#[tokio::test]
async fn damage_is_repaired_and_evicted_images_come_back() {
    let origin = Origin::start().await;
    let image = origin.image("library/app", "1", &[3000, 1000]);
    let proxy = Proxy::start(&origin).await;
    proxy.client().pull(&origin, PREFIX, &image, "1", "").await;
    proxy.settled().await;
    assert_eq!(result(proxy.store(), &["verify"])["objects"], 4);

    let damaged = &image.layers[1];
    let file = file_of(&proxy, damaged);
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[500] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    for args in [&["verify"][..], &["verify", "--repair"]] {
        let output = store(proxy.store(), args);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(3), "{text}");
        assert!(text.contains(damaged.as_str()), "{text}");
    }
    assert!(!file.exists());
    let blob = format!("{PREFIX}/blobs/{damaged}");
    assert_eq!(outcome(&proxy, &blob).await, (200, "miss".to_owned()));
    proxy.settled().await;
    assert_eq!(result(proxy.store(), &["verify"])["objects"], 4);

    let planned = result(proxy.store(), &["prune", "--to", "0", "--dry-run"]);
    assert_eq!(planned["removed"].as_array().unwrap().len(), 4);
    assert!(file.exists());
    let pruned = result(proxy.store(), &["prune", "--to", "0"]);
    assert_eq!(
        (&pruned["removed"], &pruned["left"]),
        (&planned["removed"], &json!(0))
    );
    assert_eq!(outcome(&proxy, TAG).await, (200, "miss".to_owned()));
    proxy.client().pull(&origin, PREFIX, &image, "1", "").await;
}

#[tokio::test]
async fn exit_codes_tell_what_was_wrong() {
    let origin = Origin::start().await;
    let image = origin.image("library/app", "1", &[1000]);
    let proxy = Proxy::start(&origin).await;
    proxy.client().pull(&origin, PREFIX, &image, "1", "").await;
    proxy.settled().await;
    let nowhere = proxy.store().join("nowhere");
    let digest = format!("app@{}", image.digest);
    for (folder, args, code, said) in [
        (proxy.store(), &["ls"][..], 0, ""),
        (
            proxy.store(),
            &["refresh", "app:2"],
            4,
            "docker.io/library/app:2 is not in the store",
        ),
        (
            proxy.store(),
            &["purge", "other:1"],
            4,
            "is not in the store",
        ),
        (
            proxy.store(),
            &["export", "app:2", "x.tar"],
            4,
            "is not in the store",
        ),
        (proxy.store(), &["refresh", &digest], 2, "name a tag"),
        (proxy.store(), &["prune", "--to", "much"], 2, "--to"),
        (
            proxy.store(),
            &["import", "nothing.tar"],
            1,
            "cannot read nothing.tar",
        ),
        (&nowhere, &["ls"], 1, "there is no store in"),
    ] {
        let output = store(folder, args);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {errors}");
        assert!(errors.contains(said), "{args:?}: {errors}");
    }
    assert!(!nowhere.exists(), "nothing is made by a look");
}
