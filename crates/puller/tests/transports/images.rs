//! Round trips.

use std::fs;

use longshore_puller::transport::of_image_name;
use longshore_reference::Digest;
use longshore_tests::Origin;
use serde_json::json;

use crate::fixture::*;

/// What is read back from where it was copied to.
async fn read(name: &str) -> (Vec<u8>, Vec<Vec<u8>>) {
    let source = Source::open(&name.parse().unwrap(), &access(""))
        .await
        .unwrap();
    let image = source.image(amd64().preference).await.unwrap();
    let mut blobs = Vec::new();
    for child in image.manifest.children() {
        let mut content = source.blob(&child.descriptor).await.unwrap();
        let mut bytes = Vec::new();
        while let Some(chunk) = content.chunk().await.unwrap() {
            bytes.extend_from_slice(&chunk);
        }
        blobs.push(bytes);
    }
    (image.manifest.bytes().to_vec(), blobs)
}

/// An image of a registry by way of every transport that keeps manifests: the same bytes at the end.
#[tokio::test]
async fn an_image_is_the_same_bytes_after_every_transport() {
    let origin = Origin::start().await;
    let made = push(&origin, "library/app", Some("1"), "amd64", OCI);
    let folder = folder();
    let hops = [
        format!("docker://{}/library/app:1", origin.host()),
        at(&folder, "oci", "layout:v1"),
        at(&folder, "oci-archive", "layout.tar:v1"),
        at(&folder, "dir", "folder"),
        at(&folder, "oci", "second"),
    ];
    let mut blobs = vec![made.config.clone()];
    blobs.extend(made.layers.clone());
    for pair in hops.windows(2) {
        let done = copied(&pair[0], &pair[1], &amd64()).await.unwrap();
        assert_eq!(done.written.digest.to_string(), made.digest, "{}", pair[1]);
        assert_eq!(
            read(&pair[1]).await,
            (made.manifest.clone(), blobs.clone()),
            "{}",
            pair[1]
        );
    }
    // Nothing is left of what was being written.
    let leftover = |path: &std::path::Path| path.to_string_lossy().contains(".longshore-");
    assert!(!files(folder.path()).keys().any(|path| leftover(path)));
}

#[tokio::test]
async fn an_archive_is_the_same_bytes_every_time() {
    let origin = Origin::start().await;
    push(&origin, "library/app", Some("1"), "amd64", DOCKER);
    let registry = format!("docker://{}/library/app:1", origin.host());
    let folder = folder();
    for (transport, name) in [("oci-archive", "x"), ("docker-archive", "app:1")] {
        let mut seen = Vec::new();
        for n in 0..2 {
            let to = at(&folder, transport, &format!("{transport}-{n}.tar:{name}"));
            copied(&registry, &to, &amd64()).await.unwrap();
            seen.push(fs::read(folder.path().join(format!("{transport}-{n}.tar"))).unwrap());
        }
        // And once more, from what was written.
        let from = at(&folder, transport, &format!("{transport}-0.tar"));
        let to = at(&folder, transport, &format!("{transport}-2.tar:{name}"));
        copied(&from, &to, &amd64()).await.unwrap();
        seen.push(fs::read(folder.path().join(format!("{transport}-2.tar"))).unwrap());
        assert!(seen[0] == seen[1] && seen[0] == seen[2], "{transport}");
    }
}

/// A manifest of schema 2 becomes one of OCI in a layout, with the same configuration and layers, and stays as it is in
/// a folder.
#[tokio::test]
async fn schema_2_is_converted_only_where_it_must_be() {
    let origin = Origin::start().await;
    let made = push(&origin, "library/app", Some("1"), "amd64", DOCKER);
    let registry = format!("docker://{}/library/app:1", origin.host());
    let folder = folder();
    let done = copied(&registry, &at(&folder, "dir", "folder"), &amd64())
        .await
        .unwrap();
    assert_eq!(done.written.digest.to_string(), made.digest);

    let layout = at(&folder, "oci", "layout:v1");
    let done = copied(&registry, &layout, &amd64()).await.unwrap();
    assert_eq!(done.source.digest.to_string(), made.digest);
    assert_eq!(done.written.media_type.as_str(), OCI[0]);
    let (manifest, blobs) = read(&layout).await;
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    assert_eq!(manifest["config"]["mediaType"], OCI[1]);
    assert_eq!(manifest["layers"][0]["mediaType"], OCI[2]);
    assert_eq!(blobs[0], made.config);
    assert_eq!(blobs[1..], made.layers[..]);

    let mut options = amd64();
    options.preserve_digests = true;
    let refused = copied(&registry, &at(&folder, "oci", "other"), &options).await;
    assert!(matches!(refused, Err(Error::Unsupported(_))), "{refused:?}");
}

