//! Archives and folders that contradict themselves, or were made to harm: refused, with an error that says why.

use std::fs;

use longshore_reference::Digest;
use longshore_tests::{Fault, On, Origin};
use serde_json::json;

use crate::fixture::*;

async fn refused(name: &str) -> Error {
    let folder = folder();
    let to = at(&folder, "oci", "layout");
    let error = copied(name, &to, &amd64()).await.unwrap_err();
    assert!(!folder.path().join("layout/index.json").exists());
    error
}

/// Reads a file of `docker save` of these members.
async fn saved(members: &[(&str, &[u8])]) -> String {
    let folder = folder();
    fs::write(folder.path().join("a.tar"), tar_of(members)).unwrap();
    let error = refused(&at(&folder, "docker-archive", "a.tar")).await;
    error.to_string()
}

#[tokio::test]
async fn files_of_docker_save() {
    let tar = plain("layer");
    let digest = Digest::sha256(&tar).to_string();
    let other = Digest::sha256(b"other").to_string();
    let config = |diff_ids: &[&str]| json!({ "rootfs": { "diff_ids": diff_ids } }).to_string();
    let list = |layers: &[&str]| json!([{ "Config": "c", "Layers": layers }]).to_string();
    for (config, list, text) in [
        (
            config(&[&digest, &digest]),
            list(&["l"]),
            "Inconsistent layer count: 1 in manifest, 2 in config",
        ),
        (
            config(&[&digest, &other]),
            list(&["l", "l"]),
            "Layer tarfile l used for two different DiffID values",
        ),
        (
            config(&[&digest]),
            list(&["m"]),
            "Some layer tarfiles are missing in the tarball: m",
        ),
        (
            config(&[&digest]),
            list(&["../../l"]),
            "missing in the tarball",
        ),
        (
            config(&["sha256:1"]),
            list(&["l"]),
            "unusable image configuration",
        ),
        (
            config(&[&other]),
            list(&["l"]),
            "content does not match its digest",
        ),
        (
            "[]".to_owned(),
            list(&["l"]),
            "unusable image configuration",
        ),
        (
            config(&[&digest]),
            "{}".to_owned(),
            "unusable manifest.json",
        ),
        (
            config(&[&digest]),
            "[]".to_owned(),
            "expected 1 item, got 0",
        ),
    ] {
        let members = [
            ("c", config.as_bytes()),
            ("l", &tar),
            ("manifest.json", list.as_bytes()),
        ];
        let error = saved(&members).await;
        assert!(error.contains(text), "{error}, not: {text}");
    }
    let error = saved(&[("l", &tar)]).await;
    assert!(error.contains("no manifest.json"), "{error}");
    let long = vec![b' '; 2 << 20];
    let error = saved(&[("manifest.json", &long)]).await;
    assert!(error.contains("unusable manifest.json"), "{error}");
    let twice = [("manifest.json", &b"[]"[..]), ("manifest.json", &b"[]"[..])];
    let error = saved(&twice).await;
    assert!(error.contains("several members are called"), "{error}");
}

#[tokio::test]
async fn what_is_no_archive() {
    let folder = folder();
    for (name, bytes) in [
        ("empty", &b""[..]),
        ("text", b"hello"),
        ("gzip", &[0x1f, 0x8b, 8, 0, 1]),
    ] {
        fs::write(folder.path().join(name), bytes).unwrap();
        for transport in ["docker-archive", "oci-archive"] {
            refused(&at(&folder, transport, name)).await;
        }
    }
    for transport in ["docker-archive", "oci-archive", "oci", "dir"] {
        let error = refused(&at(&folder, transport, "missing")).await;
        assert!(error.is_not_found(), "{transport}: {error:?}");
    }
    refused(&at(&folder, "docker-archive", "")).await;
}

/// A blob of a layout or a folder with other bytes than its digest says.
#[tokio::test]
async fn a_damaged_blob_is_found() {
    let origin = Origin::start().await;
    let made = push(&origin, "library/app", Some("1"), "amd64", OCI);
    let registry = format!("docker://{}/library/app:1", origin.host());
    for (transport, blobs) in [("oci", "image/blobs/sha256"), ("dir", "image")] {
        for part in [&made.config, &made.layers[1]] {
            let folder = folder();
            let image = at(&folder, transport, "image");
            copied(&registry, &image, &amd64()).await.unwrap();
            let hex = Digest::sha256(part).hex().to_string();
            let path = folder.path().join(blobs).join(hex);
            let mut bytes = part.clone();
            bytes[20] ^= 1;
            fs::write(&path, &bytes).unwrap();
            let error = refused(&image).await;
            assert!(matches!(error, Error::Digest(_)), "{error:?}");
            // And it is no reason to skip the download.
            copied(&registry, &image, &amd64()).await.unwrap();
            assert_eq!(fs::read(&path).unwrap(), *part);
            fs::remove_file(&path).unwrap();
            refused(&image).await;
        }
    }
}

