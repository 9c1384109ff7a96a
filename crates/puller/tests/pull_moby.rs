//! The pull of docker's own engine: each branch of its flow.
#![cfg(feature = "pull")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that fails panics"
)]

mod pull_common;

use std::sync::Arc;

use futures_util::StreamExt;
use longshore_manifest::{MediaType, Platform, layout};
use longshore_puller::pull::{
    Content, ErrorKind, Event, Events, LayerState, Layout, Options, Puller,
};
use longshore_reference::{Digest, Parsed};
use longshore_tests::{Fault, Gate, On, Schema1, Signer, V1Image, V1Registry, media};
use pull_common::*;
use serde_json::json;

#[tokio::test]
async fn a_tag_its_digest_its_manifest_and_what_it_names() {
    let rig = Rig::new(Options::moby()).await;
    let image = rig.origin.image_schema2("library/app", "1", &[1000, 2000]);
    let (pulled, mut lines) = rig.pull("registry.test/library/app:1").await;
    let pulled = pulled.unwrap();
    let [a, b] = [&image.layers[0], &image.layers[1]].map(|layer| short(layer).to_owned());
    assert_eq!(lines.remove(0), "1: Pulling from library/app");
    assert_eq!(
        lines[..2],
        [
            format!("{a}: Pulling fs layer"),
            format!("{b}: Pulling fs layer")
        ]
    );
    for layer in [a, b] {
        let own = lines.iter().filter_map(|line| line.strip_prefix(&layer));
        assert_eq!(
            own.collect::<Vec<_>>(),
            [
                ": Pulling fs layer",
                ": Verifying Checksum",
                ": Download complete",
                ": Pull complete"
            ]
        );
    }
    assert_eq!(
        lines[8..],
        [
            format!("Digest: {}", image.digest),
            "pulled registry.test/library/app:1".to_owned(),
            "Status: Downloaded newer image for registry.test/library/app:1".to_owned(),
        ]
    );
    let asked = rig.asked();
    assert_eq!(
        asked[..2],
        [
            "HEAD manifests/1".to_owned(),
            format!("GET manifests/{}", image.digest)
        ]
    );
    assert_eq!(asked.len(), 5, "{asked:?}");
    let index = std::fs::read(rig.folder.path().join("index.json")).unwrap();
    let index = layout::Index::decode(index.into()).unwrap();
    let name = Some("registry.test/library/app:1");
    assert_eq!(
        index.find(name).unwrap().digest.to_string(),
        image.digest,
        "other programs find it"
    );
    for blob in image.blobs().chain([&image.digest]) {
        let path = layout::blob_path(&Digest::parse(blob).unwrap());
        assert!(rig.folder.path().join(path).exists(), "{blob}");
    }
    assert_eq!(pulled.images[0].snapshot_labels().len(), 2);
}

#[tokio::test]
async fn an_image_that_is_held_is_up_to_date() {
    let rig = Rig::new(Options::moby()).await;
    let image = rig.origin.image("library/app", "1", &[1000]);
    rig.lines("registry.test/library/app:1").await;
    rig.asked();
    let expected = |status: &str| {
        vec![
            "1: Pulling from library/app".to_owned(),
            format!("Digest: {}", image.digest),
            "pulled registry.test/library/app:1".to_owned(),
            format!("Status: {status} for registry.test/library/app:1"),
        ]
    };
    let lines = rig.lines("registry.test/library/app:1").await;
    assert_eq!(lines, expected("Image is up to date"));
    assert_eq!(rig.asked(), ["HEAD manifests/1"], "nothing else is asked");
    // A new tag of an image that is held counts as newer, and costs no layers.
    rig.origin
        .push_manifest("library/app", Some("2"), image.manifest, image.media_type);
    let lines = rig.lines("registry.test/library/app:2").await;
    assert_eq!(
        lines[3],
        "Status: Downloaded newer image for registry.test/library/app:2"
    );
    assert_eq!(rig.asked(), ["HEAD manifests/2"]);
    // Without one of its layers it is not held.
    let layer = layout::blob_path(&Digest::parse(&image.layers[0]).unwrap());
    std::fs::remove_file(rig.folder.path().join(&layer)).unwrap();
    let lines = rig.lines("registry.test/library/app:1").await;
    assert!(lines[1].ends_with(": Pulling fs layer"), "{lines:?}");
    assert!(rig.folder.path().join(&layer).exists());
    assert_eq!(
        lines.last().unwrap(),
        "Status: Image is up to date for registry.test/library/app:1"
    );
}

#[tokio::test]
async fn a_layer_that_is_held_already_exists() {
    let rig = Rig::new(Options::moby()).await;
    Made::of(&rig.origin, "app", &[b"base"]).push(&rig.origin, "app", Some("1"));
    let made = Made::of(&rig.origin, "app", &[b"base", b"top", b"base"]);
    made.push(&rig.origin, "app", Some("2"));
    rig.lines("registry.test/app:1").await;
    let lines = rig.lines("registry.test/app:2").await;
    let base = short(made.layers[0]["digest"].as_str().unwrap());
    let of_base: Vec<_> = lines.iter().filter(|line| line.contains(base)).collect();
    assert_eq!(of_base, [&format!("{base}: Already exists")], "once");
    // What the layer is when unpacked was forgotten.
    std::fs::remove_dir_all(rig.folder.path().join(".longshore/records")).unwrap();
    let again = rig.puller(Options::moby()).await;
    Made::of(&rig.origin, "app", &[b"base", b"other"]).push(&rig.origin, "app", Some("3"));
    pull(&again, "registry.test/app:3").await.0.unwrap();
}