/// A file of `docker save` has plain layers under the digests that the configuration states, and names them by these.
#[tokio::test]
async fn a_docker_archive_has_plain_layers() {
    let origin = Origin::start().await;
    let made = push(&origin, "library/app", Some("1"), "amd64", OCI);
    let folder = folder();
    let registry = format!("docker://{}/library/app:1", origin.host());
    let archive = at(&folder, "docker-archive", "image.tar:quay.io/app:2");
    copied(&registry, &archive, &amd64()).await.unwrap();
    let members = members(&folder.path().join("image.tar"));
    let hex = |bytes: &[u8]| Digest::sha256(bytes).hex().to_string();
    let mut expected: Vec<_> = made
        .tars
        .iter()
        .map(|tar| (format!("{}.tar", hex(tar)), tar.clone()))
        .collect();
    expected.push((format!("{}.json", hex(&made.config)), made.config.clone()));
    assert_eq!(members[..4], expected[..]);
    let list: serde_json::Value = serde_json::from_slice(&members[4].1).unwrap();
    assert_eq!(list[0]["RepoTags"], json!(["quay.io/app:2"]));
    let (_, blobs) = read(&at(&folder, "docker-archive", "image.tar")).await;
    assert_eq!(blobs[0], made.config);
    assert_eq!(blobs[1..], made.tars[..]);
}

#[tokio::test]
async fn an_index_with_all_its_images() {
    let origin = Origin::start().await;
    let (index, images) = push_index(&origin, "1", false);
    let (list, _) = push_index(&origin, "list", true);
    let folder = folder();
    let mut options = amd64();
    options.all = true;
    let registry = format!("docker://{}/library/app:1", origin.host());
    for hop in [
        at(&folder, "oci", "layout:v1"),
        at(&folder, "oci-archive", "layout.tar:v1"),
        at(&folder, "dir", "folder"),
    ] {
        let done = copied(&registry, &hop, &options).await.unwrap();
        assert_eq!(done.written.digest, Digest::sha256(&index), "{hop}");
        assert_eq!(
            read(&hop).await.0,
            images[0].manifest,
            "{hop}: one of its images"
        );
    }
    let registry = format!("docker://{}/library/app:list", origin.host());
    let done = copied(&registry, &at(&folder, "dir", "list"), &options)
        .await
        .unwrap();
    assert_eq!(done.written.digest, Digest::sha256(&list), "byte for byte");
    let converted = at(&folder, "oci", "layout:list");
    let done = copied(&registry, &converted, &options).await.unwrap();
    assert_eq!(
        done.written.media_type.as_str(),
        "application/vnd.oci.image.index.v1+json"
    );
    read(&converted).await;
    let refused = copied(&registry, &at(&folder, "docker-archive", "x.tar"), &options).await;
    assert!(matches!(refused, Err(Error::Unsupported(_))), "{refused:?}");
    assert!(!folder.path().join("x.tar").exists());
}

#[tokio::test]
async fn one_image_of_an_index() {
    let origin = Origin::start().await;
    let (_, images) = push_index(&origin, "1", false);
    let folder = folder();
    let registry = format!("docker://{}/library/app:1", origin.host());
    let layout = at(&folder, "oci", "layout");
    let done = copied(&registry, &layout, &amd64()).await.unwrap();
    assert_eq!(done.written.digest.to_string(), images[0].digest);
    let blobs = files(&folder.path().join("layout/blobs"));
    assert_eq!(
        blobs.len(),
        5,
        "one manifest, one configuration, three layers"
    );
    let mut options = amd64();
    options.preference = longshore_manifest::Preference::only(&longshore_manifest::Platform::new(
        "linux", "s390x", "",
    ));
    let error = copied(&registry, &layout, &options).await.unwrap_err();
    assert!(error.is_not_found(), "{error:?}");
}

/// A layout keeps its other images, and one of the same name is replaced.
#[tokio::test]
async fn a_layout_of_several_images() {
    let origin = Origin::start().await;
    let one = push(&origin, "library/app", Some("1"), "amd64", OCI);
    let two = push(&origin, "library/app", Some("2"), "arm64", OCI);
    let folder = folder();
    for (tag, name) in [("1", "a"), ("2", "b"), ("2", "a")] {
        let registry = format!("docker://{}/library/app:{tag}", origin.host());
        let layout = at(&folder, "oci", &format!("layout:{name}"));
        copied(&registry, &layout, &amd64()).await.unwrap();
    }
    for (name, made) in [("a", &two), ("b", &two)] {
        let (manifest, _) = read(&at(&folder, "oci", &format!("layout:{name}"))).await;
        assert_eq!(manifest, made.manifest);
    }
    let (manifest, _) = read(&at(&folder, "oci", "layout:@1")).await;
    assert_eq!(manifest, two.manifest);
    assert_ne!(manifest, one.manifest);
    for (name, not_found) in [("layout:c", true), ("layout:@2", true), ("layout", false)] {
        let name = at(&folder, "oci", name);
        let error = Source::open(&name.parse().unwrap(), &access(""))
            .await
            .unwrap_err();
        assert_eq!(error.is_not_found(), not_found, "{error:?}");
    }
}