#[tokio::test]
async fn a_registry_that_lies_leaves_no_image() {
    let origin = Origin::start().await;
    let made = push(&origin, "library/app", Some("1"), "amd64", OCI);
    let layer = Digest::sha256(&made.layers[0]).to_string();
    origin.order_always(On::get(&layer), Fault::WrongBytes(100));
    let registry = format!("docker://{}/library/app:1", origin.host());
    let error = refused(&registry).await;
    assert!(matches!(error, Error::Registry(_)), "{error:?}");
    let folder = folder();
    let to = at(&folder, "docker-archive", "a.tar");
    copied(&registry, &to, &amd64()).await.unwrap_err();
    assert_eq!(files(folder.path()).len(), 0);
}

/// A configuration whose diff ids are not what is inside the layers.
#[tokio::test]
async fn layers_that_are_not_the_configuration_s() {
    let origin = Origin::start().await;
    let (layer, other) = (gzip(&plain("a")), Digest::sha256(b"other").to_string());
    let digest = origin.push_blob("library/app", layer.clone());
    let config = json!({ "rootfs": { "diff_ids": [other] } }).to_string();
    let size = config.len();
    let config = origin.push_blob("library/app", config);
    let manifest = json!({
        "schemaVersion": 2, "mediaType": OCI[0],
        "config": { "mediaType": OCI[1], "size": size, "digest": config },
        "layers": [{ "mediaType": OCI[2], "size": layer.len(), "digest": digest }],
    });
    origin.push_manifest("library/app", Some("1"), manifest.to_string(), OCI[0]);
    let folder = folder();
    let registry = format!("docker://{}/library/app:1", origin.host());
    let error = copied(&registry, &at(&folder, "docker-archive", "a.tar"), &amd64()).await;
    let error = error.unwrap_err();
    assert!(matches!(error, Error::Digest(_)), "{error:?}");
}

#[tokio::test]
async fn what_is_there_is_not_overwritten() {
    let origin = Origin::start().await;
    push(&origin, "library/app", Some("1"), "amd64", OCI);
    let registry = format!("docker://{}/library/app:1", origin.host());
    let folder = folder();
    fs::create_dir(folder.path().join("mine")).unwrap();
    fs::write(folder.path().join("mine/letter"), "dear").unwrap();
    let error = copied(&registry, &at(&folder, "dir", "mine"), &amd64())
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("don't want to overwrite important data"),
        "{error}"
    );

    let archive = at(&folder, "docker-archive", "a.tar");
    copied(&registry, &archive, &amd64()).await.unwrap();
    let error = copied(&registry, &archive, &amd64()).await.unwrap_err();
    assert!(matches!(error, Error::Exists(_)), "{error:?}");

    // A folder of an image is replaced, and what is not an image's stays.
    let dir = at(&folder, "dir", "image");
    copied(&registry, &dir, &amd64()).await.unwrap();
    fs::write(folder.path().join("image/letter"), "dear").unwrap();
    let before = files(&folder.path().join("image"));
    copied(&registry, &dir, &amd64()).await.unwrap();
    assert_eq!(files(&folder.path().join("image")), before);
    push(&origin, "library/app", Some("2"), "arm64", OCI);
    let other = format!("docker://{}/library/app:2", origin.host());
    copied(&other, &dir, &amd64()).await.unwrap();
    let after = files(&folder.path().join("image"));
    assert_eq!(
        after.len(),
        before.len(),
        "what the other image had is gone"
    );
    let missing = format!("docker://{}/library/app:3", origin.host());
    copied(&missing, &dir, &amd64()).await.unwrap_err();
    assert_eq!(
        files(&folder.path().join("image")),
        after,
        "a failure changes nothing"
    );

    let error = copied(&registry, &registry, &amd64()).await.unwrap_err();
    assert!(matches!(error, Error::Unsupported(_)), "{error:?}");
}