#[tokio::test]
async fn a_registry_that_does_not_know_the_digest_of_its_tag_is_asked_by_tag() {
    let rig = Rig::new(Options::moby()).await;
    let image = rig.origin.image("library/app", "1", &[1000]);
    let by_digest = On::path(&image.digest);
    rig.origin
        .order_always(by_digest, Fault::error(404, "MANIFEST_UNKNOWN"));
    let lines = rig.lines("registry.test/library/app:1").await;
    assert!(
        lines[0].starts_with(
            "WARNING: \u{26a0}\u{fe0f} Failed to pull manifest by the resolved digest."
        ) && lines[0].contains("Please contact admins of registry.test."),
        "{lines:?}"
    );
    assert_eq!(lines[1], "1: Pulling from library/app");
    let name = format!("registry.test/library/app@{}", image.digest);
    let other = Rig::new(Options::moby()).await;
    let error = with_causes(&rig.error(&name.replace("app@", "gone@")).await);
    assert!(
        error.starts_with("manifest for registry.test/library/gone@sha256"),
        "{error}"
    );
    let error = other.error(&name).await;
    assert_eq!(
        error.kind(),
        ErrorKind::NotFound,
        "no tag to fall back to: {error}"
    );
    // If that fails too, it says so.
    rig.origin.image("library/app", "2", &[1001]);
    rig.origin.order_always(
        On::get("/manifests/"),
        Fault::error(404, "MANIFEST_UNKNOWN"),
    );
    let error = with_causes(&rig.error("registry.test/library/app:2").await);
    assert!(
        error.starts_with(
            "error after falling back to get manifest by tag: manifest for registry.test/library/app:2 not found: "
        ),
        "{error}"
    );
}

#[tokio::test]
async fn what_the_registry_refuses_is_told_apart() {
    let rig = Rig::new(Options::moby()).await;
    let manifests = On::path("/manifests/");
    for (status, code, text, kind) in [
        (
            404,
            "MANIFEST_UNKNOWN",
            "manifest for registry.test/app:1 not found: ",
            ErrorKind::NotFound,
        ),
        (
            403,
            "DENIED",
            "pull access denied for registry.test/app, repository does not exist or may require 'docker login': ",
            ErrorKind::Denied,
        ),
        (503, "UNAVAILABLE", "", ErrorKind::Upstream),
    ] {
        rig.origin
            .order_always(manifests.clone(), Fault::error(status, code));
        let error = rig.error("registry.test/app:1").await;
        let shown = with_causes(&error);
        assert!(shown.starts_with(text), "{shown}");
        assert_eq!(error.kind(), kind, "{shown}");
        rig.origin.behave();
    }
    rig.origin
        .order_always(On::path("/tags/list"), Fault::error(404, "NAME_UNKNOWN"));
    let error = rig.error("registry.test/app").await.to_string();
    assert_eq!(error, "repository registry.test/app not found");
    rig.origin.behave();
    rig.origin.require_basic("me", "secret");
    let error = rig.error("registry.test/app:1").await;
    assert_eq!(error.to_string(), "no basic auth credentials");
    assert_eq!(error.kind(), ErrorKind::Denied);
    let error = with_causes(&rig.error("registry.test/scratch:1").await);
    assert!(!error.is_empty());
    let error = rig.error("docker.io/library/scratch:1").await;
    assert_eq!(error.to_string(), "'scratch' is a reserved name");
}

#[tokio::test]
async fn the_configuration_of_something_else_is_refused() {
    let rig = Rig::new(Options::moby()).await;
    let mut made = Made::of(&rig.origin, "app", &[b"layer"]);
    made.media_type = media::SCHEMA2;
    for (config, class) in [
        ("application/vnd.docker.plugin.v1+json", "plugin"),
        ("application/vnd.example+json", "unknown"),
    ] {
        made.config_type = config;
        made.push(&rig.origin, "app", Some("1"));
        let (error, lines) = rig.pull("registry.test/app:1").await;
        assert_eq!(
            error.unwrap_err().to_string(),
            format!("Encountered remote {config:?}({class}) when fetching")
        );
        assert_eq!(lines, [""; 0], "before anything is shown");
    }
    let mut options = Options::moby();
    options.config_types = vec![MediaType::from_content_type(made.config_type)];
    let puller = rig.puller(options.clone()).await;
    pull(&puller, "registry.test/app:1").await.0.unwrap();
    made.config_type = media::CONFIG;
    made.push(&rig.origin, "app", Some("2"));
    let error = pull(&puller, "registry.test/app:2").await.0.unwrap_err();
    assert!(error.to_string().contains("(image)"), "{error}");
    // Other types than schema 2 are not looked at.
    (made.media_type, made.config_type) = (media::OCI_MANIFEST, "application/vnd.example+json");
    made.push(&rig.origin, "app", Some("3"));
    rig.lines("registry.test/app:3").await;
}