/// Two images in one file, with the names of `docker save`.
fn two_images(folder: &tempfile::TempDir) -> [Vec<u8>; 2] {
    let tar = plain("layer");
    let diff_id = Digest::sha256(&tar).to_string();
    let config = |os: &str| {
        let rootfs = json!({ "type": "layers", "diff_ids": [diff_id] });
        json!({ "os": os, "architecture": "amd64", "rootfs": rootfs }).to_string()
    };
    let configs = [config("linux"), config("plan9")];
    let list = json!([
        { "Config": "a.json", "RepoTags": ["app:1", "quay.io/app:2"], "Layers": ["l/layer.tar"] },
        { "Config": "b.json", "RepoTags": null, "Layers": ["l/layer.tar"] },
    ]);
    let archive = tar_of(&[
        ("a.json", configs[0].as_bytes()),
        ("b.json", configs[1].as_bytes()),
        ("l/layer.tar", &tar),
        ("manifest.json", list.to_string().as_bytes()),
    ]);
    fs::write(folder.path().join("two.tar"), archive).unwrap();
    configs.map(String::into_bytes)
}

#[tokio::test]
async fn one_image_of_an_archive_by_tag_or_by_place() {
    let folder = folder();
    let configs = two_images(&folder);
    for (rest, config) in [
        ("two.tar:app:1", &configs[0]),
        ("two.tar:docker.io/library/app:1", &configs[0]),
        ("two.tar:quay.io/app:2", &configs[0]),
        ("two.tar:@0", &configs[0]),
        ("two.tar:@1", &configs[1]),
    ] {
        let (_, blobs) = read(&at(&folder, "docker-archive", rest)).await;
        assert_eq!(blobs[0], *config, "{rest}");
    }
    for (rest, text) in [
        ("two.tar", "expected 1 item, got 2"),
        ("two.tar:@2", "no image @2"),
        ("two.tar:app:3", "no image docker.io/library/app:3"),
    ] {
        let name = at(&folder, "docker-archive", rest);
        let error = Source::open(&name.parse().unwrap(), &access(""))
            .await
            .unwrap_err();
        assert!(error.to_string().ends_with(text), "{error}");
    }
}

#[tokio::test]
async fn every_name_of_an_archive_is_a_pair_of_the_goal() {
    let folder = folder();
    let configs = two_images(&folder);
    let id = Digest::sha256(&configs[1]).hex().to_string();
    for (rest, expected) in [
        (
            "two.tar",
            vec![
                "localhost/app:1".to_owned(),
                "quay.io/app:2".to_owned(),
                format!("@{id}"),
            ],
        ),
        (
            "two.tar:@0",
            vec!["localhost/app:1".to_owned(), "quay.io/app:2".to_owned()],
        ),
        ("two.tar:quay.io/app:2", vec!["quay.io/app:2".to_owned()]),
    ] {
        let name = at(&folder, "docker-archive", rest);
        let goal = of_image_name(&name.parse().unwrap(), &name).await.unwrap();
        let names: Vec<_> = goal
            .pairs
            .iter()
            .map(|pair| pair.destination.to_string())
            .collect();
        assert_eq!(names, expected, "{rest}");
        assert!(goal.all);
    }
}

/// The older form of `docker save`: a folder for each layer, and links where layers are the same. Also with gzipped
/// layers, and gzipped as a whole.
#[tokio::test]
async fn archives_as_docker_save_writes_them() {
    let tar = plain("layer");
    let digest = Digest::sha256(&tar).to_string();
    let config =
        json!({ "os": "linux", "rootfs": { "type": "layers", "diff_ids": [digest, digest] } });
    let list = json!([{ "Config": "c.json", "RepoTags": [], "Layers": ["one/layer.tar", "two/layer.tar"] }]);
    for layer in [tar.clone(), gzip(&tar)] {
        let mut builder = tar::Builder::new(Vec::new());
        let mut add = |name: &str, bytes: &[u8]| {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            builder.append_data(&mut header, name, bytes).unwrap();
        };
        add("c.json", config.to_string().as_bytes());
        add("one/layer.tar", &layer);
        add("manifest.json", list.to_string().as_bytes());
        let mut link = tar::Header::new_gnu();
        link.set_entry_type(tar::EntryType::Symlink);
        link.set_size(0);
        builder
            .append_link(&mut link, "two/layer.tar", "../one/layer.tar")
            .unwrap();
        let archive = builder.into_inner().unwrap();
        for bytes in [archive.clone(), gzip(&archive)] {
            let folder = folder();
            fs::write(folder.path().join("saved.tar"), bytes).unwrap();
            let (manifest, blobs) = read(&at(&folder, "docker-archive", "saved.tar")).await;
            assert_eq!(blobs[1..], [tar.clone(), tar.clone()]);
            let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
            assert_eq!(manifest["layers"][1]["digest"], digest);
            assert_eq!(manifest["layers"][1]["size"], tar.len());
        }
    }
}