#[tokio::test]
async fn a_schema_1_image_is_converted() {
    let rig = Rig::named("docker.io", Options::moby()).await;
    let image = V1Image::new("app", &[1000, 2000]);
    let schema1 = Schema1::of(&image, "library/app", "1");
    let document = schema1.signed(&Signer::es256());
    schema1.push(&rig.origin, document, &schema1.digest);
    let (pulled, lines) = rig.pull("app:1").await;
    let pulled = &pulled.unwrap().images[0];
    assert_eq!(lines[0], "1: Pulling from library/app");
    assert!(
        lines[1]
            .starts_with("Image docker.io/library/app:1 uses outdated schema1 manifest format."),
        "{lines:?}"
    );
    assert!(lines.contains(&format!("Digest: {}", schema1.digest)));
    assert_eq!(pulled.manifest.media_type, MediaType::Schema2);
    assert_eq!(pulled.layers.len(), 2);
    let lines = rig.lines("app:1").await;
    assert!(lines.last().unwrap().contains("up to date"), "{lines:?}");
    let name = format!("docker.io/library/app@{}", schema1.digest);
    rig.lines(&name).await;
    let mut options = Options::moby();
    options.schema1 = false;
    let puller = rig.puller(options).await;
    let error = pull(&puller, "app:1").await.0.unwrap_err();
    assert_eq!(error.to_string(), "invalid manifest: not schema2");
    assert_eq!(error.kind(), ErrorKind::Refused);
    // Layers and history do not go together.
    let (uneven, digest) = schema1.forged(&Signer::es256(), longshore_tests::Forgery::History);
    schema1.push(&rig.origin, uneven, &digest);
    let error = with_causes(&rig.error("app:1").await);
    assert!(
        error.contains("length of history not equal to number of layers"),
        "{error}"
    );
}

#[tokio::test]
async fn a_schema_1_image_in_an_index_is_converted() {
    let rig = Rig::new(Options::moby()).await;
    let schema1 = Schema1::of(&V1Image::new("app", &[1000]), "app", "old");
    schema1.push(
        &rig.origin,
        schema1.signed(&Signer::es256()),
        &schema1.digest,
    );
    let entry = entry(media::SCHEMA1_SIGNED, &schema1.digest, Some("amd64"));
    let index = push_index(&rig.origin, "app", Some("1"), &[entry]);
    let lines = rig.lines("registry.test/app:1").await;
    assert!(
        lines[1].starts_with(
            "[DEPRECATION NOTICE] v2 schema1 manifests in manifest lists are not supported"
        ),
        "{lines:?}"
    );
    assert!(lines.contains(&format!("Digest: {index}")));
}

#[tokio::test]
async fn an_image_of_a_v1_registry_is_converted() {
    let registry = V1Registry::standalone().await;
    let image = V1Image::new("app", &[1000, 2000]);
    registry.push("library/app", "1", &image);
    let registries = registries("registry.test", &registry.registry().url());
    let folder = tempfile::tempdir().unwrap();
    let layout = Layout::open(folder.path()).await.unwrap();
    let options = quick(Options::moby());
    let puller = Puller::new(registries.clone(), Arc::new(layout.clone()), options);
    let (pulled, lines) = pull(&puller, "registry.test/library/app:1").await;
    let pulled = &pulled.unwrap().images[0];
    assert_eq!(lines[0], "1: Pulling from library/app");
    let top = &image.layers[1].id[..12];
    let of_top: Vec<_> = lines.iter().filter(|line| line.starts_with(top)).collect();
    assert_eq!(
        of_top,
        [
            &format!("{top}: Pulling fs layer"),
            &format!("{top}: Download complete"),
            &format!("{top}: Pull complete")
        ],
        "no checksum to verify"
    );
    let expected: Vec<_> = image.layers.iter().map(|layer| &layer.digest).collect();
    let found: Vec<_> = pulled.layers.iter().map(ToString::to_string).collect();
    assert_eq!(found.iter().collect::<Vec<_>>(), expected);
    // Known layers are not downloaded again.
    let layers = || {
        let requests = registry.registry().requests();
        let layers = requests.iter().filter(|seen| seen.path.ends_with("/layer"));
        layers.count()
    };
    let before = layers();
    let (again, lines) = pull(&puller, "registry.test/library/app:1").await;
    assert!(!again.unwrap().images[0].newer);
    assert!(lines.contains(&format!("{top}: Already exists")));
    assert_eq!(layers(), before);
    let mut options = quick(Options::moby());
    options.schema1 = false;
    let puller = Puller::new(registries, Arc::new(layout), options);
    let error = pull(&puller, "registry.test/library/app:1").await;
    assert_eq!(
        error.0.unwrap_err().to_string(),
        "invalid manifest: not schema2"
    );
}

#[tokio::test]
async fn an_index_is_searched_for_the_platform() {
    let rig = Rig::new(Options::moby()).await;
    let index = rig
        .origin
        .index("library/app", "1", &["arm64", "amd64"], &[1000]);
    let (pulled, lines) = rig.pull("registry.test/library/app:1").await;
    let pulled = pulled.unwrap();
    let image = &pulled.images[0];
    assert_eq!(image.manifest.digest.to_string(), index.images[1].digest);
    assert_eq!(image.target.digest.to_string(), index.digest);
    assert!(lines.contains(&format!("Digest: {}", index.digest)));
    let lines = rig.lines("registry.test/library/app:1").await;
    assert!(lines.last().unwrap().contains("up to date"), "{lines:?}");
    let mut options = Options::moby();
    options.platform = Some(Platform::new("linux", "arm64", ""));
    let puller = rig.puller(options.clone()).await;
    let (pulled, _) = pull(&puller, "registry.test/library/app:1").await;
    let image = pulled.unwrap().images.remove(0);
    assert_eq!(image.manifest.digest.to_string(), index.images[0].digest);
    assert!(image.newer, "another image than the one that was held");
    options.platform = Some(Platform::new("linux", "s390x", ""));
    let puller = rig.puller(options).await;
    let error = pull(&puller, "registry.test/library/app:1").await.0;
    let error = error.unwrap_err();
    assert_eq!(
        error.to_string(),
        "no matching manifest for linux/s390x in the manifest list entries (there are: linux/arm64, linux/amd64)"
    );
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn nested_indexes_and_unknown_entries() {
    let rig = Rig::new(Options::moby()).await;
    let origin = &rig.origin;
    let image = Made::of(origin, "app", &[b"layer"])
        .push(origin, "app", None)
        .0;
    let other = [entry(media::OCI_MANIFEST, &image, Some("s390x"))];
    let other = push_index(origin, "app", None, &other);
    let fits = [entry(media::OCI_MANIFEST, &image, Some("amd64"))];
    let fits = push_index(origin, "app", None, &fits);
    let artifact = json!({
        "mediaType": "application/vnd.oci.artifact.manifest.v1+json", "artifactType": "a/b",
    });
    let artifact_type = "application/vnd.oci.artifact.manifest.v1+json";
    let artifact = origin.push_manifest("app", None, artifact.to_string(), artifact_type);
    let entries = [
        entry("application/vnd.example+json", &image, Some("amd64")),
        entry(artifact_type, &artifact, Some("amd64")),
        entry(media::OCI_INDEX, &other, Some("amd64")),
        entry(media::OCI_INDEX, &fits, Some("amd64")),
    ];
    push_index(origin, "app", Some("1"), &entries);
    let (pulled, _) = rig.pull("registry.test/app:1").await;
    let pulled = pulled.unwrap();
    assert_eq!(pulled.images[0].manifest.digest.to_string(), image);
    push_index(origin, "app", Some("2"), &entries[..3]);
    let error = rig.error("registry.test/app:2").await.to_string();
    assert!(
        error.starts_with("no matching manifest for linux/amd64"),
        "{error}"
    );
    // An entry that cannot be fetched ends the pull.
    let gone = entry(media::OCI_MANIFEST, &digest_of(b"gone"), Some("amd64"));
    push_index(origin, "app", Some("3"), &[gone, entries[3].clone()]);
    let error = rig.error("registry.test/app:3").await;
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    // At the top it is no image.
    origin.push_manifest(
        "app",
        Some("4"),
        format!(r#"{{"mediaType":"{artifact_type}","artifactType":"a/b"}}"#),
        artifact_type,
    );
    let error = rig.error("registry.test/app:4").await;
    assert_eq!(error.to_string(), "unsupported manifest format");
}

#[tokio::test]
async fn all_tags_have_one_status() {
    let rig = Rig::new(Options::moby()).await;
    rig.origin.image("library/app", "1", &[1000]);
    rig.origin.image("library/app", "2", &[2000]);
    let lines = rig.lines("registry.test/library/app").await;
    let begun = lines.iter().filter(|line| line.contains("Pulling from"));
    assert_eq!(begun.count(), 2);
    let statuses: Vec<_> = lines
        .iter()
        .filter(|line| line.starts_with("Status"))
        .collect();
    assert_eq!(
        statuses,
        ["Status: Downloaded newer image for registry.test/library/app"]
    );
    let lines = rig.lines("registry.test/library/app").await;
    assert_eq!(
        lines.last().unwrap(),
        "Status: Image is up to date for registry.test/library/app"
    );
    rig.origin.image("library/app", "3", &[3000]);
    let lines = rig.lines("registry.test/library/app").await;
    assert!(
        lines
            .last()
            .unwrap()
            .starts_with("Status: Downloaded newer")
    );
    // The first that fails ends it, and so does a tag that is none.
    rig.origin.order_always(
        On::path("/manifests/2"),
        Fault::error(404, "MANIFEST_UNKNOWN"),
    );
    let (error, lines) = rig.pull("registry.test/library/app").await;
    let error = error.unwrap_err().to_string();
    assert_eq!(error, "manifest for registry.test/library/app:2 not found");
    let begun = lines.iter().filter(|line| line.contains("Pulling from"));
    assert_eq!(begun.count(), 1);
    let list = r#"{"name":"library/app","tags":["not a tag","1"]}"#;
    rig.origin
        .order_always(On::path("/tags/list"), Fault::json(200, list));
    let error = rig.error("registry.test/library/app").await.to_string();
    assert_eq!(error, "invalid tag \"not a tag\"");
    rig.origin.behave();
    rig.origin
        .order_always(On::path("/tags/list"), Fault::json(200, r#"{"tags":null}"#));
    let (pulled, lines) = rig.pull("registry.test/library/app").await;
    assert!(pulled.unwrap().images.is_empty());
    assert_eq!(
        lines,
        ["Status: Image is up to date for registry.test/library/app"]
    );
    rig.origin.behave();
    rig.origin
        .order_always(On::path("/tags/list"), Fault::json(200, "[]"));
    let error = rig.error("registry.test/library/app").await;
    assert_eq!(error.kind(), ErrorKind::Upstream, "{error}");
}

#[tokio::test]
async fn an_error_of_the_configuration_comes_before_one_of_a_layer() {
    let rig = Rig::new(Options::moby()).await;
    let image = rig.origin.image("library/app", "1", &[100_000]);
    let gate = Gate::new();
    rig.origin.order_always(
        On::get(&image.layers[0]),
        Fault::Stall(50_000, gate.clone()),
    );
    rig.origin
        .order_always(On::get(&image.config), Fault::error(404, "BLOB_UNKNOWN"));
    let error = with_causes(&rig.error("registry.test/library/app:1").await);
    assert!(
        error.starts_with("error pulling image configuration: download failed after attempts=1: "),
        "{error}"
    );
    gate.open();
    rig.origin.behave();
    // The layer failed first; the configuration says more.
    let gate = Gate::new();
    let configuration = Fault::All(vec![
        Fault::HoldHeaders(gate.clone()),
        Fault::error(403, "DENIED"),
    ]);
    rig.origin
        .order_always(On::get(&image.config), configuration);
    rig.origin
        .order_always(On::get(&image.layers[0]), Fault::error(404, "BLOB_UNKNOWN"));
    let layer = image.layers[0].clone();
    let layer_failed = async {
        gate.reached().await;
        let ended = |seen: &longshore_tests::Seen| seen.path.ends_with(&layer) && seen.ended;
        rig.origin.until(|seen| seen.iter().any(ended)).await;
        gate.open();
    };
    let (error, ()) = tokio::join!(rig.error("registry.test/library/app:1"), layer_failed);
    let error = with_causes(&error);
    assert!(
        error.starts_with("error pulling image configuration: pull access denied for"),
        "{error}"
    );
    rig.origin.behave();
    rig.origin
        .order_always(On::get(&image.layers[0]), Fault::error(404, "BLOB_UNKNOWN"));
    let error = rig.error("registry.test/library/app:1").await;
    assert_eq!(error.kind(), ErrorKind::NotFound, "the layer's: {error}");
}

#[tokio::test]
async fn the_configuration_is_verified_and_tried_again() {
    let rig = Rig::new(Options::moby()).await;
    let image = rig.origin.image("library/app", "1", &[1000]);
    rig.origin
        .order_always(On::get(&image.config), Fault::WrongBytes(3));
    let error = rig.error("registry.test/library/app:1").await;
    assert_eq!(
        with_causes(&error),
        format!(
            "error pulling image configuration: image config verification failed for digest {}",
            image.config
        )
    );
    assert_eq!(error.kind(), ErrorKind::Verification);
    rig.origin.behave();
    rig.origin
        .order_always(On::get(&image.config), Fault::error(503, "UNAVAILABLE"));
    let error = with_causes(&rig.error("registry.test/library/app:1").await);
    assert!(
        error.starts_with("error pulling image configuration: download failed after attempts=5: "),
        "{error}"
    );
}

#[tokio::test]
async fn layers_must_be_those_of_the_configuration() {
    let rig = Rig::new(Options::moby()).await;
    let mut made = Made::of(&rig.origin, "app", &[b"one", b"two"]);
    for diff_ids in [
        vec![digest_of(b"one")],
        vec![digest_of(b"two"), digest_of(b"one")],
    ] {
        made.diff_ids = diff_ids;
        made.push(&rig.origin, "app", Some("1"));
        let error = rig.error("registry.test/app:1").await;
        assert_eq!(
            error.to_string(),
            "layers from manifest don't match image configuration"
        );
        assert_eq!(error.kind(), ErrorKind::Verification);
    }
    let config = json!({"os": "linux", "architecture": "amd64"});
    let config = made.push_with(&rig.origin, "app", Some("2"), &config).1;
    let error = rig.error("registry.test/app:2").await.to_string();
    assert_eq!(error, "invalid rootfs in image configuration");
    let layout = rig.layout().await;
    let held = layout.size(Digest::parse(&config).unwrap());
    assert_eq!(held.await.unwrap(), None, "it is no image");
    // What cannot be unpacked here is not compared; what is damaged is not used.
    let zstd = rig.origin.push_blob("app", &b"\x28\xb5\x2f\xfdrest"[..]);
    made.layers = vec![json!({
        "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "size": 8, "digest": zstd,
    })];
    made.diff_ids = vec![digest_of(b"plain")];
    made.push(&rig.origin, "app", Some("3"));
    rig.lines("registry.test/app:3").await;
    let mut cut = gzip(b"a layer");
    cut.truncate(cut.len() - 2);
    let digest = rig.origin.push_blob("app", cut);
    made.layers[0]["digest"] = json!(digest);
    made.push(&rig.origin, "app", Some("4"));
    let error = rig.error("registry.test/app:4").await;
    assert_eq!(error.to_string(), "failed to register layer");
    made.layers[0]["digest"] = json!("blake3:1");
    made.push(&rig.origin, "app", Some("5"));
    let error = rig.error("registry.test/app:5").await.to_string();
    assert_eq!(error, "could not validate layer digest \"blake3:1\"");
}

#[tokio::test]
async fn a_layer_is_tried_again_after_a_countdown() {
    let rig = Rig::new(Options::moby()).await;
    let image = rig.origin.image("library/app", "1", &[100_000]);
    let layer = On::get(&image.layers[0]);
    rig.origin
        .order_always(layer.clone(), Fault::error(503, "UNAVAILABLE"));
    let reference = Parsed::parse("registry.test/library/app:1").unwrap();
    let (events, mut stream) = Events::channel();
    let watch = async {
        let mut seconds = Vec::new();
        while let Some(event) = stream.next().await {
            if let Event::Layer {
                state: LayerState::Retrying { seconds: left },
                ..
            } = event
            {
                rig.origin.behave();
                seconds.push(left);
            }
        }
        seconds
    };
    let (pulled, seconds) = tokio::join!(rig.puller.pull(&reference, events), watch);
    pulled.unwrap();
    assert_eq!(seconds.first(), Some(&5), "{seconds:?}");
    assert_eq!(seconds.iter().max(), Some(&5), "one countdown");
}

#[tokio::test]
async fn a_layer_is_given_up_after_its_last_try() {
    let mut options = Options::moby();
    options.attempts = 2;
    let rig = Rig::new(options).await;
    let image = rig.origin.image("library/app", "1", &[1000]);
    rig.origin
        .order_always(On::get(&image.layers[0]), Fault::error(503, "UNAVAILABLE"));
    let (error, lines) = rig.pull("registry.test/library/app:1").await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Upstream);
    assert!(
        lines
            .iter()
            .any(|line| line.ends_with("Retrying in 5 seconds"))
    );
    rig.origin.behave();
    for code in [
        (404, "BLOB_UNKNOWN"),
        (403, "DENIED"),
        (429, "TOOMANYREQUESTS"),
    ] {
        let rig = Rig::new(Options::moby()).await;
        let image = rig.origin.image("library/app", "1", &[1000]);
        let fault = Fault::error(code.0, code.1);
        rig.origin.order_always(On::get(&image.layers[0]), fault);
        let (error, lines) = rig.pull("registry.test/library/app:1").await;
        error.unwrap_err();
        let retried = lines.iter().any(|line| line.contains("Retrying"));
        assert!(!retried, "{code:?} is final");
    }
}

#[tokio::test]
async fn a_layer_is_resumed_verified_and_begun_anew() {
    let rig = Rig::new(Options::moby()).await;
    let pull_layer = async |tag: &str, faults: Vec<Fault>| {
        let size = 100_000 + tag.len() as u64;
        let image = rig.origin.image("library/app", tag, &[size]);
        rig.origin.order(On::get(&image.layers[0]), faults);
        rig.origin.forget_requests();
        let (pulled, lines) = rig.pull(&format!("registry.test/library/app:{tag}")).await;
        assert_eq!(rig.origin.orders_left(), 0, "{tag}");
        let requests = rig.origin.requests();
        let of_layer = requests
            .iter()
            .filter(|seen| seen.path.ends_with(&image.layers[0]));
        let ranges = of_layer.map(|seen| seen.range().map(ToOwned::to_owned));
        (pulled, lines, ranges.collect::<Vec<_>>())
    };
    let (pulled, _, ranges) = pull_layer("cut", vec![Fault::CutAt(40_000)]).await;
    pulled.unwrap();
    assert_eq!(ranges, [None, Some("bytes=40000-".to_owned())]);
    let ignored = vec![Fault::CutAt(40_000), Fault::IgnoreRange];
    pull_layer("ignored", ignored).await.0.unwrap();
    pull_layer("unknown_size", vec![Fault::Chunked])
        .await
        .0
        .unwrap();
    // The first part was wrong: all of it is asked for again.
    let wrong_then_cut = Fault::All(vec![Fault::WrongBytes(10), Fault::CutAt(40_000)]);
    let (pulled, lines, ranges) = pull_layer("wrong_and_cut", vec![wrong_then_cut]).await;
    pulled.unwrap();
    assert!(
        lines
            .iter()
            .any(|line| line.contains("Retrying in 5 seconds"))
    );
    assert_eq!(ranges, [None, Some("bytes=40000-".to_owned()), None]);
    // One that was not resumed is wrong for good.
    let (error, lines, ranges) = pull_layer("wrong", vec![Fault::WrongBytes(10)]).await;
    let error = error.unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("filesystem layer verification failed for digest sha256:"),
        "{error}"
    );
    assert_eq!(error.kind(), ErrorKind::Verification);
    assert!(!lines.iter().any(|line| line.contains("Retrying")));
    assert_eq!(ranges.len(), 1);
}

/// What has come is kept for the next try, and dropped if the blob is shorter.
#[tokio::test]
async fn a_partial_download_that_is_longer_than_the_blob_is_dropped() {
    let rig = Rig::new(Options::moby()).await;
    let image = rig.origin.image("library/app", "1", &[50_000]);
    let too_long = Fault::All(vec![
        Fault::Chunked,
        Fault::Long(30_000),
        Fault::CutAt(70_000),
    ]);
    rig.origin.order(On::get(&image.layers[0]), [too_long]);
    let (pulled, lines) = rig.pull("registry.test/library/app:1").await;
    pulled.unwrap();
    assert!(
        lines.iter().any(|line| line.contains("Retrying")),
        "{lines:?}"
    );
    let requests = rig.origin.requests();
    let last = requests
        .iter()
        .rfind(|seen| seen.path.ends_with(&image.layers[0]))
        .unwrap();
    assert_eq!(last.range(), None);
}

#[tokio::test]
async fn no_more_layers_than_so_many_are_downloaded_at_once() {
    let mut options = Options::moby();
    options.downloads = 2;
    let rig = Rig::new(options).await;
    let image = rig.origin.image("library/app", "1", &[1000, 1001, 1002]);
    let gate = Gate::new();
    rig.origin
        .order_always(On::get("/blobs/"), Fault::HoldHeaders(gate.clone()));
    let reference = Parsed::parse("registry.test/library/app:1").unwrap();
    let (events, mut stream) = Events::channel();
    let watch = async {
        let mut waiting = Vec::new();
        while let Some(event) = stream.next().await {
            if let Event::Layer {
                id,
                state: LayerState::Waiting,
            } = event
            {
                // The configuration and two layers.
                gate.reached_by(3).await;
                assert_eq!(gate.held(), 3);
                gate.open();
                waiting.push(id);
            }
        }
        waiting
    };
    let (pulled, waiting) = tokio::join!(rig.puller.pull(&reference, events), watch);
    pulled.unwrap();
    assert_eq!(waiting, [image.layers[2].clone()]);
}

#[tokio::test]
async fn pulls_of_one_layer_share_its_transfer() {
    let rig = Rig::new(Options::moby()).await;
    let image = rig.origin.image("library/app", "1", &[100_000]);
    let layer = format!("/v2/library/app/blobs/{}", image.layers[0]);
    let gate = Gate::new();
    rig.origin
        .order(On::get(&layer), [Fault::Stall(50_000, gate.clone())]);
    let reference = Parsed::parse("registry.test/library/app:1").unwrap();
    let one = rig.puller.pull(&reference, Events::none());
    let two = rig.puller.pull(&reference, Events::none());
    let three = rig.puller.pull(&reference, Events::none());
    let open = async {
        gate.reached().await;
        gate.open();
    };
    let (one, two, three, ()) = tokio::join!(one, two, three, open);
    for pulled in [one, two, three] {
        assert_eq!(pulled.unwrap().images[0].layers.len(), 1);
    }
    assert_eq!(rig.origin.count("GET", &layer), 1);
}

#[tokio::test]
async fn a_transfer_is_cancelled_when_its_last_pull_is() {
    let rig = Rig::new(Options::moby()).await;
    let image = rig.origin.image("library/app", "1", &[1_000_000]);
    let layer = format!("/v2/library/app/blobs/{}", image.layers[0]);
    let gate = Gate::new();
    rig.origin
        .order(On::get(&layer), [Fault::Stall(50_000, gate.clone())]);
    let start = || {
        let puller = rig.puller.clone();
        let reference = Parsed::parse("registry.test/library/app:1").unwrap();
        tokio::spawn(async move { puller.pull(&reference, Events::none()).await })
    };
    let one = start();
    gate.reached().await;
    let two = start();
    let heads = |seen: &[longshore_tests::Seen]| {
        seen.iter().filter(|seen| seen.method == "HEAD").count() >= 2
    };
    rig.origin.until(heads).await;
    one.abort();
    one.await.unwrap_err();
    two.abort();
    two.await.unwrap_err();
    let writes = rig.folder.path().join(".longshore/ingest");
    tokio::time::timeout(longshore_tests::PATIENCE, async {
        while std::fs::read_dir(&writes).unwrap().count() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the write under way is removed");
    gate.open();
    let lines = rig.lines("registry.test/library/app:1").await;
    assert!(lines.iter().any(|line| line.ends_with("Pull complete")));
    assert_eq!(rig.origin.count("GET", &layer), 2, "begun anew");
}

/// What came for another repository counts if the registry says that this one has it.
#[tokio::test]
async fn a_transfer_for_another_repository_is_confirmed() {
    for has_it in [true, false] {
        let rig = Rig::new(Options::moby()).await;
        let made = Made::of(&rig.origin, "one", &[b"layer"]);
        made.push(&rig.origin, "one", Some("1"));
        made.push(&rig.origin, "two", Some("1"));
        let layer = made.layers[0]["digest"].as_str().unwrap();
        if has_it {
            rig.origin.push_blob("two", gzip(b"layer"));
        }
        let gate = Gate::new();
        rig.origin.order(
            On::get(&format!("/v2/one/blobs/{layer}")),
            [Fault::HoldHeaders(gate.clone())],
        );
        let second = async {
            gate.reached().await;
            let (events, mut stream) = Events::channel();
            let reference = Parsed::parse("registry.test/two:1").unwrap();
            let open = async {
                while let Some(event) = stream.next().await {
                    let begun = matches!(
                        event,
                        Event::Layer {
                            state: LayerState::PullingFsLayer,
                            ..
                        }
                    );
                    if begun {
                        // It joins without a wait in between.
                        tokio::task::yield_now().await;
                        gate.open();
                    }
                }
            };
            tokio::join!(rig.puller.pull(&reference, events), open).0
        };
        let (first, second) = tokio::join!(rig.pull("registry.test/one:1"), second);
        first.0.unwrap();
        match has_it {
            true => drop(second.unwrap()),
            false => {
                let error = second.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
            }
        }
        let path = format!("/v2/two/blobs/{layer}");
        assert_eq!(
            rig.origin.count("GET", &path),
            usize::from(!has_it),
            "{has_it}"
        );
    }
}

#[tokio::test]
async fn a_foreign_layer_comes_from_its_url() {
    let rig = Rig::new(Options::moby()).await;
    let mut made = Made::of(&rig.origin, "elsewhere", &[b"foreign"]);
    let digest = made.layers[0]["digest"].as_str().unwrap().to_owned();
    made.layers[0]["mediaType"] =
        json!("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip");
    let storage = |name: &str| format!("{}/storage/{name}", rig.origin.url());
    made.layers[0]["urls"] = json!(["ftp://x/y", storage("none"), storage(&digest)]);
    made.push(&rig.origin, "app", Some("1"));
    rig.lines("registry.test/app:1").await;
    let blob = format!("/v2/app/blobs/{digest}");
    assert_eq!(
        rig.origin.count("GET", &blob),
        1,
        "the registry is asked first"
    );
    assert_eq!(rig.origin.count("GET", &format!("/storage/{digest}")), 1);
    // Nobody has it.
    let other = Rig::new(Options::moby()).await;
    made.layers[0]["urls"] = json!([format!("{}/storage/{digest}", other.origin.url())]);
    made.push(&other.origin, "app", Some("1"));
    let error = with_causes(&other.error("registry.test/app:1").await);
    assert!(error.contains("misbehaved: status 404"), "{error}");
}

#[tokio::test]
async fn content_of_another_repository_is_asked_after_by_digest() {
    let rig = Rig::new(Options::moby()).await;
    let made = Made::of(&rig.origin, "one", &[b"layer"]);
    let digest = made.push(&rig.origin, "one", Some("1")).0;
    rig.lines("registry.test/one:1").await;
    let name = |repository: &str| format!("registry.test/{repository}@{digest}");
    rig.asked();
    rig.lines(&name("one")).await;
    assert_eq!(rig.asked(), [""; 0], "it came from there");
    let error = rig.error(&name("two")).await;
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    made.push(&rig.origin, "two", None);
    rig.asked();
    rig.lines(&name("two")).await;
    assert_eq!(rig.asked(), [format!("HEAD manifests/{digest}")]);
    rig.lines(&name("two")).await;
    assert_eq!(rig.asked(), [""; 0], "it is remembered");
    // A manifest that was damaged here is fetched.
    let path = layout::blob_path(&Digest::parse(&digest).unwrap());
    std::fs::write(rig.folder.path().join(path), "{}").unwrap();
    rig.lines(&name("one")).await;
    assert_eq!(rig.asked(), [format!("GET manifests/{digest}")]);
}

#[tokio::test]
async fn a_wrong_manifest_is_refused() {
    let rig = Rig::new(Options::moby()).await;
    let image = rig.origin.image("library/app", "1", &[1000]);
    rig.origin
        .order_always(On::get(&image.digest), Fault::WrongBytes(5));
    let name = format!("registry.test/library/app@{}", image.digest);
    let error = rig.error(&name).await;
    assert_eq!(
        error.to_string(),
        format!("manifest verification failed for digest {}", image.digest)
    );
    let (_, lines) = rig.pull(&name).await;
    assert!(lines.is_empty());
    rig.origin.behave();
    let (pulled, lines) = rig
        .pull(&format!("registry.test/library/app:9@{}", image.digest))
        .await;
    assert_eq!(pulled.unwrap().images.len(), 1, "the digest counts");
    assert_eq!(
        lines[0],
        format!("{}: Pulling from library/app", image.digest)
    );
}

#[tokio::test]
async fn a_disk_that_takes_nothing_is_no_reason_to_try_again() {
    let rig = Rig::new(Options::moby()).await;
    rig.origin.image("library/app", "1", &[1000]);
    std::fs::remove_dir_all(rig.folder.path().join(".longshore/ingest")).unwrap();
    let (error, lines) = rig.pull("registry.test/library/app:1").await;
    let error = error.unwrap_err();
    assert_eq!(error.to_string(), "failed to create a download file");
    assert_eq!(error.kind(), ErrorKind::Local);
    assert!(!lines.iter().any(|line| line.contains("Retrying")));
}

#[tokio::test]
async fn forty_layers() {
    let rig = Rig::new(Options::moby()).await;
    let sizes: Vec<u64> = (1..=40).map(|n| n * 1000).collect();
    let image = rig.origin.image("library/app", "1", &sizes);
    let lines = rig.lines("registry.test/library/app:1").await;
    let complete = lines
        .iter()
        .filter(|line| line.ends_with(": Pull complete"));
    assert_eq!(complete.count(), 40);
    assert_eq!(rig.asked().len(), 2 + 41);
    for layer in &image.layers {
        let path = layout::blob_path(&Digest::parse(layer).unwrap());
        let bytes = std::fs::read(rig.folder.path().join(path)).unwrap();
        assert!(rig.origin.blob(layer).matches(0, &bytes));
    }
}

/// Nobody has to read what happens.
#[tokio::test]
async fn a_stream_that_is_dropped_does_not_end_the_pull() {
    let rig = Rig::new(Options::moby()).await;
    let sizes: Vec<u64> = (1..=40).map(|n| n * 100).collect();
    rig.origin.image("library/app", "1", &sizes);
    let (events, stream) = Events::channel();
    drop(stream);
    let reference = Parsed::parse("registry.test/library/app:1").unwrap();
    rig.puller.pull(&reference, events).await.unwrap();
}
